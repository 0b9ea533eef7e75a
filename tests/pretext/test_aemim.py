"""AEMIM: the specified step against arrays (tests/oracles/aemim/aemim_spec.npz), and its laws."""

import copy

import pytest
import torch
from tests.pretext.test_mae import MEAN, NEAR, NOW, STD, TINY, VIT, gradients, oracle
from tests.pretext.test_mae import ours as official
from tests.pretext.test_simmim import BEIT, SWIN

from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.engine.optimizers import adamw
from masquerade.engine.task import Carry
from masquerade.networks import backbone
from masquerade.networks.adapters import Adapters, adversarial
from masquerade.pretext import aemim, feature_attack, mae, simmim
from masquerade.pretext.aemim import Aemim, Masked
from masquerade.pretext.feature_attack import FeatureAttack as Attack

SPEC = aemim.Config(base=TINY)
STRIDES = {1: 1.0, 2: 1.0, 3: 2.25}  # of the arrays: 2, 1 and 1.5 of 255


def ours(name):
    """Our name of a parameter of the authors' snapshot."""
    if name == "adv_cls_token":
        return "backbone.body.adv_cls_token"
    name = name.replace("main_bn.", "")
    before, aux, last = name.rpartition("aux_bn.")
    return official(f"{before}adv_{last}" if aux else name)


