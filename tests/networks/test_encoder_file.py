import json
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from masquerade.core.errors import MissingData
from masquerade.core.seed import Seed
from masquerade.networks import encoder_file
from masquerade.networks.backbone import Backbone, Config

TINY = {"layers": [1, 1, 1, 1], "channels": [4, 8, 8, 12]}


def encoder(name: str = "resnet18", channels: int = 3) -> Backbone:
    options = TINY if name == "resnet18" else {"depth": 1} if name.startswith("vit") else {}
    net = Config(name=name, options=options).build(
        32, channels, (0.4914, 0.4822, 0.4465, 0.1)[:channels], (0.2,) * channels
    )
    net(images(channels))  # one pass in train mode: the running statistics are not the initial ones
    return net.to(memory_format=torch.channels_last).eval()


def loaded(folder: Path) -> Backbone:
    return encoder_file.load(folder).to(memory_format=torch.channels_last)


def images(channels: int = 3) -> Tensor:
    return torch.rand(2, channels, 32, 32, generator=Seed(0).generator())


@pytest.mark.parametrize(
    ("name", "channels"),
    [("resnet18", 3), ("resnet18", 1), ("vit_tiny_patch16_224", 4), ("torchvision:resnet18", 3)],
)
def test_a_loaded_encoder_gives_the_same_features_bit_for_bit(
    name: str, channels: int, tmp_path: Path
) -> None:
    net = encoder(name, channels)
    encoder_file.save(net, tmp_path, {})
    again = loaded(tmp_path)
    assert torch.equal(again.from_pixels(images(channels)), net.from_pixels(images(channels)))
    assert not again.training


def test_the_card_says_all_that_is_needed_and_keeps_what_it_is_told(tmp_path: Path) -> None:
    about = {"trained_on": "toybox", "labels_used": False}
    encoder_file.save(encoder(), tmp_path, about)
    card = json.loads((tmp_path / "encoder.json").read_text())
    assert card["architecture"] == "resnet18"
    assert card["stem"] == "small"
    assert card["options"] == TINY
    assert (card["size"], card["channels"], card["dim"]) == (32, 3, 12)
    assert card["about"] == about
    assert encoder_file.card(tmp_path).about == about


def test_saving_again_replaces_the_encoder_and_leaves_nothing_else(tmp_path: Path) -> None:
    for _ in range(2):
        net = encoder()
        encoder_file.save(net, tmp_path / "deep" / "run", {})
    again = loaded(tmp_path / "deep" / "run")
    assert torch.equal(again(images()), net(images()))
    files = {p.name for p in (tmp_path / "deep" / "run").iterdir()}
    assert files == {"encoder.safetensors", "encoder.json"}


def test_a_write_that_fails_leaves_the_earlier_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = encoder()
    encoder_file.save(net, tmp_path, {})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        encoder_file.save(encoder(), tmp_path, {})
    assert torch.equal(loaded(tmp_path)(images()), net(images()))


def test_a_folder_without_an_encoder_is_missing_data(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"encoder\.json"):
        encoder_file.load(tmp_path)
    encoder_file.save(encoder(), tmp_path, {})
    (tmp_path / "encoder.safetensors").unlink()
    with pytest.raises(MissingData, match=r"encoder\.safetensors"):
        encoder_file.load(tmp_path)


def test_broken_and_foreign_files_are_refused_in_words(tmp_path: Path) -> None:
    encoder_file.save(encoder(), tmp_path, {})
    weights, card = tmp_path / "encoder.safetensors", tmp_path / "encoder.json"
    whole, said = weights.read_bytes(), json.loads(card.read_text())
    weights.write_bytes(whole[:1000])
    with pytest.raises(ValueError, match="not a whole"):
        encoder_file.load(tmp_path)
    weights.write_bytes(whole)
    card.write_text(json.dumps(said | {"options": {}}))
    with pytest.raises(ValueError, match=r"does not fit its encoder\.json"):
        encoder_file.load(tmp_path)
    card.write_text(json.dumps(said | {"options": {"checkpoint_path": "/tmp/evil.pth"}}))
    with pytest.raises(ValueError, match="checkpoint_path cannot be set"):
        encoder_file.load(tmp_path)
    card.write_text(json.dumps(said | {"format": 2}))
    with pytest.raises(ValueError, match="format"):
        encoder_file.load(tmp_path)
