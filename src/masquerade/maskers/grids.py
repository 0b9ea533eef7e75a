"""Grids: masks that chance draws on a coarse grid, for maskers that fill and for those that erase.

`blocked` covers the part that stays with rectangles, `discrete` draws each cell by itself, and
`noise` hides where a smooth random field is low. papers/mixmask.md, section 2, whose masks are 1
where the image stays: hidden = 1 - m, so its blocked ratio r is 1 - `ratio` here.
"""

from collections.abc import Callable
from random import Random
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, field_validator, model_validator
from torch import Tensor
from torch.nn import functional as F

from masquerade.core.seed import Seed
from masquerade.engine import gather
from masquerade.maskers import blocks, fields
from masquerade.maskers.base import MaskerConfig

TRIES = 20  # at a mask that hides something and not everything
SLACK = 1e-9  # 1 - 0.9 is a little less than 0.1, and 10 cells are still 10

Pattern = Literal["blocked", "discrete", "noise", "given"]
Draw = Callable[[Int[Tensor, " R"], int], Bool[Tensor, "R H W"]]


class Grid(MaskerConfig):
    """Settings of masks that chance draws on a grid; a base of settings of maskers.

    Attributes:
        pattern: `blocked` lets rectangles of cells stay, mostly around the middle; `discrete`
            draws each cell by itself; `noise` hides where a smooth random field is low.
        grid: Cells along each side of the image; for `noise`, bumps of the field.
        ratio: Share of the image that is hidden, or a pair [low, high] of shares: then each mask
            draws its own, uniformly. 0 and 1 are taken at their word; any other mask hides
            something and not everything.
        min_cells: Least area of a block, in cells; 0 is 4, as published, and 1 on grids of less
            than 4 cells a side. Of `blocked` alone.
        symmetrize: Whether masks are complemented with probability 1/2. It takes from `blocked`
            that the middle stays, and the hidden share becomes 1 - ratio as often as ratio.
        exact: Whether the hidden share is the ratio to the nearest cell; to the nearest pixel for
            `noise`, which has to sort the pixels for it. Without it some blocks may be missing,
            as published, and the shares of other masks vary around the ratio.
        per_image: Whether each image draws its own masks. Without it the images of a step share
            them, on all processes.
    """

    pattern: Pattern = "blocked"
    grid: int = Field(4, ge=2)
    ratio: float | tuple[float, float] = 0.5
    min_cells: int = Field(0, ge=0)
    symmetrize: bool = False
    exact: bool = False
    per_image: bool = False

    @property
    def smallest(self) -> int:
        """Least area of a block, in cells."""
        return self.min_cells or (4 if self.grid >= 4 else 1)

    @field_validator("ratio", mode="before")
    @classmethod
    def _shares(cls, ratio: Any) -> Any:
        pair = isinstance(ratio, list | tuple)
        try:
            shares = [float(share) for share in (ratio if pair else [ratio])]
        except (TypeError, ValueError):
            shares = []
        if len(shares) != 1 + pair or not all(0 <= share <= 1 for share in shares):
            raise ValueError(f"a share from 0 to 1, or a pair [low, high] of them, got {ratio!r}")
        if pair and shares[0] > shares[1]:
            raise ValueError(f"a pair is [low, high], got {ratio!r}; turn it round")
        return tuple(shares) if pair else shares[0]

    @model_validator(mode="after")
    def _blocks_fit(self) -> "Grid":
        if self.pattern == "blocked" and self.smallest > (self.grid - 1) ** 2:
            raise ValueError(
                f"blocks of min_cells={self.min_cells} do not fit grid={self.grid}: a block is "
                f"shorter than the grid on both sides, at most {self.grid - 1} x {self.grid - 1} "
                "cells, so that nearly all masks would be empty. Take min_cells=1, a finer grid, "
                "or pattern=discrete"
            )
        return self

    def fits(self, size: int) -> None:
        """Raises `ValueError` where cells are smaller than the pixels of images of this size."""
        if self.grid > size:
            raise ValueError(f"{self.kind}.grid={self.grid} is finer than images of {size} pixels")


