"""Blocks: rectangles are laid on a grid until a number of its cells is covered.

The block masks of BEiT (https://arxiv.org/abs/2106.08254), as MixMask uses them. What a block
covers STAYS: a mask is hidden where no block lies. papers/mixmask.md, section 2.1.
"""

import math
from random import Random

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

ATTEMPTS = 10  # at one block, before a mask is left with fewer cells than asked for
ASPECT = (math.log(0.3), math.log(1 / 0.3))  # of height over width, uniform in the logarithm


def one(stream: Random, grid: int, target: int, smallest: int) -> Bool[Tensor, "n n"]:
    """The cells that blocks cover, drawn as the official code draws them, number by number.

    Args:
        stream: Where all numbers come from; `random.Random(s)` gives what the official code gives
            after `random.seed(s)`.
        grid: Cells along each side, n.
        target: Cells to cover; never more are, sometimes fewer, even none.
        smallest: Least area of a block, in cells. Where fewer cells are missing than that, the
            area lies between the two.
    """
    covered = np.zeros((grid, grid), dtype=bool)
    while (missing := target - int(covered.sum())) > 0:
        for _ in range(ATTEMPTS):
            area = stream.uniform(smallest, missing)
            aspect = math.exp(stream.uniform(*ASPECT))
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if max(height, width) >= grid:
                continue
            top, left = stream.randint(0, grid - height), stream.randint(0, grid - width)
            window = covered[top : top + height, left : left + width]
            if 0 < window.size - window.sum() <= missing:
                window[:] = True
                break
        else:
            break
    return torch.from_numpy(covered)


def many(
    targets: Int[Tensor, " M"], grid: int, smallest: int, generator: torch.Generator
) -> Bool[Tensor, "M n n"]:
    """The same for many masks at once, by the same distribution: one pass lays a block on each.

    A pass draws all attempts of every mask that goes on, and takes the first that is allowed.
    """
    covered = torch.zeros(len(targets), grid, grid, dtype=torch.bool)
    missing = targets.clone()
    going = missing.nonzero()[:, 0]
    low, high = ASPECT
    cells = torch.arange(grid)
    while len(going):
        drawn = torch.rand(4, len(going), ATTEMPTS, dtype=torch.float64, generator=generator)
        room = missing[going, None]
        area = smallest + (room - smallest) * drawn[0]
        aspect = torch.exp(low + (high - low) * drawn[1])
        height, width = ((area * a).sqrt().round().long() for a in (aspect, 1 / aspect))
        fits = (height < grid) & (width < grid)
        height, width = height.clamp(max=grid - 1), width.clamp(max=grid - 1)
        top = (drawn[2] * (grid - height + 1)).long()
        left = (drawn[3] * (grid - width + 1)).long()
        new = _free(covered[going], top, top + height, left, left + width)
        allowed = fits & (new > 0) & (new <= room)
        found = allowed.any(1)
        going, first = going[found], allowed[found].int().argmax(1, keepdim=True)
        top, height, left, width, new = (
            x[found].gather(1, first) for x in (top, height, left, width, new)
        )
        rows = (cells >= top) & (cells < top + height)
        columns = (cells >= left) & (cells < left + width)
        covered[going] |= rows[:, :, None] & columns[:, None, :]
        missing[going] -= new[:, 0]
        going = going[missing[going] > 0]
    return covered


def _free(
    covered: Bool[Tensor, "M n n"],
    top: Int[Tensor, "M K"],
    bottom: Int[Tensor, "M K"],
    left: Int[Tensor, "M K"],
    right: Int[Tensor, "M K"],
) -> Int[Tensor, "M K"]:
    """How many cells of each window are not covered yet, from sums over corners."""
    grid = covered.shape[1]
    sums = torch.zeros(len(covered), grid + 1, grid + 1, dtype=torch.int64)
    sums[:, 1:, 1:] = (~covered).long().cumsum(1).cumsum(2)
    mask = torch.arange(len(covered))[:, None]
    return (
        sums[mask, bottom, right]
        - sums[mask, top, right]
        - sums[mask, bottom, left]
        + sums[mask, top, left]
    )
