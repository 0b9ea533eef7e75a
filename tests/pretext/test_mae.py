"""MAE against arrays of its authors' code (tests/oracles/aemim/mae_*.npz)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.engine.optimizers import adamw
from masquerade.engine.task import Carry, Progress
from masquerade.networks import backbone
from masquerade.networks.positions import sincos
from masquerade.pretext import mae
from masquerade.pretext.mae import Decoder, patchify, unpatchify
from masquerade.pretext.mim import Reconstruct, masks

ORACLES = Path(__file__).parents[1] / "oracles" / "aemim"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VIT = backbone.Config(
    name="vit_tiny_patch16_224",
    options={"embed_dim": 32, "depth": 2, "num_heads": 4, "patch_size": 4},
)
TINY = mae.Config(decoder=Decoder(width=16, depth=1, heads=2))
NOW = Progress(0, 10, 5)
NEAR: dict[str, Any] = {"rtol": 1e-5, "atol": 2e-6, "check_dtype": False}


def oracle(name):
    with np.load(ORACLES / f"{name}.npz") as stored:
        return {k: torch.from_numpy(v) if v.dtype.kind in "fi" else v for k, v in stored.items()}


def ours(name):
    """Our name of an official parameter."""
    if name == "mask_token":
        return "decoder.mask_token"
    if name.startswith("decoder_"):
        return name.replace("decoder_", "decoder.", 1)
    return f"backbone.body.{name}"


def loaded(stored, dtype, **changes):
    torch.manual_seed(0)
    model = TINY.replace(**changes).model(VIT.build(16, 3, MEAN, STD))
    weights = {ours(k[2:]): v for k, v in stored.items() if k.startswith("w/")}
    positions = weights.pop("decoder.pos_embed")
    torch.testing.assert_close(model.decoder.positions, positions, rtol=0, atol=1e-7)
    torch.testing.assert_close(
        model.backbone.body.get_parameter("pos_embed").detach(),
        weights["backbone.body.pos_embed"],
        rtol=0,
        atol=1e-7,
    )
    wrong = model.load_state_dict(weights)
    assert not wrong.missing_keys and not wrong.unexpected_keys
    return model.to(dtype)


def gradients(module):
    """The gradients of all trained parameters."""
    return {n: p.grad for n, p in module.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("case", "normalise"), [("raw", False), ("npx", True)])
def test_losses_latents_predictions_and_all_gradients_are_those_of_the_official_code(
    case, normalise, dtype
):
    stored = oracle("mae_a")
    model = loaded(stored, dtype, normalise=normalise)
    images = stored["x"].to(dtype).requires_grad_()
    hidden = masks(stored["noise"], 16 - int(stored["len_keep"]), 1)
    assert torch.equal(hidden, stored["mask"])
    latent = model.encode(images, hidden, 3)
    predicted = model.decode(latent, hidden, 3)
    loss = model.loss(predicted, images, hidden)
    loss.backward()
    shuffled = stored["noise"].argsort(1)[:, : stored["len_keep"]]
    place = shuffled.argsort(1).argsort(1)  # of each of their tokens among ours, row by row
    mine = latent[:, 1:].gather(1, place[:, :, None].expand(-1, -1, 32))
    torch.testing.assert_close(mine, stored["latent"][:, 1:], **NEAR)
    torch.testing.assert_close(latent[:, :1], stored["latent"][:, :1], **NEAR)
    torch.testing.assert_close(predicted, stored["pred"], **NEAR)
    torch.testing.assert_close(loss, stored[f"loss_{case}"], **NEAR)
    torch.testing.assert_close(images.grad, stored[f"grad_x_{case}"], **NEAR)
    theirs = {k.split("/", 1)[1]: v for k, v in stored.items() if k.startswith(f"g_{case}/")}
    mine = gradients(model)
    assert {ours(name) for name in theirs} == mine.keys()
    for name, expected in theirs.items():
        torch.testing.assert_close(mine[ours(name)], expected, **NEAR)


def test_patches_come_apart_by_row_column_channel_and_together_again():
    stored = oracle("mae_a")
    assert torch.equal(patchify(stored["x"], 4), stored["patches"])
    assert torch.equal(unpatchify(stored["patches"], 4), stored["unpatchified"])


@pytest.mark.parametrize(("dim", "grid"), [(32, 4), (48, 3), (768, 14)])
def test_positions_are_the_official_ones(dim, grid):
    expected = oracle("mae_misc")[f"pos_{dim}_{grid}_cls"]
    torch.testing.assert_close(sincos(dim, grid)[0], expected.float(), rtol=0, atol=1e-7)


def test_a_width_without_quarters_has_no_positions():
    with pytest.raises(ValueError, match="multiple of 4, got 30"):
        sincos(30, 4)


def test_decay_and_rates_of_pretraining_are_the_official_ones():
    stored = oracle("mae_misc")
    model = loaded(oracle("mae_a"), torch.float32)
    names = {p: n for n, p in model.named_parameters()}
    made = adamw.Config(decay=0.05).over(Reconstruct(model, 0).players()["encoder"])
    decayed = {names[p]: g["weight_decay"] for g in made.param_groups for p in g["params"]}
    for decay, theirs in json.loads(str(stored["pretrain_wd_groups"])):
        assert {decayed[ours(n)] for n in theirs} == {decay}
    config = json.loads(str(stored["sched_cfg"]))
    rates = adamw.Config(
        lr=config["lr"],
        schedule={
            "warmup": config["warmup"],
            "start": 0,
            "end": config["min_lr"],
            "per": "step",
        },
    ).schedule
    for epoch, expected in zip(stored["sched_epoch"], stored["sched_lr"], strict=True):
        steps = 1000  # theirs is a step behind in the warm-up, where it wastes the first on 0
        now = Progress(round(float(epoch) * steps), config["epochs"] * steps, steps)
        assert rates.rate(config["lr"], now) == pytest.approx(float(expected), rel=1e-9, abs=1e-7)


@given(st.integers(1, 12), st.integers(1, 3), st.data())
def test_every_image_hides_as_many_cells_those_of_the_highest_numbers(side, repeat, data):
    count = data.draw(st.integers(0, side**2))
    noise = torch.rand(3, side**2, generator=Seed(side).generator())
    hidden = masks(noise, count, repeat).view(3, side, repeat, side, repeat)
    cells = hidden[:, :, 0, :, 0].flatten(1)
    assert torch.equal(hidden, cells.view(3, side, 1, side, 1).expand_as(hidden))
    for row, drawn in zip(cells, noise, strict=True):
        highest = sorted(range(side**2), key=lambda k: float(drawn[k]))[side**2 - count :]
        assert row.nonzero()[:, 0].tolist() == sorted(highest)


def test_what_is_hidden_changes_no_token_and_what_is_shown_does():
    model = loaded(oracle("mae_a"), torch.float64)
    images = oracle("mae_a")["x"].double()
    hidden = model.hide(3, Seed(1))
    where = model.pixels(hidden)
    other = images + where * torch.randn(images.shape, generator=Seed(2).generator())
    assert torch.equal(model.encode(images, hidden, 3), model.encode(other, hidden, 3))
    shown = images + (1 - where)
    assert not torch.equal(model.encode(images, hidden, 3), model.encode(shown, hidden, 3))


def test_checkpointing_changes_no_gradient():
    stored = oracle("mae_a")
    found = []
    for checkpointing in (False, True):
        model = loaded(stored, torch.float64, checkpointing=checkpointing)
        it = Reconstruct(model, 0)
        batch = Views((stored["x"].double(),), None)
        it(batch, ("encoder",), Seed(0), NOW, Carry()).loss.backward()
        found.append(gradients(model))
    for name, gradient in found[0].items():
        assert torch.equal(gradient, found[1][name]), name


def test_the_exported_encoder_is_a_model_of_timm_with_the_trained_weights():
    model = loaded(oracle("mae_a"), torch.float32)
    encoder = Reconstruct(model, 0).encoder()
    images = oracle("mae_a")["x"]
    expected = model.backbone.eval()(images)
    assert torch.equal(encoder.eval()(images), expected)
    nothing = torch.zeros(3, 16)
    model.keep = 16
    torch.testing.assert_close(model.encode(images, nothing, 3)[:, 0], expected)


def test_a_drawn_prediction_is_in_the_pixels_of_the_image():
    model = loaded(oracle("mae_a"), torch.float32)
    images = oracle("mae_a")["x"]
    target, _, _ = model.target(images)
    torch.testing.assert_close(model.painted(target, images), images)


@pytest.mark.parametrize(("size", "side"), [(32, 4), (64, 8), (224, 16)])
def test_patches_of_small_images_are_small(size, side):
    vit = backbone.Config(
        name="vit_tiny_patch16_224", options={"embed_dim": 32, "num_heads": 2, "depth": 1}
    )
    model = TINY.model(vit.build(size, 3, MEAN, STD))
    assert (model.trunk.patch, model.trunk.grid) == (side, size // side)


def test_fresh_weights_are_those_of_mae():
    torch.manual_seed(0)
    wide = VIT.replace(options={**VIT.options, "embed_dim": 256, "depth": 1})
    model = mae.Config(decoder=Decoder(width=128, depth=1, heads=2)).model(
        wide.build(16, 3, MEAN, STD)
    )
    for name, p in model.state_dict().items():
        if name.endswith("proj.weight") and p.ndim == 4:
            p = p.flatten(1)
        if name.endswith("token"):
            assert float(p.std()) == pytest.approx(0.02, rel=0.3)
        elif name.endswith("weight") and p.ndim == 2:
            bound = (6 / (p.shape[0] + p.shape[1])) ** 0.5
            assert float(p.abs().max()) == pytest.approx(bound, rel=0.01) and p.abs().max() <= bound
        elif "norm" in name:
            assert (p == (1 if name.endswith("weight") else 0)).all()
        elif name.endswith("bias") and "patch_embed" not in name:
            assert (p == 0).all()


def test_wrong_use_is_told():
    vit = VIT.build(16, 3, MEAN, STD)
    with pytest.raises(ValueError, match=r"ratio=0.95 hides all 16 patches of an image of 16 px"):
        TINY.replace(ratio=0.95).model(vit)
    resnet = backbone.Config(name="resnet18").build(32, 3, MEAN, STD)
    with pytest.raises(ValueError, match=r"resnet18 is a ResNet.*vit_\*"):
        TINY.model(resnet)
    with pytest.raises(ValueError, match="not a plain ViT"):
        averaged = VIT.replace(options={**VIT.options, "global_pool": "avg"})
        TINY.model(averaged.build(16, 3, MEAN, STD))
    swin = backbone.Config(
        name="swin_tiny_patch4_window7_224",
        options={"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4},
    )
    with pytest.raises(ValueError, match="which swin_tiny_patch4_window7_224 cannot do without"):
        TINY.model(swin.build(32, 3, MEAN, STD))
    with pytest.raises(ValueError, match="decoder width 18 must be divisible"):
        TINY.replace(decoder={"width": 18, "depth": 1, "heads": 2}).model(vit)
    with pytest.raises(ValueError, match="17"):
        VIT.build(17, 3, MEAN, STD)
