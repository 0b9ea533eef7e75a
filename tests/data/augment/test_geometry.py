from typing import Literal

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from masquerade.core.seed import Seed
from masquerade.data.augment import Policy
from masquerade.data.augment.draw import draw
from masquerade.data.augment.geometry import resample, sampling

Mode = Literal["bilinear", "bicubic"]


def cut(images: Tensor, boxes: Tensor, size: int, mode: Mode) -> Tensor:
    """The slow obvious version."""
    return torch.stack(
        [
            F.resized_crop(
                image, *box, [size, size], interpolation=InterpolationMode(mode), antialias=True
            )
            for image, box in zip(images, boxes.tolist(), strict=True)
        ]
    )


def crops(images: Tensor, boxes: Tensor, size: int, mode: Mode, dtype: torch.dtype) -> Tensor:
    top, left, height, width = boxes.unbind(1)
    bicubic = mode == "bicubic"
    rows = sampling(top, height, size, images.shape[2], bicubic=bicubic)
    columns = sampling(left, width, size, images.shape[3], bicubic=bicubic)
    source = images.permute(0, 2, 3, 1).to(dtype)
    return resample(source, rows.to(dtype), columns.to(dtype)).float()


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [17, 32, 150])
def test_crops_in_float_are_those_of_torchvision(photos: Tensor, size: int, mode: Mode):
    extent = torch.full((len(photos), 2), 96)
    boxes = draw(Policy(), extent, Seed(0)).box
    expected = cut(photos.float(), boxes, size, mode)
    made = crops(photos, boxes, size, mode, torch.float32)
    # torchvision resamples floats in float32, too; of 255 levels
    assert (made - expected).abs().max() < 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [17, 32, 150])
def test_crops_are_within_two_levels_of_torchvision_on_bytes(
    photos: Tensor, size: int, dtype: torch.dtype
):
    boxes = draw(Policy(), torch.full((len(photos), 2), 96), Seed(0)).box
    expected = cut(photos, boxes, size, "bilinear").float()
    gap = (crops(photos, boxes, size, "bilinear", dtype) - expected).abs()
    assert gap.max() <= 2
    assert gap.mean() < 0.5


def test_a_box_of_the_size_of_the_view_is_copied_bit_for_bit(photos: Tensor):
    boxes = torch.tensor([[3, 40, 32, 32]]).repeat(len(photos), 1)
    for dtype in (torch.float32, torch.bfloat16):
        made = crops(photos, boxes, 32, "bilinear", dtype)
        assert torch.equal(made, photos[:, :, 3:35, 40:72].float())


def test_a_flip_reverses_the_samples_exactly():
    start, length = torch.tensor([3, 0, 7]), torch.tensor([20, 31, 1])
    plain = sampling(start, length, 9, 31)
    flip = torch.tensor([True, False, True])
    flipped = sampling(start, length, 9, 31, flip=flip)
    assert torch.equal(flipped, torch.where(flip[:, None, None], plain.flip(1), plain))


@pytest.mark.parametrize("bicubic", [False, True])
def test_samples_weigh_1_and_read_nothing_outside_their_range(bicubic: bool):
    start, length = torch.tensor([0, 5, 30, 12]), torch.tensor([40, 7, 1, 28])
    weights = sampling(start, length, 16, 40, bicubic=bicubic)
    assert torch.allclose(weights.sum(2), torch.ones(4, 16), atol=1e-6)
    for matrix, low, count in zip(weights, start.tolist(), length.tolist(), strict=True):
        outside = torch.cat([matrix[:, :low], matrix[:, low + count :]], 1)
        assert not outside.any()


def test_resampling_is_the_sum_over_rows_and_columns():
    generator = Seed(0).generator()
    source = torch.rand(2, 5, 6, 3, generator=generator)
    rows, columns = (torch.rand(2, 4, n, generator=generator) for n in (5, 6))
    expected = torch.einsum("bsh,bhwc,btw->bcst", rows, source, columns)
    assert torch.allclose(resample(source, rows, columns), expected, atol=1e-5)
