"""Prices where one partition reaches several models: what each is worth, and the fewest that do.

Poisoning partition h changes the d models that saw it. What they could contribute at most is a
small whole number, so the dearest partitions are found by counting, without sorting.
"""

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from masquerade.certify.tally import NEVER, Whole

Small = NDArray[np.integer]


class Reach:
    """Which models a partition reaches, as sums over them.

    Attributes:
        table: [P, d]: the models that each partition reaches.
        partitions: P.
        d: Models per partition.
        models: K.
    """

    def __init__(self, reach: Int[Tensor, "P d"], models: int) -> None:
        self.table = reach.cpu().numpy()
        self.partitions, self.d = self.table.shape
        self.models = models
        self.kind = np.uint8 if 2 * self.d < 256 else np.uint16
        steps = (self.table - np.arange(self.partitions)[:, None]) % models
        self.offsets: list[int] = []  # of a ring: there sums are shifted additions
        if self.partitions == models and (steps == steps[0]).all():
            self.offsets = steps[0].tolist()

    def sums(self, values: NDArray[np.generic]) -> Small:
        """Of values of each model, at most 2, the sum over the models each partition reaches.

        [..., K] in, [..., P] out.
        """
        small = values.view(np.uint8) if values.dtype == bool else values
        total = np.zeros((*values.shape[:-1], self.partitions), self.kind)
        if self.offsets:
            for s in self.offsets:
                total[..., : self.models - s] += small[..., s:]
                total[..., self.models - s :] += small[..., :s]
        else:
            for column in self.table.T:
                total += small[..., column]
        return total


def fewest(gains: Small, goal: Whole, top: int) -> Whole:
    """The fewest partitions whose gains add up to `goal`; `NEVER` where all together do not.

    Args:
        gains: [r, P], whole numbers from 0 to `top`.
        goal: [r]; 0 or less costs nothing.
        top: The largest gain there may be.
    """
    rows, width = len(gains), top + 1
    places = gains + (np.arange(rows) * width)[:, None]
    table = np.bincount(places.ravel(), minlength=rows * width).reshape(rows, width)[:, :0:-1]
    values = np.arange(top, 0, -1)
    taken, reached = table.cumsum(1), (table * values).cumsum(1)
    enough = reached >= goal[:, None]
    last = enough.argmax(1)
    here = np.arange(rows), last
    rest = reached[here] - table[here] * values[last]
    price: Whole = taken[here] - table[here] - (goal - rest) // -values[last]  # rounded up
    price[~enough[:, -1]] = NEVER
    price[goal <= 0] = 0
    return price


def at(table: NDArray[np.generic], classes: Whole, rows: Whole) -> NDArray[np.int64]:
    """Rows [r, P] of a table [C, b, P], of one class and one image each, as whole numbers."""
    picked: NDArray[np.int64] = table[classes, rows].astype(np.int64)
    return picked