def specified(dtype=torch.float64, **changes):
    """The oracle's arrays and the task they belong to."""
    stored = oracle("aemim_spec")
    torch.manual_seed(0)
    config = SPEC.replace(**changes)
    it = Aemim(config, config.base.model(VIT.build(16, 3, MEAN, STD)), 0)
    weights = {ours(k[2:]): v for k, v in stored.items() if k.startswith("w/")}
    known = it.model.state_dict()
    wrong = it.model.load_state_dict({k: v for k, v in weights.items() if k in known}, strict=False)
    assert not wrong.missing_keys
    return it.to(dtype), {
        k: v.to(dtype) if isinstance(v, torch.Tensor) else v for k, v in stored.items()
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("steps", STRIDES)
@pytest.mark.parametrize("kind", ["kl", "l2", "mse"])
def test_the_specified_step_is_reproduced(kind, steps, dtype, monkeypatch):
    config = Attack(distance=kind, steps=steps, stride=STRIDES[steps]).tree()
    for dual in (False, True):
        it, stored = specified(dtype, attack=config, adapt_decoder=dual)
        monkeypatch.setattr(it.model, "hide", lambda n, seed: stored["mask"])  # noqa: B023
        drawn = stored["u"] * stored["visible"]
        monkeypatch.setattr(it, "_noise", lambda twins, seed: drawn)  # noqa: B023
        found = it._attack(*step_inputs(it, stored))
        torch.testing.assert_close(
            it.model.to_pixels(found.shown.images), stored[f"adv_{kind}_{steps}"], **NEAR
        )
        terms = it(Views((stored["x"],), None), ("encoder",), Seed(0), NOW, Carry())
        decoder = "dual" if dual else "shared"
        clean, twin = (
            stored[f"loss_clean_{kind}_{steps}"],
            stored[f"loss_adv_{decoder}_dec_{kind}_{steps}"],
        )
        torch.testing.assert_close(terms.logs["clean/loss"], clean, **NEAR)
        torch.testing.assert_close(terms.logs["twin/loss"], twin, **NEAR)
        size = {"kl": 5, "l2": 1, "mse": 32}[kind]  # the arrays' means: of images, tokens, numbers
        first, last = terms.logs["attack/before"], terms.logs["twin/distance"]
        mine = torch.stack([first, last]) * (size if kind == "kl" else 1 / size)
        torch.testing.assert_close(mine, stored[f"dist_{kind}_{steps}"][[0, -1]], **NEAR)
        if dual:
            continue
        terms.loss.backward()
        mine = gradients(it.model)
        for name, expected in stored.items():
            if name.startswith(f"g_{kind}_{steps}/"):
                torch.testing.assert_close(mine[ours(name.partition("/")[2])], expected, **NEAR)


def step_inputs(it, stored):
    twins = Masked(stored["x"], stored["mask"])
    with torch.no_grad():
        target = it._encode(twins, 3)
    return twins, target, Seed(0)


BASES = {
    "mae": (TINY, VIT, 16),
    "simmim on beit": (simmim.Config(unit=8), BEIT, 32),
    "simmim on swin": (simmim.Config(unit=8), SWIN, 32),
}
over_bases = pytest.mark.parametrize("base", BASES)
STRONG = Attack(epsilon=8 / 255)


def task(base="mae", equal=False, dtype=torch.float64, checkpointing=False, **changes):
    """A task with weights away from their start, whose sets of adapters differ unless `equal`."""
    config, encoder, size = BASES[base]
    config = config.replace(checkpointing=checkpointing)
    torch.manual_seed(0)
    settings = SPEC.replace(base=config, **changes)
    it = Aemim(settings, config.model(encoder.build(size, 3, MEAN, STD)), 0).to(dtype)
    generator = Seed(3).generator()
    with torch.no_grad():
        named = dict(it.model.named_parameters())
        for p in named.values():
            p.add_(0.05 * torch.randn(p.shape, generator=generator).to(p))
        for name, p in named.items():
            if adversarial(name) and equal:
                p.copy_(named[name.replace("adv_", "")])
    return it


def images(base="mae", count=4, dtype=torch.float64):
    """Standardised noise in [0, 1], some of it black and white."""
    size = BASES[base][2]
    pixels = torch.rand(count, 3, size, size, generator=Seed(4).generator(), dtype=torch.float64)
    pixels = (1.2 * pixels - 0.1).clamp(0, 1).to(dtype)
    mean, std = (torch.tensor(v)[:, None, None].to(dtype) for v in (MEAN, STD))
    return (pixels - mean) / std


def inputs(it, base="mae", dtype=torch.float64):
    """Images, their masks, and the features that an attack is to leave."""
    shown = images(base, dtype=dtype)
    twins = Masked(shown, it.model.hide(len(shown), Seed(5)).to(dtype))
    with torch.no_grad():
        return twins, it._encode(twins, len(shown)), Seed(6)


def stepped(it, base="mae", now=NOW):
    """The losses of a step by name, and all gradients."""
    terms = it(Views((images(base),), None), ("encoder",), Seed(0), now, Carry())
    parts = [terms.loss] if isinstance(terms.loss, torch.Tensor) else terms.loss
    for part in parts:
        part.backward()
    return terms.logs, gradients(it)


@over_bases
@pytest.mark.parametrize("by", ["gradient", "noise"])
def test_hidden_pixels_stay_and_visible_ones_stay_within_the_budget(base, by):
    it = task(base, attack=STRONG.replace(by=by).tree())
    twins, target, seed = inputs(it, base)
    found = it._attack(twins, target, seed)
    before, after = it.model.to_pixels(twins.images), it.model.to_pixels(found.shown.images)
    hidden = it.model.pixels(twins.hidden).bool().expand_as(before)
    assert torch.equal(after[hidden], before[hidden])
    gaps = (after - before)[~hidden].abs()
    assert gaps.max() <= 8 / 255 + 1e-12
    assert (gaps > 7.9 / 255).double().mean() > 0.3
    assert after.min() >= 0 and after.max() <= 1
    pixels = before.requires_grad_()
    latent = it._encode(Masked(it.model.standardised(pixels), twins.hidden), 0)
    (slope,) = torch.autograd.grad(feature_attack.apart(latent, target, "kl"), pixels)
    assert (slope[hidden] == 0).all() and (slope[~hidden] != 0).any()


@over_bases
def test_an_attack_leaves_no_gradient_in_the_network(base):
    it = task(base)
    it._attack(*inputs(it, base))
    assert all(p.grad is None for p in it.parameters())
    assert all(p.requires_grad for n, p in it.named_parameters() if "pos_embed" not in n)


def test_without_noise_and_with_equal_adapters_there_is_nothing_to_climb():
    it = task(equal=True)
    twins, target, _ = inputs(it)
    pixels = it.model.to_pixels(twins.images)
    slopes = {}
    for start in (0.0, 2 / 255):
        moved = (pixels + start * it._noise(twins, Seed(0))).requires_grad_()
        latent = it._encode(Masked(it.model.standardised(moved), twins.hidden), 0)
        (slope,) = torch.autograd.grad(feature_attack.apart(latent, target, "kl"), moved)
        slopes[start] = float(slope.abs().max())
    assert slopes[0.0] < 1e-6 * slopes[2 / 255]


@over_bases
@pytest.mark.parametrize("twins", [1.0, 0.5])
@pytest.mark.parametrize("decoder", [False, True])
def test_one_batch_two_passes_and_one_task_after_the_other_are_the_same_step(base, twins, decoder):
    if decoder and base != "mae":
        return  # a linear head has no norms
    found = {}
    for passes in ("reused", "fused", "lean"):
        it = task(base, passes=passes, twins=twins, adapt_decoder=decoder)
        found[passes] = stepped(it, base, NOW._replace(step=10))
    logs, expected = found["reused"]
    assert "attack/noise" in logs
    assert sum(g is not None for g in expected.values()) == len(expected)
    for passes in ("fused", "lean"):
        assert found[passes][0].keys() == logs.keys()
        for name, value in logs.items():
            torch.testing.assert_close(found[passes][0][name], value, check_dtype=False)
        for name, gradient in expected.items():
            torch.testing.assert_close(found[passes][1][name], gradient, rtol=1e-9, atol=1e-12)


@over_bases
def test_a_split_batch_is_two_passes_to_the_last_bit(base):
    it = task(base)
    twins, _, _ = inputs(it, base)
    both = it._encode(twins.joined(twins), 4)
    assert torch.equal(both[:4], it._encode(twins, 4))
    assert torch.equal(both[4:], it._encode(twins, 0))
    assert not torch.equal(both[:4], both[4:])


@over_bases
def test_the_attack_in_pixels_is_the_attack_in_standardised_space(base):
    it = task(base, attack=STRONG.tree())
    twins, target, seed = inputs(it, base)
    found = it._attack(twins, target, seed).shown.images
    mean, std = (torch.tensor(v)[:, None, None].double() for v in (MEAN, STD))
    epsilon, low, high = 8 / 255 / std, -mean / std, (1 - mean) / std
    x = twins.images + epsilon * it._noise(twins, seed.fold("attack"))
    x = torch.minimum(torch.maximum(x, low), high)
    for _ in range(2):
        x = x.detach().requires_grad_()
        latent = it._encode(Masked(x, twins.hidden), 0)
        (slope,) = torch.autograd.grad(feature_attack.apart(latent, target, "kl"), x)
        x = x + epsilon / 2 * slope.sign()
        x = torch.minimum(torch.maximum(x, twins.images - epsilon), twins.images + epsilon)
        x = torch.minimum(torch.maximum(x, low), high)
    torch.testing.assert_close(found, x.detach(), rtol=0, atol=1e-9)


@over_bases
def test_with_a_start_on_visible_patches_both_targets_are_the_same(base):
    clean, _ = stepped(task(base, target="clean"), base)
    own, _ = stepped(task(base, target="adversarial"), base)
    torch.testing.assert_close(own["twin/loss"], clean["twin/loss"], rtol=1e-12, atol=0)
    everywhere = STRONG.replace(start="everywhere").tree()
    clean, _ = stepped(task(base, target="clean", attack=everywhere), base)
    own, _ = stepped(task(base, target="adversarial", attack=everywhere), base)
    assert abs(own["twin/loss"] - clean["twin/loss"]) > 1e-6


@over_bases
@pytest.mark.parametrize("kinds", [("norm", "cls"), ("lora", "bottleneck"), ()])
def test_an_export_is_the_clean_path_in_plain_timm(base, kinds):
    layers = ["proj", "fc1"] if base == "simmim on beit" else ["qkv", "proj"]
    it = task(base, dtype=torch.float32, adapters=Adapters(kinds=kinds, layers=layers).tree())
    assert any(adversarial(n) for n in it.state_dict()) == bool(kinds)
    encoder = it.encoder().eval()
    assert not any(adversarial(n) for n in encoder.state_dict())
    shown = images(base, dtype=torch.float32)
    assert torch.equal(encoder(shown), it.model.backbone.eval()(shown))


def test_a_scaled_distance_finds_the_same_images(monkeypatch):
    it = task(dtype=torch.float32)
    given = inputs(it, dtype=torch.float32)
    found = it._attack(*given).shown.images
    plain = feature_attack.apart
    monkeypatch.setattr(feature_attack, "apart", lambda *a: 1024 * plain(*a))
    assert torch.equal(it._attack(*given).shown.images, found)


@over_bases
def test_norms_of_twins_are_spared_weight_decay(base):
    it = task(base)
    names = {p: n for n, p in it.named_parameters()}
    made = adamw.Config(decay=0.05).over(it.players()["encoder"])
    decayed = {names[p]: g["weight_decay"] for g in made.param_groups for p in g["params"]}
    norms = [n for n in decayed if n.endswith(("adv_weight", "adv_bias"))]
    assert len(norms) > 4 and all(decayed[n] == 0 for n in norms)
    assert decayed["model.decoder.pred.weight" if base == "mae" else "model.decoder.0.weight"] > 0


@pytest.mark.parametrize("distance", ["kl", "l2", "mse"])
@over_bases
def test_an_attack_beats_random_signs_of_the_same_size(base, distance):
    it = task(base, equal=True, attack=Attack(distance=distance).tree())
    logs, _ = stepped(it, base, NOW._replace(step=20))
    assert logs["twin/distance"] > 1.2 * logs["attack/noise"]
    assert logs["twin/distance"] > logs["attack/before"]


@over_bases
def test_checkpointing_changes_no_gradient(base):
    plain = stepped(task(base), base)
    for passes in ("reused", "fused"):
        logs, found = stepped(task(base, checkpointing=True, passes=passes), base)
        torch.testing.assert_close(logs["twin/loss"], plain[0]["twin/loss"])
        for name, gradient in plain[1].items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-12)


