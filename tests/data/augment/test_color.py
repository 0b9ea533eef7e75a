"""What one colour matrix does, and how far it is from torchvision, which clips at each step."""

import itertools
import math

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from masquerade.core.seed import Seed
from masquerade.data.augment import Augmenter, Policy, simclr
from masquerade.data.augment.color import mixing, turning

ORDERS = list(itertools.permutations(range(4)))


def applied(pixels: Tensor, factors: Tensor, order: Tensor, grey: Tensor) -> Tensor:
    image, mean = mixing(factors, order, grey, pixels.shape[1])
    flat = pixels.flatten(2)
    made: Tensor = image @ flat + mean @ flat.mean(2, keepdim=True)
    return made.view_as(pixels)


def neutral(count: int) -> tuple[Tensor, Tensor, Tensor]:
    factors = torch.tensor([[1.0, 1.0, 1.0, 0.0]]).repeat(count, 1)
    return factors, torch.arange(4).repeat(count, 1), torch.zeros(count, dtype=torch.bool)


def test_brightness_contrast_and_saturation_in_any_order_are_those_of_torchvision():
    generator = Seed(0).generator()
    pixels = 0.4 + 0.1 * torch.rand(len(ORDERS), 3, 8, 8, generator=generator)  # nothing clips
    factors, _, grey = neutral(len(ORDERS))
    factors[:, :3] = 0.8 + 0.4 * torch.rand(len(ORDERS), 3, generator=generator)
    made = applied(pixels, factors, torch.tensor(ORDERS), grey)
    steps = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation)
    for image, result, numbers, order in zip(pixels, made, factors.tolist(), ORDERS, strict=True):
        expected = image
        for which in (n for n in order if n < 3):
            expected = steps[which](expected, numbers[which])
        assert torch.allclose(result, expected, atol=2e-4)  # its luma weights sum to 0.9999


def test_a_third_of_a_turn_takes_red_to_green_to_blue():
    forth, back = turning(torch.tensor([1 / 3, -1 / 3]), 3)
    assert torch.allclose(forth @ torch.eye(3), torch.eye(3)[:, [1, 2, 0]], atol=1e-6)
    assert torch.allclose(forth @ back, torch.eye(3), atol=1e-6)


def test_turns_add_up_and_keep_the_sum_of_the_channels():
    a, b, both = turning(torch.tensor([0.1, 0.25, 0.35]), 3)
    assert torch.allclose(a @ b, both, atol=1e-6)
    assert torch.allclose(a.sum(0), torch.ones(3)) and torch.allclose(a.sum(1), torch.ones(3))


def in_yiq(turn: float) -> Tensor:
    """The usual linear stand-in for a turn of hue: about the grey axis of YIQ."""
    to_yiq = torch.tensor(
        [[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]]
    )
    cos, sin = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
    rotate = torch.tensor([[1.0, 0, 0], [0, cos, sin], [0, -sin, cos]])
    return to_yiq.inverse() @ rotate @ to_yiq


@pytest.mark.parametrize(("turn", "levels"), [(0.05, 5.0), (0.1, 8.0), (0.2, 8.0), (-0.2, 8.0)])
def test_hue_differs_from_hsv_by_a_few_levels_and_less_than_yiq_would(
    photos: Tensor, turn: float, levels: float
):
    pixels = photos / 255
    factors, order, grey = neutral(len(photos))
    factors[:, 3] = turn
    expected = F.adjust_hue(pixels, turn)
    ours = applied(pixels, factors, order, grey).clamp(0, 1)
    yiq = torch.stack(
        [(in_yiq(t) @ pixels.flatten(2)).clamp(0, 1).view_as(pixels) for t in (turn, -turn)]
    )  # whichever sense the sign has
    gap = (ours - expected).abs().mean() * 255
    assert gap < levels
    assert gap < 0.9 * (yiq - expected).abs().mean((1, 2, 3, 4)).min() * 255