def masks(
    grid: Grid, images: Float[Tensor, "B C H W"], copies: int, seed: Seed
) -> Float[Tensor, "B N H W"]:
    """Masks for the images of this process, 1 = hidden; drawn for the images of all processes.

    Each pixel takes the cell nearest to it, so that cells differ in size where the grid does not
    divide the image: shares are to be read off these masks.

    Args:
        grid: What they are like; any pattern but `given`.
        images: Give number, size, device and precision; masks have float32 or better.
        copies: Masks of each image, N.
        seed: The same for all processes.
    """
    batch, _, height, width = images.shape
    size, dtype = (height, width), torch.promote_types(images.dtype, torch.float32)
    if grid.ratio in (0, 1):
        return images.new_full((batch, copies, *size), grid.ratio, dtype=dtype)
    count = copies * (batch * gather.world() if grid.per_image else 1)
    ratio = _ratios(grid, count, seed.fold("ratio"))
    if grid.pattern == "noise":
        hidden = _noise(grid, ratio, size, seed, images.device)
    else:
        cells = _blocked if grid.pattern == "blocked" else _discrete
        hidden = _own(grid, cells(grid, ratio, seed)).to(images.device)
    if grid.symmetrize:
        turned = torch.rand(count, generator=seed.fold("symmetrize").generator()) < 0.5
        hidden = hidden ^ _own(grid, turned).to(images.device)[:, None, None]
    pixels = F.interpolate(hidden[:, None].to(dtype), size, mode="nearest")
    return pixels.view(-1, copies, *size).expand(batch, -1, -1, -1)


def official_cells(stream: np.random.RandomState, grid: int, ratio: float) -> Bool[Tensor, "n n"]:
    """Which cells are hidden, each with probability `ratio`, as the official code draws them.

    `RandomState(s)` gives what the official code gives after `numpy.random.seed(s)`, before it
    looks whether all cells are alike.
    """
    return torch.from_numpy(stream.rand(grid, grid) <= ratio)


def _ratios(grid: Grid, count: int, seed: Seed) -> Float[Tensor, " M"]:
    """The share that each mask is to hide."""
    low, high = grid.ratio if isinstance(grid.ratio, tuple) else (grid.ratio, grid.ratio)
    drawn = torch.rand(count, dtype=torch.float64, generator=seed.generator())
    return low + (high - low) * drawn


def _own(grid: Grid, x: Tensor) -> Tensor:
    """This process's rows of what was drawn for each image; all of them where images share."""
    return gather.own(x) if grid.per_image else x


def _blocked(grid: Grid, ratio: Float[Tensor, " M"], seed: Seed) -> Bool[Tensor, "M n n"]:
    """Hidden cells: where no block lies."""
    generator = seed.generator()
    stream = Random(seed.integer())
    total = grid.grid**2
    targets = ((1 - ratio) * total + SLACK).long().clamp(1, total - 1)
    if grid.exact:
        targets = total - _rounded(ratio, total)

    def draw(rows: Tensor, attempt: int) -> Tensor:
        if grid.per_image:
            return blocks.many(targets[rows], grid.grid, grid.smallest, generator)
        cells = targets[rows].tolist()
        return torch.stack([blocks.one(stream, grid.grid, c, grid.smallest) for c in cells])

    kept = _redrawn(draw, lambda rows: _scattered(grid, targets[rows], generator), len(ratio))
    return ~(_completed(kept, targets, generator) if grid.exact else kept)


