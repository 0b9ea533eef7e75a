"""Adapters and transformers run piece by piece, against timm's own forward pass."""

import pytest
import timm
import torch
from tests.pretext.test_mae import MEAN, STD, VIT
from tests.pretext.test_simmim import BEIT, SWIN

from masquerade.core.seed import Seed
from masquerade.networks.adapters import Adapters, Lane, adversarial, attach, distance, without
from masquerade.networks.vit import trunk

ENCODERS = {"vit": VIT, "beit": BEIT, "swin": SWIN}
over_encoders = pytest.mark.parametrize("name", ENCODERS)


def built(name, **changes):
    """A transformer with adapters, its lane, and images for it."""
    torch.manual_seed(0)
    encoder = ENCODERS[name].build(32, 3, MEAN, STD)
    lane = Lane()
    layers = ("proj", "fc1", "fc2") if name == "beit" else ("qkv", "proj", "fc1", "fc2")
    attach(encoder.body, Adapters(layers=layers, **changes), lane)
    images = torch.randn(4, 3, 32, 32, generator=Seed(1).generator())
    return trunk(encoder, lane), encoder, images


def moved(encoder):
    """Adversarial parameters away from the clean ones."""
    generator = Seed(2).generator()
    with torch.no_grad():
        for name, p in encoder.named_parameters():
            if adversarial(name):
                p += 0.1 * torch.randn(p.shape, generator=generator)


@over_encoders
def test_piece_by_piece_is_the_forward_pass_of_timm(name):
    it, encoder, images = built(name)
    theirs = encoder.body.forward_features(images)
    theirs = theirs.flatten(1, 2) if name == "swin" else theirs
    torch.testing.assert_close(it.run(images, 4), theirs)


@over_encoders
@pytest.mark.parametrize("kind", ["norm", "cls", "lora", "bottleneck"])
def test_adapters_change_nothing_at_first_then_adversarial_rows_alone(name, kind):
    it, encoder, images = built(name, kinds=(kind,))
    plain = ENCODERS[name].build(32, 3, MEAN, STD)
    plain.body.load_state_dict(without(encoder.body.state_dict()))  # strict: nothing is renamed
    clean = it.run(images, 4)
    assert torch.equal(clean, trunk(plain, Lane()).run(images, 4))
    assert torch.equal(it.run(images, 0), clean)
    assert distance(encoder) == 0 or kind in ("lora", "bottleneck")
    moved(encoder)
    assert torch.equal(it.run(images, 4), clean)
    assert torch.equal(encoder(images), plain(images))
    if (name, kind) == ("swin", "cls"):
        return  # there is no class token
    assert distance(encoder) > 0
    twin = it.run(images, 0)
    assert ((twin - clean).abs().amax((1, 2)) > 1e-4).all()
    split = it.run(images, 1)
    assert torch.equal(split[:1], clean[:1])
    torch.testing.assert_close(split[1:], twin[1:])


@over_encoders
def test_every_adapter_is_used(name):
    it, encoder, images = built(name, kinds=("norm", "cls", "lora", "bottleneck"))
    moved(encoder)
    it.run(images, 0).square().sum().backward()
    idle = [n for n, p in encoder.named_parameters() if adversarial(n) and p.grad is None]
    assert idle == []
    own = [n for n, p in encoder.named_parameters() if "norm" in n and not adversarial(n)]
    assert own and all(encoder.get_parameter(n).grad is None for n in own)


@pytest.mark.parametrize(
    ("kinds", "extra"),
    [
        (("norm", "cls"), 39_168),
        (("lora",), 442_368),
        (("bottleneck",), 1_189_632),
        ((), 0),
    ],
)
def test_adapters_of_a_vit_b_have_the_parameters_of_the_specification(kinds, extra):
    with torch.device("meta"):
        body = timm.create_model("vit_base_patch16_224", num_classes=0)
        before = sum(p.numel() for p in body.parameters())
        attach(body, Adapters(kinds=kinds), Lane())
    assert sum(p.numel() for p in body.parameters()) - before == extra
    assert sum(p.numel() for n, p in body.named_parameters() if adversarial(n)) == extra


def test_attention_is_what_the_class_token_takes_from_each_patch_in_the_last_block():
    it, encoder, images = built("vit")
    block, body = encoder.body.blocks[-1], encoder.body
    given = body.patch_embed(images) + body.pos_embed[:, 1:]
    first = (body.cls_token + body.pos_embed[:, :1]).expand(4, -1, -1)
    given = body.blocks[:-1](torch.cat([first, given], 1))
    q, k, _ = (
        block.attn.qkv(block.norm1(given)).unflatten(2, (3, block.attn.num_heads, -1)).unbind(2)
    )
    products = torch.einsum("bhd,bnhd->bhn", q[:, 0], k) / q.shape[-1] ** 0.5
    want = products.softmax(2).mean(1)[:, 1:].view(4, 1, it.grid, it.grid)
    torch.testing.assert_close(it.attention(images), want)
    assert block.attn.fused_attn


def test_attention_of_a_beit_adds_up_to_less_than_one_and_a_swin_has_none():
    it, _, images = built("beit")
    found = it.attention(images)
    assert found.shape == (4, 1, it.grid, it.grid)
    assert (found > 0).all() and (found.sum((1, 2, 3)) < 1).all()
    it, _, images = built("swin")
    assert it.attention(images) is None


def test_a_lane_is_left_as_it_was_even_by_an_error():
    lane, rows = Lane(), torch.zeros(6, 2)
    assert lane.clean(rows) == 6
    with pytest.raises(RuntimeError), lane.of(2, 3):
        assert lane.clean(rows) == 4
        with lane.of(0, 3):
            assert lane.clean(rows) == 0
        assert lane.clean(rows) == 4
        raise RuntimeError
    assert lane.clean(rows) == 6
