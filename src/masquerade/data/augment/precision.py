"""In which number format, and how many images at a time, a batch is resampled."""

from collections.abc import Iterator

import torch
from jaxtyping import Shaped
from torch import Tensor

CPU_BYTES = 4 << 20  # of canvases per thread: they and their views stay in the cache
GPU_BYTES = 512 << 20


def peak(images: Shaped[Tensor, "B C H W"]) -> float:
    """The integer that stands for 1: 255 or 65535."""
    return float(torch.iinfo(images.dtype).max)


def resampling_dtype(images: Shaped[Tensor, "B C H W"]) -> torch.dtype:
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


def chunks(images: Shaped[Tensor, "B C H W"], dtype: torch.dtype) -> Iterator[slice]:
    """Consecutive rows of the batch, few enough that their float copy fits the budget."""
    budget = CPU_BYTES * torch.get_num_threads() if images.device.type == "cpu" else GPU_BYTES
    size = max(1, budget // (images[:1].numel() * dtype.itemsize)) if len(images) else 1
    for start in range(0, len(images), size):
        yield slice(start, min(start + size, len(images)))