def test_images_that_come_in_low_precision_are_attacked_in_float32():
    it = task(dtype=torch.float32, attack=STRONG.tree())
    views = Views((images(dtype=torch.bfloat16),), None)
    seen = []
    plain = it._described

    def watched(*given):
        seen.append(given[1:3])
        return plain(*given)

    it._described = watched
    with torch.autocast("cpu", torch.bfloat16):
        logs = it(views, ("encoder",), Seed(0), NOW, Carry()).logs
    before, after = (it.model.to_pixels(m.images) for m in (seen[0][0], seen[0][1].shown))
    assert after.dtype == torch.float32
    assert (after - before).abs().max() <= 8 / 255 + 1e-6
    assert logs["twin/at_bound"] > 0.3


def test_a_copy_has_a_lane_of_its_own():
    it = task(adapters=Adapters(kinds=("norm", "cls", "lora", "bottleneck")).tree())
    other = copy.deepcopy(it)
    twins, _, _ = inputs(it)
    with torch.no_grad():
        for name, p in other.model.named_parameters():
            if adversarial(name):
                p.zero_()
    first, second = (t._encode(twins, 0) for t in (it, other))
    assert not torch.equal(first, second)
    with it.model.lane.of(0, 4):
        assert torch.equal(other.model.encode(*twins, 4), it.model.encode(*twins, 4))