def _discrete(grid: Grid, ratio: Float[Tensor, " M"], seed: Seed) -> Bool[Tensor, "M n n"]:
    """Hidden cells: each drawn by itself, or an exact number of them without replacement."""
    generator = seed.generator()
    targets = _rounded(ratio, grid.grid**2)
    if grid.exact:
        return _scattered(grid, targets, generator)
    stream = np.random.RandomState(seed.integer() % 2**32)

    def draw(rows: Tensor, attempt: int) -> Tensor:
        if not grid.per_image:
            shares = ratio[rows].tolist()
            return torch.stack([official_cells(stream, grid.grid, share) for share in shares])
        shape = (len(rows), grid.grid, grid.grid)
        return torch.rand(shape, generator=generator) <= ratio[rows, None, None]

    return _redrawn(draw, lambda rows: _scattered(grid, targets[rows], generator), len(ratio))


def _noise(
    grid: Grid,
    ratio: Float[Tensor, " G"],
    size: tuple[int, int],
    seed: Seed,
    device: torch.device,
) -> Bool[Tensor, "M H W"]:
    """Hidden pixels of this process's images: where a field is low, each with the same chance."""
    shape, ratio = (len(ratio), grid.grid, grid.grid), _own(grid, ratio)
    targets = _rounded(ratio, size[0] * size[1]).to(device)
    level: Tensor = torch.special.ndtri(ratio).float().to(device)

    def field(rows: Tensor, attempt: int) -> Tensor:
        heights = torch.randn(shape, generator=seed.fold("noise", attempt).generator())
        return fields.smooth(_own(grid, heights).to(device)[rows], size)

    def lowest(rows: Tensor) -> Tensor:
        return _lowest(field(rows, 0).flatten(1), targets[rows]).view(-1, *size)

    if grid.exact:
        return lowest(torch.arange(len(ratio), device=device))

    def draw(rows: Tensor, attempt: int) -> Tensor:
        return field(rows, attempt) < level[rows, None, None]

    return _redrawn(draw, lowest, len(ratio), device)


def _rounded(ratio: Float[Tensor, " M"], total: int) -> Int[Tensor, " M"]:
    """How many of all cells or pixels are a share of them: at least one and not all."""
    return (ratio * total).round().long().clamp(1, total - 1)


def _scattered(
    grid: Grid, targets: Int[Tensor, " M"], generator: torch.Generator
) -> Bool[Tensor, "M n n"]:
    """So many cells of each mask, drawn without replacement."""
    drawn = torch.rand(len(targets), grid.grid**2, dtype=torch.float32, generator=generator)
    return _lowest(drawn, targets).view(-1, grid.grid, grid.grid)


def _completed(
    covered: Bool[Tensor, "M n n"], targets: Int[Tensor, " M"], generator: torch.Generator
) -> Bool[Tensor, "M n n"]:
    """Masks with so many cells: those missing are added by chance, at the edge of what is there."""
    near = F.max_pool2d(covered[:, None].float(), 3, stride=1, padding=1)[:, 0]
    order = torch.rand(covered.shape, generator=generator) - near - 2.0 * covered
    return _lowest(order.flatten(1), targets).view_as(covered)


def _lowest(values: Float[Tensor, "M K"], targets: Int[Tensor, " M"]) -> Bool[Tensor, "M K"]:
    """Where the `targets` lowest values of each row lie."""
    first = torch.arange(values.shape[1], device=values.device) < targets[:, None]
    return torch.zeros_like(first).scatter(1, values.argsort(1), first)


def _redrawn(
    draw: Draw,
    otherwise: Callable[[Int[Tensor, " R"]], Bool[Tensor, "R H W"]],
    count: int,
    device: torch.device | None = None,
) -> Bool[Tensor, "M H W"]:
    """Masks, those that hide nothing or everything drawn anew, and in the end `otherwise`."""
    rows = torch.arange(count, device=device)
    found = draw(rows, 0)
    for attempt in range(1, TRIES + 1):
        flat = found.flatten(1)
        rows = (flat.all(1) | ~flat.any(1)).nonzero()[:, 0]
        if not len(rows):
            break
        found[rows] = draw(rows, attempt) if attempt < TRIES else otherwise(rows)
    return found
