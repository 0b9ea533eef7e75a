"""SimMIM against arrays of its authors' code (tests/oracles/aemim/simmim_*.npz)."""

import json
import math
import re

import numpy as np
import pytest
import torch
from tests.pretext.test_mae import MEAN, NEAR, STD, gradients, oracle

from masquerade.core.seed import Seed
from masquerade.engine.optimizers import adamw
from masquerade.networks import backbone
from masquerade.pretext import simmim
from masquerade.pretext.mim import Reconstruct, masks

BEIT = backbone.Config(
    name="beit_base_patch16_224",
    options={
        "patch_size": 8,
        "embed_dim": 32,
        "depth": 2,
        "num_heads": 4,
        "use_rel_pos_bias": False,
        "use_shared_rel_pos_bias": True,
        "use_fc_norm": False,
    },
)
SWIN = backbone.Config(
    name="swin_tiny_patch4_window7_224",
    options={
        "patch_size": 2,
        "embed_dim": 16,
        "depths": [2, 2],
        "num_heads": [2, 4],
        "window_size": 4,
        "drop_path_rate": 0.0,
    },
)
VIT = backbone.Config(
    name="vit_tiny_patch16_224",
    options={
        "embed_dim": 32,
        "depth": 2,
        "num_heads": 4,
        "patch_size": 8,
        "global_pool": "avg",
        "fc_norm": False,
    },
)
CASES = {"simmim_vit": (BEIT, 16), "simmim_swin": (SWIN, 8)}


def ours(name):
    """Our name of an official parameter; timm merges patches where a stage begins, not ends."""
    if not name.startswith("encoder."):
        return name
    if name == "encoder.mask_token":
        return "mask_token"
    name = name.replace("encoder.", "backbone.body.", 1)
    return re.sub(
        r"layers\.(\d+)\.downsample", lambda m: f"layers.{int(m[1]) + 1}.downsample", name
    )


def loaded(case, dtype=torch.float32, **changes):
    encoder, unit = CASES[case]
    model = simmim.Config(unit=unit, **changes).model(encoder.build(32, 3, MEAN, STD))
    buffers = ("attn_mask", "relative_position_index")
    weights = {
        ours(k[2:]): v
        for k, v in oracle(case).items()
        if k.startswith("w/") and not k.endswith(buffers)
    }
    model.load_state_dict(weights)
    return model.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES)
def test_loss_latents_predictions_and_all_gradients_are_those_of_the_official_code(case, dtype):
    stored = oracle(case)
    model = loaded(case, dtype)
    images = stored["x"].to(dtype).requires_grad_()
    hidden = stored["mask"].flatten(1).to(dtype)
    latent = model.encode(images, hidden, 2)
    predicted = model.decode(latent, hidden, 2)
    loss = model.loss(predicted, images, hidden)
    loss.backward()
    patches = latent[:, model.trunk.prefix :].mT.reshape(stored["z"].shape)
    torch.testing.assert_close(patches, stored["z"], **NEAR)
    torch.testing.assert_close(predicted, stored["rec"], **NEAR)
    torch.testing.assert_close(loss, stored["loss"], **NEAR)
    torch.testing.assert_close(images.grad, stored["grad_x"], **NEAR)
    gradients = {ours(k[2:]): v for k, v in stored.items() if k.startswith("g/")}
    assert gradients.keys() == dict(model.named_parameters()).keys()
    for name, expected in gradients.items():
        torch.testing.assert_close(model.get_parameter(name).grad, expected, **NEAR)


