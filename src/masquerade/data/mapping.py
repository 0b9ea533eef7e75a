"""Memory-mapped arrays on their way to another process: as the place of their file."""

import mmap
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Mapping(NamedTuple):
    """Where a memory map came from."""

    filename: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int


def packed(array: Any) -> Any:
    """A whole memory map as its place; anything else as it is."""
    if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap):
        return Mapping(str(array.filename), array.dtype, array.shape, array.offset)
    return array


def unpacked(array: Any) -> Any:
    """What `packed` was given."""
    if not isinstance(array, Mapping):
        return array
    found: NDArray[Any] = np.memmap(
        array.filename, array.dtype, "r", offset=array.offset, shape=array.shape
    )
    return found