def test_random_signs_and_the_clean_adapters_are_controls():
    logs, _ = stepped(task(attack=Attack(by="noise").tree()))
    assert "attack/before" not in logs and logs["twin/distance"] > 0
    one, two = (task(attack=Attack(through=t).tree()) for t in ("adversarial", "clean"))
    given = inputs(one)
    assert not torch.equal(one._attack(*given).shown.images, two._attack(*given).shown.images)


def test_twins_of_a_quarter_are_the_first_images():
    it = task(twins=0.25)
    seen = []
    plain = it._attack

    def watched(twins, *rest):
        seen.append(twins)
        return plain(twins, *rest)

    it._attack = watched
    stepped(it)
    assert torch.equal(seen[0].images, images()[:1])


def test_flops_are_two_trainings_and_the_attack():
    from torch.utils.flop_counter import FlopCounterMode

    vit = backbone.Config(
        name="vit_tiny_patch16_224", options={"depth": 8, "embed_dim": 192, "num_heads": 3}
    )
    base = mae.Config(decoder=mae.Decoder(width=96, depth=2, heads=3))
    shown = torch.rand(1, 3, 32, 32, generator=Seed(0).generator())
    hidden = base.model(vit.build(32, 3, MEAN, STD)).hide(1, Seed(0))

    def counted(run):
        with FlopCounterMode(display=False) as counter:
            run()
        return counter.get_total_flops()

    plain = mae.Config(decoder=base.decoder).model(vit.build(32, 3, MEAN, STD))
    encoder = counted(lambda: plain.encode(shown, hidden, 1))
    latent = plain.encode(shown, hidden, 1)
    decoder = counted(lambda: plain.decode(latent, hidden, 1))
    one = mim_step(plain, shown)
    for steps in (1, 2):
        config = aemim.Config(base=base, attack=Attack(steps=steps))
        for passes, extra in (("reused", 0), ("lean", 0), ("fused", 1)):
            it = Aemim(config.replace(passes=passes), base.model(vit.build(32, 3, MEAN, STD)), 0)
            batch = Views((shown,), None)

            def run(it=it, batch=batch):
                loss = it(batch, ("encoder",), Seed(0), NOW, Carry()).loss
                for part in [loss] if isinstance(loss, torch.Tensor) else loss:
                    part.backward()

            expected = 2 + (2 * steps + extra) * encoder / (3 * (encoder + decoder))
            assert counted(run) / counted(one) == pytest.approx(expected, rel=0.01)


def mim_step(model, shown):
    """A training step of the model alone."""

    def run():
        hidden = model.hide(len(shown), Seed(0))
        n = len(shown)
        model.loss(
            model.decode(model.encode(shown, hidden, n), hidden, n), shown, hidden
        ).backward()

    return run


def test_wrong_use_is_told():
    swin = SWIN.replace(options={**SWIN.options, "drop_path_rate": 0.1})
    with pytest.raises(ValueError, match=r"drops paths by chance.*drop_path_rate=0"):
        Aemim(SPEC, simmim.Config(unit=8).model(swin.build(32, 3, MEAN, STD)), 0)
    with pytest.raises(ValueError, match=r"Beit uses its weight.*Leave qkv out"):
        task("simmim on beit", adapters=Adapters(kinds=("lora",)).tree())
    with pytest.raises(ValueError, match="which 2 processes cannot share; use reused"):
        SPEC.replace(passes="lean").check(2)
    with pytest.raises(ValueError, match="epsilon must be at most 1"):
        Attack.parse({"epsilon": 2})