def test_masks_are_those_of_the_official_generator():
    stored = oracle("simmim_masks")
    generated = {k: v for k, v in stored.items() if k.startswith("gen_")}
    assert len(generated) == 3
    for key, expected in generated.items():
        size, cell, patch, ratio = (float(n) for n in re.findall(r"[\d.]+", key))
        cells = int(size // cell) ** 2
        random = np.random.RandomState(7)
        count = int(stored[key.replace("gen", "count")])
        assert count == math.ceil(cells * ratio)
        for theirs in expected:
            order = torch.from_numpy(random.permutation(cells))
            noise = torch.empty(1, cells)
            noise[0, order] = -torch.arange(cells).float()
            mine = masks(noise, count, int(cell // patch))
            assert torch.equal(mine.view(theirs.shape).to(theirs), theirs), key


@pytest.mark.parametrize("case", CASES)
def test_what_is_spared_decay_is_what_the_official_code_spares(case):
    model = loaded(case)
    spared = {ours(n) for n in json.loads(str(oracle(case)["no_wd"]))}
    names = {p: n for n, p in model.named_parameters()}
    made = adamw.Config(decay=0.05).over(Reconstruct(model, 0).players()["encoder"])
    free = {names[p] for g in made.param_groups for p in g["params"] if not g["weight_decay"]}
    flat = {n for n, p in model.named_parameters() if p.ndim < 2}
    assert free == flat | (spared & names_of(model).keys())
    sane = loaded(case, decay_positions=False)
    tables = {n for n in names_of(model) if n.endswith("relative_position_bias_table")}
    groups = {g.name: g for g in sane.groups()}
    assert tables and {names_of(sane)[n] for n in tables} <= set(groups["tokens"].params)


def names_of(model):
    return dict(model.named_parameters())


@pytest.mark.parametrize("encoder", [BEIT, SWIN, VIT], ids=["beit", "swin", "vit"])
def test_what_is_hidden_changes_no_token(encoder):
    torch.manual_seed(0)
    model = simmim.Config(unit=8).model(encoder.build(32, 3, MEAN, STD)).double().eval()
    images = torch.randn(2, 3, 32, 32, generator=Seed(1).generator(), dtype=torch.float64)
    hidden = model.hide(2, Seed(2)).double()
    where = model.pixels(hidden)
    assert where.mean() == math.ceil(0.6 * 16) / 16
    tokens = model.encode(images, hidden, 2)
    assert torch.equal(model.encode(images + where, hidden, 2), tokens)
    assert not torch.equal(model.encode(images + 1 - where, hidden, 2), tokens)
    predicted = model.decode(tokens, hidden, 2)
    off = model.loss(predicted + (1 - where), images, hidden) - model.loss(
        predicted, images, hidden
    )
    assert off == 0


@pytest.mark.parametrize("encoder", [BEIT, SWIN, VIT], ids=["beit", "swin", "vit"])
def test_checkpointing_changes_no_gradient(encoder):
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        config = simmim.Config(unit=8, checkpointing=checkpointing)
        model = config.model(encoder.build(32, 3, MEAN, STD)).double()
        images = torch.randn(2, 3, 32, 32, generator=Seed(1).generator(), dtype=torch.float64)
        hidden = model.hide(2, Seed(2)).double()
        model.loss(
            model.decode(model.encode(images, hidden, 2), hidden, 2), images, hidden
        ).backward()
        found.append(gradients(model))
    for name, gradient in found[0].items():
        assert torch.equal(gradient, found[1][name]), name


@pytest.mark.parametrize("encoder", [BEIT, SWIN, VIT], ids=["beit", "swin", "vit"])
def test_the_exported_encoder_is_a_model_of_timm(encoder):
    model = simmim.Config(unit=8).model(encoder.build(32, 3, MEAN, STD)).eval()
    images = torch.randn(2, 3, 32, 32, generator=Seed(1).generator())
    exported = Reconstruct(model, 0).encoder().eval()
    assert torch.equal(exported(images), model.backbone(images))
    tokens = model.encode(images, torch.zeros(2, model.trunk.grid**2), 2)
    torch.testing.assert_close(exported(images), tokens[:, model.trunk.prefix :].mean(1))
    torch.testing.assert_close(exported(images), model.trunk.pooled(tokens))


def test_fresh_weights_are_smaller_in_deeper_blocks():
    torch.manual_seed(0)
    vit = VIT.replace(options={**VIT.options, "depth": 8, "embed_dim": 64})
    body = simmim.Config(unit=8).model(vit.build(32, 3, MEAN, STD)).backbone.body
    for depth in (0, 7):
        block = body.get_submodule(f"blocks.{depth}")
        for name, scale in (
            ("attn.proj", 2 * (depth + 1)),
            ("attn.qkv", 1),
            ("mlp.fc2", 2 * (depth + 1)),
        ):
            weight = block.get_submodule(name).get_parameter("weight")
            assert float(weight.detach().std()) == pytest.approx(0.02 / math.sqrt(scale), rel=0.05)


def test_wrong_use_is_told():
    vit = VIT.build(32, 3, MEAN, STD)
    with pytest.raises(
        ValueError, match="unit=12 must be a multiple of the patches' 8 px and divide"
    ):
        simmim.Config(unit=12).model(vit)
    with pytest.raises(ValueError, match=r"ratio=0.9 hides 4 of the 4 units"):
        simmim.Config(unit=16, ratio=0.9).model(vit)
    with pytest.raises(ValueError, match=r"class token as features.*global_pool=avg"):
        token = VIT.replace(options={**VIT.options, "global_pool": "token"})
        simmim.Config(unit=8).model(token.build(32, 3, MEAN, STD))
    with pytest.raises(ValueError, match="use_fc_norm=false"):
        plain = {k: v for k, v in BEIT.options.items() if k != "use_fc_norm"}
        simmim.Config(unit=8).model(BEIT.replace(options=plain).build(32, 3, MEAN, STD))
    with pytest.raises(ValueError, match=r"resnet18 is a ResNet.*beit_"):
        simmim.Config().model(backbone.Config(name="resnet18").build(32, 3, MEAN, STD))
