"""Erase: chance hides an exact share of the cells of a grid.

The random baseline of ADIOS (its "mae" masks hide 75 % of 16-pixel patches at 96 pixels, a
grid of 6): what a learned masker has to beat. papers/adversarial_masking.md, section 9.
"""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from masquerade.core.seed import Seed
from masquerade.engine import gather
from masquerade.maskers.base import Masker, MaskerConfig


class Erase(Masker):
    """Hides cells drawn without replacement, for each mask of each image anew."""

    def __init__(self, config: "Config") -> None:
        super().__init__()
        self.config = config
        self.wants_clean = config.clean

    def propose(self, images: Float[Tensor, "B C H W"], seed: Seed) -> Float[Tensor, "B N H W"]:
        b, _, h, w = images.shape
        n, grid = self.config.masks, self.config.grid
        cells = grid * grid
        everyone = (b * gather.world(), n, cells)
        drawn = torch.rand(everyone, dtype=torch.float32, generator=seed.generator())
        rank = gather.own(drawn).argsort(2).argsort(2)
        hidden = (rank < round(self.config.ratio * cells)).float().to(images.device)
        return F.interpolate(hidden.view(b, n, grid, grid), (h, w), mode="nearest")


class Config(MaskerConfig):
    """Settings of erase.

    Attributes:
        masks: Masked copies of each image.
        grid: Cells along each side.
        ratio: Share of the cells that is hidden, rounded to whole cells.
        clean: Whether the unmasked pair is in the loss too.
    """

    masks: int = Field(1, ge=1)
    grid: int = Field(6, ge=1)
    ratio: float = Field(0.75, ge=0, le=1)
    clean: bool = False

    def build(self, size: int, channels: int) -> Erase:
        if self.grid > size:
            raise ValueError(f"erase.grid={self.grid} is finer than images of {size} pixels")
        return Erase(self)
