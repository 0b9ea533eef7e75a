"""What every masker keeps, whoever wrote it: a new file in the folder is tested by itself."""

import json
from typing import Any

import pytest
import torch

from masquerade.core import plugins
from masquerade.core.seed import Seed
from masquerade.engine.task import Progress
from masquerade.maskers.base import MaskerConfig

NOW = Progress(3, 10, 5)
SMALL: dict[str, Any] = {"width": 8}
# Settings worth a test of their own; a masker that is not named here is tested as it comes.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "erase": [
        {},
        {"masks": 3, "grid": 4, "ratio": 0.5, "clean": True},
        {"ratio": 0},
        {"ratio": 1},
        {"pair": True, "pattern": "blocked", "fill": "mean", "per_image": False},
        {"masks": 2, "pattern": "noise", "fill": "noise", "noise_std": 0.5},
        {"pair": True, "exact": False, "fill": "blur", "ratio": [0.2, 0.8]},
    ],
    "rectangles": [{}, {"masks": 2, "ratio": 0.7, "smallest": 9, "clean": True}],
    "mixmask": [
        {},
        {"grid": 2, "pattern": "discrete", "partners": "random"},
        {"grid": 8, "per_image": True, "partners": "derangement", "ratio": [0.25, 0.75]},
        {"pattern": "noise", "symmetrize": True, "exact": True, "partners_from": "batch"},
        {"pattern": "given", "given": [{"kind": "adios", **SMALL, "shown": 2}]},
        {"pattern": "given", "given": [{"kind": "sequential", **SMALL}], "partners": "random"},
        {"pattern": "given", "given": [{"kind": "erase", "masks": 2, "pair": True}]},
    ],
    "unmix": [
        {},
        {"global_ratio": 1, "alpha": 0.4, "partners": "derangement"},
        {"global_ratio": 0, "clip": "unbiased", "partners": "random"},
    ],
    "adios": [
        SMALL,
        {**SMALL, "shown": 1},
        {**SMALL, "masks": 3, "shown": 2, "budget": "held"},
        {**SMALL, "entropy": 0.7, "normaliser": "share"},
    ],
    "sequential": [
        SMALL,
        {**SMALL, "shown": 2, "control": "held"},
        {**SMALL, "masks": 1, "norm": "no"},
        {**SMALL, "masks": 2, "feedback": "input", "norm": "gn", "arch": "free"},
        {**SMALL, "masks": 2, "feedback": "image", "detach_previous": True, "pixels": "sum"},
    ],
}
CASES = [
    pytest.param({"kind": name, **changes}, id=f"{name}-{k}")
    for name in plugins.names("masquerade.maskers")
    for k, changes in enumerate(SETTINGS.get(name, [{}]))
]
every_masker = pytest.mark.parametrize("tree", CASES)


def built(tree, size=32, channels=3):
    torch.manual_seed(1)
    return MaskerConfig.parse(tree).build(size, channels)


def pictures(size=32, channels=3):
    return torch.randn(4, channels, size, size, generator=Seed(2).generator())


def holds(whole, part):
    """Whether nested settings have all that others say."""
    if isinstance(part, dict):
        return all(holds(whole[key], value) for key, value in part.items())
    if part and isinstance(part, list):
        return len(whole) == len(part) and all(map(holds, whole, part))
    return whole == part


def learns(masker):
    return any(True for _ in masker.parameters())


def test_every_masker_of_the_folder_is_tested():
    assert set(SETTINGS) <= set(plugins.names("masquerade.maskers"))
    assert len(CASES) >= len(plugins.names("masquerade.maskers"))


@every_masker
def test_settings_survive_json(tree):
    config = MaskerConfig.parse(tree)
    assert MaskerConfig.parse(json.loads(json.dumps(config.tree()))) == config
    assert holds(config.tree(), tree)


@every_masker
@pytest.mark.parametrize(
    ("size", "channels"), [(32, 1), (32, 3), (32, 5), (64, 3), (96, 1), (96, 3)]
)
def test_masks_lie_in_0_to_1_and_have_the_size_of_the_images(tree, size, channels):
    masker, images = built(tree, size, channels), pictures(size, channels)
    with torch.no_grad():
        masks = masker.propose(images, Seed(0))
    assert masks.dtype == torch.float32
    assert masks.shape[0] == 4
    assert masks.shape[1] >= 1
    assert masks.shape[2:] == (size, size)
    assert (masks >= 0).all()
    assert (masks <= 1).all()


