import pytest
import torch
from torchvision.transforms import v2

from masquerade.core.seed import Seed
from masquerade.data.augment import Policy
from masquerade.data.augment.draw import draw

MANY = 6000


def alike(height: int, width: int, count: int = MANY) -> torch.Tensor:
    return torch.tensor([[height, width]]).repeat(count, 1)


@pytest.mark.parametrize(("height", "width"), [(96, 96), (60, 90), (100, 20)])
def test_boxes_are_distributed_as_those_of_torchvision(height: int, width: int):
    box = draw(Policy(), alike(height, width), Seed(0)).box.double()
    crop = v2.RandomResizedCrop(32)
    torch.manual_seed(0)
    made = [crop.make_params([torch.empty(3, height, width)]) for _ in range(MANY)]
    theirs = torch.tensor([[m[k] for k in ("top", "left", "height", "width")] for m in made])
    for name, ours, other in (
        ("area", share(box), share(theirs.double())),
        ("log ratio", (box[:, 3] / box[:, 2]).log(), (theirs[:, 3] / theirs[:, 2]).log()),
        ("top", box[:, 0] / height, theirs[:, 0] / height),
        ("left", box[:, 1] / width, theirs[:, 1] / width),
    ):
        levels = torch.linspace(0.05, 0.95, 10, dtype=torch.float64)
        gap = (ours.double().quantile(levels) - other.double().quantile(levels)).abs().max()
        # in units of the image; two samples of 6000 are this close
        assert gap < 0.05 * (height * width if name == "area" else 1), name


def share(box: torch.Tensor) -> torch.Tensor:
    return box[:, 2] * box[:, 3]


def test_boxes_lie_inside_the_extent():
    extent = torch.randint(1, 40, (3000, 2), generator=Seed(1).generator())
    top, left, height, width = draw(Policy(), extent, Seed(0)).box.unbind(1)
    assert (top >= 0).all() and (left >= 0).all() and (height > 0).all() and (width > 0).all()
    assert (top + height <= extent[:, 0]).all() and (left + width <= extent[:, 1]).all()


def test_an_image_no_box_fits_gets_the_widest_centred_one():
    box = draw(Policy(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0)), alike(10, 30, 4), Seed(0)).box
    assert box.tolist() == [[0, 10, 10, 10]] * 4


def test_every_choice_is_made_as_often_as_the_policy_says():
    policy = Policy(flip=0.3, jitter=0.6, grey=0.1, blur=0.4, solarise=0.2)
    drawn = draw(policy, alike(8, 8), Seed(0))
    jittered = (drawn.factors != torch.tensor([1.0, 1.0, 1.0, 0.0])).any(1)
    for said, chosen in (
        (0.3, drawn.flip),
        (0.6, jittered),
        (0.1, drawn.grey),
        (0.4, drawn.sigma > 0),
        (0.2, drawn.solarise),
    ):
        assert chosen.double().mean().item() == pytest.approx(said, abs=0.02)  # 3 standard errors


def test_factors_are_uniform_between_their_bounds():
    policy = Policy(jitter=1.0, brightness=0.4, contrast=1.5, saturation=0.0, hue=0.2, blur=1.0)
    drawn = draw(policy, alike(8, 8), Seed(0))
    bounds = [(0.6, 1.4), (0.0, 2.5), (1.0, 1.0), (-0.2, 0.2)]
    columns = [*zip(drawn.factors.unbind(1), bounds, strict=True), (drawn.sigma, (0.1, 2.0))]
    levels = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    for values, (low, high) in columns:
        assert low <= values.min() and values.max() <= high
        expected = low + (high - low) * levels
        assert torch.allclose(values.quantile(levels), expected, atol=0.03 * (high - low) + 1e-9)


def test_all_24_orders_of_the_jitter_are_equally_likely():
    order = draw(Policy(), alike(8, 8), Seed(0)).order
    assert order.sort(1).values.unique(dim=0).tolist() == [[0, 1, 2, 3]]
    counts = order.unique(dim=0, return_counts=True)[1]
    assert len(counts) == 24
    assert counts.min() > 0.75 * MANY / 24 and counts.max() < 1.25 * MANY / 24


def test_ranks_partition_the_draw_of_the_global_batch():
    extent = torch.randint(10, 90, (12, 2), generator=Seed(3).generator())
    whole = draw(Policy(), extent, Seed(5))
    for rank in range(3):
        rows = slice(4 * rank, 4 * rank + 4)
        part = draw(Policy(), extent[rows], Seed(5), rank=rank, world=3)
        for ours, theirs in zip(part, whole.rows(rows), strict=True):
            assert torch.equal(ours, theirs)


def test_the_parameters_of_a_choice_do_not_depend_on_other_settings():
    first = draw(Policy(), alike(50, 50, 20), Seed(2))
    second = draw(Policy(blur=0.0, jitter=0.0, grey=0.0), alike(50, 50, 20), Seed(2))
    assert torch.equal(first.box, second.box) and torch.equal(first.flip, second.flip)