def test_greys_stay_grey_whatever_is_done_to_them():
    generator = Seed(0).generator()
    pixels = torch.rand(len(ORDERS), 1, 6, 6, generator=generator).expand(-1, 3, -1, -1)
    factors = 2 * torch.rand(len(ORDERS), 4, generator=generator)
    grey = torch.arange(len(ORDERS)) % 2 == 0
    made = applied(pixels, factors, torch.tensor(ORDERS), grey)
    assert (made.amax(1) - made.amin(1)).max() < 1e-5


def test_grey_leaves_equal_channels_of_the_luma():
    pixels = torch.rand(1, 3, 4, 4, generator=Seed(0).generator())
    factors, order, _ = neutral(1)
    made = applied(pixels, factors, order, torch.tensor([True]))
    assert torch.allclose(made, F.rgb_to_grayscale(pixels, 3), atol=2e-4)


@pytest.mark.parametrize("channels", [1, 5])
def test_other_channel_counts_have_brightness_and_contrast_of_each_channel(channels: int):
    pixels = torch.rand(1, channels, 4, 4, generator=Seed(0).generator())
    factors = torch.tensor([[1.5, 0.5, 0.3, 0.2]])
    made = applied(pixels, factors, torch.tensor([[0, 3, 1, 2]]), torch.tensor([True]))
    bright = 1.5 * pixels
    assert torch.allclose(made, 0.5 * bright + 0.5 * bright.mean((2, 3), keepdim=True), atol=1e-6)


class Statistics:
    """What a set of views looks like: moments over views, and the share of colour by hue."""

    def __init__(self, views: Tensor) -> None:
        chroma = views.amax(1) - views.amin(1)
        red, green, blue = views.unbind(1)
        angle = torch.atan2(3**0.5 * (green - blue), 2 * red - green - blue) / (2 * torch.pi)
        sixth = ((angle + 1 / 12) % 1 * 6).long().clamp(0, 5).flatten()
        amount = torch.zeros(6).index_add_(0, sixth, chroma.flatten())
        self.hue = amount / amount.sum()
        moments = (views.mean((1, 2, 3)), views.std((1, 2, 3)), chroma.mean((1, 2)))
        self.moments = torch.tensor([f(m).item() for m in moments for f in (torch.mean, torch.std)])


def pipeline(policy: Policy) -> v2.Compose:
    jitter = (policy.brightness, policy.contrast, policy.saturation, policy.hue)
    return v2.Compose(
        [
            v2.RandomResizedCrop(32, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(*jitter)], policy.jitter),
            v2.RandomGrayscale(policy.grey),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )


@pytest.mark.parametrize(
    ("policy", "moment", "hue", "levels"),
    [(simclr(32), 0.01, 0.015, 4.5), (simclr(224).replace(blur=0.0), 0.015, 0.015, 6.0)],
    ids=["strength 0.5", "strength 1"],
)
def test_views_are_distributed_as_those_of_torchvision(
    photos: Tensor, policy: Policy, moment: float, hue: float, levels: float
):
    """The tolerances are what clipping once and turning linearly cost, on photographs.

    With equal parameters: mean, spread and chroma of views, in [0, 1], and the shares of the six
    hues; a pixel is off by `levels` of 255 on average. With torchvision's own draws the error of
    sampling 900 views adds to that.
    """
    extent = torch.full((len(photos), 2), 96)
    zero, one = (0.0,) * 3, (1.0,) * 3
    fast = Augmenter(policy, 32, zero, one)
    exact = Augmenter(policy.replace(exact=True), 32, zero, one)
    ours = torch.cat([v for k in range(8) for v in fast.views(photos, extent, Seed(k))])
    same = torch.cat([v for k in range(8) for v in exact.views(photos, extent, Seed(k))])
    assert (ours - same).abs().mean() * 255 < levels
    made, wanted = Statistics(ours), Statistics(same)
    assert (made.moments - wanted.moments).abs().max() < moment
    assert (made.hue - wanted.hue).abs().max() < hue
    torch.manual_seed(0)
    transform = pipeline(policy)
    theirs = Statistics(torch.stack([transform(p) for _ in range(16) for p in photos]))
    assert (made.moments - theirs.moments).abs().max() < moment + 0.015
    assert (made.hue - theirs.hue).abs().max() < hue + 0.05
