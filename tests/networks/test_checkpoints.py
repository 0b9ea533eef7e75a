"""Checkpoints of MoCo, MAE, solo-learn, lightly and torchvision: the right network, in words."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from tests.networks import checkpoints
from torch import nn

from masquerade.networks import weights
from masquerade.networks.backbone import Backbone
from masquerade.networks.tensors import tensors

SHAPES: list[tuple[Callable[[Path, Backbone], Path], str, str]] = [
    (
        lambda place, net: checkpoints.moco(place, net, checkpoints.cnn(seed=8)),
        "the query encoder of MoCo, under 'state_dict.module.encoder_q.'",
        "1 unused: fc.0.weight",
    ),
    (
        lambda place, net: checkpoints.solo_learn(place, net, checkpoints.cnn(seed=8)),
        "the backbone of a Lightning checkpoint, as in solo-learn, under 'state_dict.backbone.'",
        "",
    ),
    (
        checkpoints.lightly,
        "layers numbered in order, as in lightly, under 'state_dict.backbone.'",
        "",
    ),
    (checkpoints.lightly_resnet, "layers numbered in order, as in lightly", ""),
]


def equal(net: nn.Module, other: nn.Module) -> bool:
    mine, theirs = net.state_dict(), other.state_dict()
    return all(torch.equal(mine[k], theirs[k]) for k in mine if "num_batches" not in k)


@pytest.mark.parametrize(("saved", "words", "unused"), SHAPES)
def test_a_resnet_is_found_whatever_its_tensors_are_called(
    saved: Callable[[Path, Backbone], Path], words: str, unused: str, tmp_path: Path
) -> None:
    donor, net = checkpoints.cnn(), checkpoints.cnn(seed=9)
    place = saved(tmp_path / "c.ckpt", donor)
    told = weights.start(net.body, str(place), whole=True)
    assert equal(net, donor)
    assert told.startswith(f"65 of 65 tensors from {place} ({words}")
    assert told.endswith(unused) and ("unused" in told) == bool(unused)


def test_the_encoder_of_mae_is_found_beside_its_decoder_and_its_settings(tmp_path: Path) -> None:
    donor, net = checkpoints.vit(), checkpoints.vit(seed=9)
    place = checkpoints.mae(tmp_path / "mae.pth", donor)
    told = weights.start(net.body, str(place), whole=True)
    assert equal(net, donor)
    assert "(a masked autoencoder as MAE saves it, its decoder left out, under 'model.')" in told
    assert "5 unused: mask_token, decoder_pos_embed, decoder_embed.weight, ..." in told


def test_torchvisions_own_file_loads_into_its_timm_namesake(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1])
    torch.save(theirs.state_dict(), tmp_path / "resnet.pth")
    net = checkpoints.built("resnet18", {"layers": [1, 1, 1, 1]}, 65, "imagenet", 9)
    told = weights.start(net.body, str(tmp_path / "resnet.pth"), whole=True)
    assert "(named as timm or torchvision do); 2 unused: fc.weight, fc.bias" in told
    theirs.fc = nn.Identity()
    images = torch.randn(2, 3, 65, 65)
    torch.testing.assert_close(net.eval()(images), theirs.eval()(images))


def test_positions_are_resampled_for_another_number_of_patches(tmp_path: Path) -> None:
    place = checkpoints.mae(tmp_path / "mae.pth", checkpoints.vit(64, patch_size=8))
    net = checkpoints.vit(32, seed=9, patch_size=8)
    told = weights.start(net.body, str(place), whole=True)
    assert "; pos_embed resampled from 8 x 8 to 4 x 4 patches;" in told
    there = torch.load(place, weights_only=False)["model"]["pos_embed"]
    ours = net.body.state_dict()["pos_embed"]
    assert torch.equal(ours[:, 0], there[:, 0])  # the class token has no place
    flat = checkpoints.vit(64, patch_size=8)
    with torch.no_grad():
        flat.body.get_parameter("pos_embed")[:, 1:] = 3.0
    weights.start(net.body, str(checkpoints.mae(tmp_path / "flat.pth", flat)))
    assert torch.allclose(net.body.state_dict()["pos_embed"][:, 1:], torch.tensor(3.0))


def test_a_file_with_another_stem_is_refused_where_all_of_the_model_must_be_there(
    tmp_path: Path,
) -> None:
    place = tmp_path / "w.pth"
    torch.save(checkpoints.state(checkpoints.cnn(65)), place)  # a 7 x 7 stem
    net = checkpoints.cnn(32)
    assert "1 of another shape there: conv1.weight" in weights.start(net.body, str(place))
    with pytest.raises(ValueError, match="only a part of the model is in the file, and the rest"):
        weights.start(net.body, str(place), whole=True)


class Running:
    """What a pickle may hold: a call. Of a package whose objects are left blank."""

    def __init__(self, function: object, *given: object) -> None:
        self.call = function, given

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


def test_calls_in_a_checkpoint_are_refused_or_left_blank_but_never_made(tmp_path: Path) -> None:
    given = checkpoints.state(checkpoints.cnn())
    victim = tmp_path / "written.npy"
    torch.save({"state_dict": given, "args": Running(np.save, str(victim), 1)}, tmp_path / "a.pth")
    assert len(tensors(tmp_path / "a.pth")) == len(given)
    for name, call in {"b": Running(eval, "1/0"), "c": Running(os.mkdir, "d")}.items():
        torch.save({"state_dict": given, "args": call}, tmp_path / f"{name}.pth")
        with pytest.raises(ValueError, match=r"\((builtins.eval|posix.mkdir)\), and .* run code"):
            tensors(tmp_path / f"{name}.pth")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pth", "b.pth", "c.pth"]
