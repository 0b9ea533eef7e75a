import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from masquerade.core.seed import Seed
from masquerade.data.augment import plain

ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("height", "width", "size", "crop"),
    [
        (96, 96, 32, 1.0),
        (96, 64, 32, 1.0),
        (61, 96, 40, 0.875),
        (96, 96, 96, 1.0),
        (30, 45, 64, 0.875),
        (96, 37, 33, 0.5),
    ],
)
@pytest.mark.parametrize("bicubic", [False, True])
def test_it_agrees_with_resize_and_centre_crop_of_torchvision(
    photos: Tensor, height: int, width: int, size: int, crop: float, bicubic: bool
):
    images = photos[:8, :, :height, :width]
    mode = v2.InterpolationMode.BICUBIC if bicubic else v2.InterpolationMode.BILINEAR
    shorter = round(size / crop)
    reference = v2.Compose([v2.Resize(shorter, mode, antialias=True), v2.CenterCrop(size)])
    extent = torch.tensor([[height, width]]).repeat(8, 1)
    # Its bytes are cut between the two passes where cubic filters overshoot; its floats are not.
    want = reference(images.float()).clamp(0, 255) if bicubic else reference(images)
    gap = (plain(images, extent, size, ZERO, ONE, crop, bicubic) * 255 - want).abs()
    assert gap.mean() < 0.5
    assert gap.max() <= 2


def test_each_image_is_treated_as_if_alone(photos: Tensor):
    images = photos[:4]
    extent = torch.tensor([[96, 96], [40, 96], [96, 50], [20, 30]])
    together = plain(images, extent, 24, ZERO, ONE, 0.8)
    for image, result, (h, w) in zip(images, together, extent.tolist(), strict=True):
        alone = plain(image[None, :, :h, :w], torch.tensor([[h, w]]), 24, ZERO, ONE, 0.8)
        assert torch.allclose(alone[0], result, atol=1e-5)


def test_an_image_of_the_right_size_is_only_standardised(photos: Tensor):
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.1)
    made = plain(photos, torch.full((len(photos), 2), 96), 96, mean, std)
    expected = v2.functional.normalize(photos / 255, list(mean), list(std))
    assert torch.allclose(made, expected, atol=1e-5)
    assert made.dtype == torch.float32
    assert made.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_number_of_channels_in_16_bits(channels: int):
    generator = Seed(0).generator()
    images = torch.randint(0, 65536, (3, channels, 20, 20), generator=generator).to(torch.uint16)
    zero, one = (0.0,) * channels, (1.0,) * channels
    made = plain(images, torch.full((3, 2), 20), 20, zero, one)
    assert torch.allclose(made, images.float() / 65535, atol=1e-6)


def test_a_batch_of_none_is_none(photos: Tensor):
    made = plain(photos[:0], torch.zeros(0, 2, dtype=torch.long), 32, ZERO, ONE)
    assert made.shape == (0, 3, 32, 32)


def test_it_says_what_it_was_given(photos: Tensor):
    extent = torch.full((len(photos), 2), 96)
    with pytest.raises(ValueError, match="3 channels, mean 1"):
        plain(photos, extent, 32, (0.5,), (0.5,))
    with pytest.raises(ValueError, match=r"at most 1, got 1\.5"):
        plain(photos, extent, 32, ZERO, ONE, crop=1.5)