@every_masker
def test_equal_seeds_give_equal_pixels_and_other_seeds_others_where_there_is_chance(tree):
    masker, images = built(tree), pictures()
    draw = [masker.propose(images, Seed(s)) for s in (0, 0, 1)]
    assert torch.equal(draw[0], draw[1])
    one, same, other = (masker.occlude(images, draw[0], Seed(s)) for s in (0, 0, 1))
    assert all(torch.equal(a.images, b.images) for a, b in zip(one, same, strict=True))
    assert len(other) == len(one)
    told = learns(masker) or bool((draw[0] == 0).all() or (draw[0] == 1).all())
    assert torch.equal(draw[0], draw[2]) == told


@every_masker
def test_inputs_are_left_alone(tree):
    masker, images = built(tree), pictures()
    masks = masker.propose(images, Seed(0))
    before = masks.detach().clone()
    masker.occlude(images, masks, Seed(0))
    masker.price([masks, masks], [images, images], NOW)
    assert torch.equal(images, pictures())
    assert torch.equal(masks, before)


@every_masker
def test_kept_pixels_stay_and_hidden_ones_are_erased_or_the_partners(tree):
    masker, images = built(tree), pictures()
    count = masker.propose(images, Seed(0)).shape[1]
    binary = (torch.rand(4, count, 32, 32, generator=Seed(3).generator()) < 0.5).float()
    copies = masker.occlude(images, binary, Seed(0))
    assert copies
    fillings = [None] * len(copies)  # of an eraser: what it shows where all is hidden
    for constant in (torch.zeros_like(binary), torch.ones_like(binary)):
        for k, copy in enumerate(masker.occlude(images, constant, Seed(0))):
            if copy.partner is None and (copy.hidden == 1).all():
                fillings[k] = copy.images
    for copy, filling in zip(copies, fillings, strict=True):
        shown = copy.hidden.expand_as(images)
        if copy.partner is not None:
            filling = images[copy.partner]
        assert filling is not None
        if copy.partner is None and tree.get("fill", "zeros") == "zeros":
            assert (filling == 0).all()
        assert torch.equal(copy.images[shown == 0], images[shown == 0])
        assert torch.equal(copy.images[shown == 1], filling[shown == 1])
        assert ((copy.share >= 0) & (copy.share <= 1)).all()
        assert (copy.weight >= 0).all()
        if copy.partner is None:
            assert (copy.share == 1).all()
        else:
            assert sorted(copy.partner.tolist()) == [0, 1, 2, 3]


@every_masker
def test_an_adversary_hears_the_price_and_the_encoder(tree):
    masker, images = built(tree), pictures()
    if not learns(masker):
        assert masker.price([torch.rand(4, 2, 32, 32)], [images], NOW) == 0
        return
    for hears in ("price", "encoder"):
        masker.zero_grad()
        masks = masker.propose(images, Seed(0))
        if hears == "price":
            masker.price([masks], [images], NOW).backward()
        else:
            sum(
                (c.images * images).sum() for c in masker.occlude(images, masks, Seed(0))
            ).backward()
        grads = [p.grad for p in masker.parameters() if p.grad is not None]
        assert all(g.isfinite().all() for g in grads), hears
        assert sum(g.abs().sum() for g in grads) > 0, hears


@every_masker
@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("bf16", [False, True])
def test_the_price_of_empty_and_full_masks_is_finite_with_finite_gradients(tree, value, bf16):
    masker, images = built(tree), pictures()
    count = masker.propose(images, Seed(0)).shape[1]
    masks = torch.full((4, count, 32, 32), value, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        price = masker.price([masks], [images], NOW)
    assert price.isfinite()
    if price.requires_grad:
        price.backward()
        assert masks.grad is not None
        assert masks.grad.isfinite().all()


@every_masker
def test_masks_stay_float32_when_the_network_runs_in_bf16(tree):
    masker, images = built(tree), pictures()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        masks = masker.propose(images, Seed(0))
        copies = masker.occlude(images, masks, Seed(0))
    assert masks.dtype == torch.float32
    assert masks.isfinite().all()
    assert all(copy.images.dtype == images.dtype for copy in copies)
