import math
from pathlib import Path

import numpy as np
import pytest
import torch

from masquerade.core.seed import Seed
from masquerade.engine.task import Progress
from masquerade.maskers import adios

NOW = Progress(0, 10, 5)
OFFICIAL = Path(__file__).parents[1] / "oracles" / "adios"


def drawn(*shape):
    return torch.rand(*shape, generator=Seed(0).generator(), dtype=torch.float64)


def built(**changes):
    torch.manual_seed(0)
    return adios.Config(width=8, norm="gn").replace(**changes).build(32, 3)


def masks_of(count, views):
    return [m.softmax(1) for m in (4 * drawn(views, 3, count, 8, 8)).unbind(0)]


@pytest.mark.parametrize("name", ["gn32", "in32", "no32", "gn64", "gn96"])
def test_masks_equal_those_of_the_official_network(name):
    stored = np.load(OFFICIAL / f"unet_{name}.npz")
    norm, size = name[:2], int(name[2:])
    masker = adios.Config.parse({"width": 8, "norm": norm}).build(size, 3)
    official = {k: torch.tensor(stored[k]) for k in stored.files if stored[k].dtype == "f4"}
    masker.unet.load_state_dict({k[2:]: v for k, v in official.items() if k.startswith("w.")})
    masker.head.load_state_dict({k: official[f"head.0.{k}"] for k in ("weight", "bias")})
    with torch.no_grad():
        masks = masker.propose(official["x"], Seed(0))
    torch.testing.assert_close(masks, official["masks"], rtol=1e-4, atol=1e-6)


def test_every_pixel_is_hidden_once_in_total():
    images = torch.randn(2, 3, 32, 32, generator=Seed(0).generator())
    torch.testing.assert_close(built().propose(images, Seed(0)).sum(1), torch.ones(2, 32, 32))


@pytest.mark.parametrize("views", [1, 2])
def test_the_price_times_n_is_what_the_official_code_subtracts(views):
    masks = masks_of(4, views)
    config = {"sparsity": 0.9, "entropy": 0.7, "entropy_reduction": "sum"}
    price = built(**config).price(masks, [drawn(3, 3, 8, 8)] * views, NOW)
    sparsity, entropy = 0.0, 0.0
    for b in range(3):
        s = [float(view[b, k].mean()) for view in masks for k in range(4)]
        sparsity += sum(1 / math.sin(math.pi * x) for x in s) / 3
        q = [math.exp(x) / sum(math.exp(y) for y in s) for x in s]  # over both views' masks
        entropy -= sum(p * math.log(p) for p in q)
    assert float(4 * price) == pytest.approx(0.9 * sparsity + 0.7 * entropy, rel=1e-9)


def test_a_held_budget_adds_the_weighted_distance_to_one_nth():
    masks, images = masks_of(4, 2), [drawn(3, 3, 8, 8)] * 2
    masker = built(sparsity=0.0, budget="held").double()
    assert masker.held is not None
    masker.held.weights.copy_(torch.tensor([1.0, 2.0, 0.0, 5.0]))
    weights = [1, 2, 0, 5]
    slow = sum(
        weights[k] * (float(view[b, k].mean()) - 0.25) ** 2 / 12
        for view in masks
        for b in range(3)
        for k in range(4)
    )
    assert float(masker.price(masks, images, NOW)) == pytest.approx(slow, rel=1e-9)


def test_a_held_budget_moves_its_weights_after_the_step_and_a_fixed_one_has_none():
    masker = built(budget="held")
    masks = torch.zeros(2, 4, 8, 8)
    masks[:, 0] = 1
    masker.price([masks], [torch.zeros(2, 3, 8, 8)], NOW)
    masker.after_step(NOW)
    assert masker.held is not None
    assert (masker.held.weights > 10).all()
    assert "held.weights" in masker.state_dict()
    assert "held.weights" not in built().state_dict()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"masks": 0}, "masks .*at least 2, got 0"),
        ({"masks": 1}, "masks .*at least 2, got 1"),
        ({"budget": 1.5}, "budget .*fixed, held, got 1.5"),
        ({"sparsity": -1}, "sparsity .*at least 0, got -1"),
        ({"levels": 7}, "levels .*0, 4, 5, 6, got 7"),
        ({"shown": -1}, "shown .*at least 0, got -1"),
        ({"sparsty": 1}, "Did you mean 'sparsity'"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_the_reason(changes, said):
    with pytest.raises(ValueError, match=said):
        adios.Config.parse(changes)


@pytest.mark.parametrize(
    ("size", "changes", "said"),
    [
        (256, {}, "32 to 255 px, got 256 px. Use arch=free"),
        (100, {}, "multiple of 16, got 100 px. Use arch=free"),
        (24, {}, "32 to 255 px, got 24 px. Use arch=free"),
        (32, {"levels": 6}, "less than 2 x 2 of images of 32 px"),
        (8, {"arch": "free"}, "at least 16 px, got 8"),
        (64, {"width": 12, "norm": "gn"}, "multiple of 8 for norm=gn, got 12"),
    ],
)
def test_image_sizes_and_widths_the_network_cannot_take_are_refused(size, changes, said):
    with pytest.raises(ValueError, match=said):
        adios.Config.parse(changes).build(size, 3)


@pytest.mark.parametrize(
    ("size", "changes"), [(224, {"levels": 4}), (224, {}), (256, {"arch": "free"})]
)
def test_the_depth_can_be_chosen_and_free_takes_what_genesis_does_not(size, changes):
    masker = adios.Config.parse({"width": 8, **changes}).build(size, 3)
    with torch.no_grad():
        assert masker.propose(torch.zeros(1, 3, size, size), Seed(0)).shape[1] == 4
