"""Rectangles: chance lays rectangles on an image until enough of it is hidden.

The "beit" masks of ADIOS's random baselines, after BEiT (https://arxiv.org/abs/2106.08254), pixel
by pixel; papers/adversarial_masking.md, section 9. `erase` with its defaults is the "mae" one.
"""

import math
from random import Random

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.engine import gather
from masquerade.maskers.base import Masker, MaskerConfig

ASPECT = (0.3, 3.33)  # of height over width, uniform


class Rectangles(Masker):
    """Each image draws its own rectangles, which may overlap."""

    def __init__(self, config: "Config") -> None:
        super().__init__()
        self.config = config
        self.wants_clean = config.clean

    def propose(self, images: Float[Tensor, "B C H W"], seed: Seed) -> Float[Tensor, "B N H W"]:
        batch, _, height, width = images.shape
        start = gather.rank() * batch
        drawn = [
            covered(self.config, height, width, Random(seed.fold(row, k).integer()))
            for row in range(start, start + batch)
            for k in range(self.config.masks)
        ]
        masks = torch.stack(drawn).view(batch, self.config.masks, height, width)
        return masks.to(images.device, torch.promote_types(images.dtype, torch.float32))


def covered(config: "Config", height: int, width: int, stream: Random) -> Bool[Tensor, "H W"]:
    """Hidden pixels, at least a share `ratio` of all: the last rectangle overshoots."""
    hidden = np.zeros((height, width), dtype=bool)
    target = config.ratio * hidden.size
    while hidden.sum() < target:
        area = stream.uniform(config.smallest, max(target, config.smallest))
        aspect = stream.uniform(*ASPECT)
        tall, wide = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < tall < height and 0 < wide < width:
            top, left = stream.randint(0, height - tall), stream.randint(0, width - wide)
            hidden[top : top + tall, left : left + wide] = True
    return torch.from_numpy(hidden)


class Config(MaskerConfig):
    """Settings of rectangles.

    Attributes:
        ratio: The least share of an image that is hidden; the last rectangle goes beyond it, at
            0.3 to 0.37 on average.
        smallest: Least area of a rectangle, in pixels.
        masks: Masked copies of each image.
        clean: Whether the unmasked pair is in the loss too.
    """

    ratio: float = Field(0.3, gt=0, le=0.8)
    smallest: int = Field(64, ge=1)
    masks: int = Field(1, ge=1)
    clean: bool = False

    def build(self, size: int, channels: int) -> Rectangles:
        if self.smallest > size**2 // 2:
            raise ValueError(
                f"rectangles.smallest={self.smallest} is more than half of an image of {size} x "
                f"{size} pixels; take a smaller one"
            )
        return Rectangles(self)
