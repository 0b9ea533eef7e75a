"""Which images are in step s: a function of (seed, epoch), so a resumed run needs no state."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from masquerade.core.seed import Seed


def indices(step: int, *, length: int, batch: int, seed: Seed) -> NDArray[np.int64]:
    """The global batch of a step: part of a fresh permutation of all images per epoch.

    What is left over at an epoch's end (fewer than `batch` images) is dropped, other ones each
    epoch.

    Args:
        step: Counted from 0 over the whole run.
        length: Images in the set.
        batch: Images per step, over all processes.
        seed: The run's seed.

    Returns:
        `batch` different indices below `length`.

    Raises:
        ValueError: There are fewer images than one batch holds.
    """
    epoch, place = divmod(step, steps_per_epoch(length, batch))
    return permutation(length, seed, epoch)[place * batch : (place + 1) * batch]


def steps_per_epoch(length: int, batch: int) -> int:
    """Whole batches in one epoch; raises `ValueError` where there is none."""
    if not 1 <= batch <= length:
        raise ValueError(
            f"batch={batch} does not fit {length} images; it must be between 1 and {length}"
        )
    return length // batch


@lru_cache(maxsize=4)  # a loader asks for the same epoch many times; pure, so nobody can tell
def permutation(length: int, seed: Seed, epoch: int) -> NDArray[np.int64]:
    """The order of one epoch, read-only."""
    shuffled = torch.randperm(length, generator=seed.fold("order", epoch).generator()).numpy()
    shuffled.flags.writeable = False
    return shuffled
