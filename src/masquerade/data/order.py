"""Which images are in step s: a function of (seed, epoch), so a resumed run needs no state."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from masquerade.core.seed import Seed


class Pieces:
    """Images that lie in pieces, where reading far apart is dear: shards, row groups.

    An epoch goes through the pieces in a fresh order, `mix` of them at a time, and through the
    images of these in a fresh order.
    """

    def __init__(self, number: NDArray[np.int64], mix: int) -> None:
        """Takes the piece of each image, and how many pieces are read at a time."""
        self.number = number
        self.mix = mix

    def subset(self, rows: NDArray[np.int64]) -> "Pieces":
        """The pieces of some of the images."""
        return Pieces(self.number[rows], self.mix)

    def shuffled(self, generator: torch.Generator) -> NDArray[np.int64]:
        """All images, pieces and what is in them in an order that is drawn."""
        names, own = np.unique(self.number, return_inverse=True)
        turn = torch.randperm(len(names), generator=generator).argsort().numpy() // self.mix
        any_order = torch.randperm(len(own), generator=generator).numpy()
        together: NDArray[np.int64] = any_order[np.argsort(turn[own[any_order]], kind="stable")]
        return together


def indices(
    step: int, *, length: int, batch: int, seed: Seed, pieces: Pieces | None = None
) -> NDArray[np.int64]:
    """The global batch of a step: part of a fresh permutation of all images per epoch.

    What is left over at an epoch's end (fewer than `batch` images) is dropped, other ones each
    epoch.

    Args:
        step: Counted from 0 over the whole run.
        length: Images in the set.
        batch: Images per step, over all processes.
        seed: The run's seed.
        pieces: Where the images lie; None where that does not matter.

    Returns:
        `batch` different indices below `length`.

    Raises:
        ValueError: There are fewer images than one batch holds.
    """
    epoch, place = divmod(step, steps_per_epoch(length, batch))
    return permutation(length, seed, epoch, pieces)[place * batch : (place + 1) * batch]


def steps_per_epoch(length: int, batch: int) -> int:
    """Whole batches in one epoch; raises `ValueError` where there is none."""
    if not 1 <= batch <= length:
        raise ValueError(
            f"batch={batch} does not fit {length} images; it must be between 1 and {length}"
        )
    return length // batch


@lru_cache(maxsize=4)  # a loader asks for the same epoch many times; pure, so nobody can tell
def permutation(
    length: int, seed: Seed, epoch: int, pieces: Pieces | None = None
) -> NDArray[np.int64]:
    """The order of one epoch, read-only."""
    generator = seed.fold("order", epoch).generator()
    if pieces is None:
        shuffled = torch.randperm(length, generator=generator).numpy()
    else:
        shuffled = pieces.shuffled(generator)
    shuffled.flags.writeable = False
    return shuffled
