"""In which number format, and how many images at a time, a batch is resampled."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

CPU_BYTES = 4 << 20  # of canvases per thread: they and their views stay in the cache
GPU_BYTES = 512 << 20
ALONE = 400_000  # values: an image of more, as 448 x 448 x 3, fills the cache by itself


def peak(images: Num[Tensor, "B C H W"]) -> float:
    """The integer that stands for 1: 255 or 65535."""
    return float(torch.iinfo(images.dtype).max)


def resampling_dtype(images: Num[Tensor, "B C H W"]) -> torch.dtype:
    """bfloat16 for 8-bit pixels where the device multiplies such matrices fast, else float32.

    All 8-bit pixels are bfloat16 numbers; weights and results are rounded to 8 bits of precision,
    less than the level a uint8 pipeline loses at each of its steps.
    """
    if images.dtype != torch.uint8:
        return torch.float32
    if images.device.type == "cuda":
        fast = torch.cuda.get_device_capability(images.device) >= (8, 0)
    else:
        fast = images.device.type == "cpu" and torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if fast else torch.float32


class Piece(NamedTuple):
    """What is seen of a few rows of a batch, as floats.

    Attributes:
        rows: Which rows.
        top: First row of pixels; nothing above it is seen in any of these images.
        left: First column of pixels.
        pixels: The values of the integers, channels innermost. Overwritten by the next piece, so
            that they are still in the cache when they are read.
    """

    rows: slice
    top: int
    left: int
    pixels: Float[Tensor, "B H W C"]


def pieces(
    images: Num[Tensor, "B C H W"], boxes: Int[Tensor, "V B 4"], dtype: torch.dtype
) -> Iterator[Piece]:
    """The batch, a few rows at a time.

    On a CPU, large images come one by one and cut down to what is seen of them. That is decided by
    their size alone, not by their neighbours in the batch: a cut may change how sums are rounded,
    and an image shall look the same to one process as to two.

    Args:
        images: The batch.
        boxes: Top, left, height, width of what is seen of each image, once or several times; on
            the CPU.
        dtype: A floating point format.
    """
    on_cpu, values = images.device.type == "cpu", images[:1].numel()
    alone = on_cpu and values > ALONE
    budget = CPU_BYTES * torch.get_num_threads() if on_cpu else GPU_BYTES
    most = 1 if alone else max(1, budget // max(1, values * dtype.itemsize))
    pixels = images.permute(0, 2, 3, 1)
    scratch = torch.empty(images[:most].numel(), dtype=dtype, device=images.device)
    top, left, bottom, right = 0, 0, *pixels.shape[1:3]
    for first in range(0, len(images), most):
        rows = slice(first, min(first + most, len(images)))
        if alone:
            top, left = boxes[:, first, :2].amin(0).tolist()
            bottom, right = (boxes[:, first, :2] + boxes[:, first, 2:]).amax(0).tolist()
        seen = pixels[rows, top:bottom, left:right]
        yield Piece(rows, top, left, scratch[: seen.numel()].view(seen.shape).copy_(seen))
