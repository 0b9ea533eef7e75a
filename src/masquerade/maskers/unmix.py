"""Un-Mix: the whole image or a box of it is mixed with another one; both share the label.

"Un-Mix: Rethinking Image Mixtures for Unsupervised Visual Representation Learning", Shen et
al., 2020. https://arxiv.org/abs/2003.05438, after the official code; papers/mixmask.md,
section 3.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.maskers import partners
from masquerade.maskers.base import Masker, Occluded

Clip = Literal["official", "unbiased"]


class UnMix(Masker):
    """One mixture for all images of a step: a constant soft mask (mixup) or a box (CutMix)."""

    fills = True

    def __init__(self, config: "Config") -> None:
        super().__init__()
        self.config = config
        self.wants_clean = config.clean

    def propose(self, images: Float[Tensor, "B C H W"], seed: Seed) -> Float[Tensor, "B N H W"]:
        batch, _, height, width = images.shape
        stream = np.random.RandomState(seed.integer() % 2**32)
        hidden = mixture(stream, self.config, height, width)
        dtype = torch.promote_types(images.dtype, torch.float32)
        return hidden.to(images.device, dtype).expand(batch, 1, -1, -1)

    def occlude(
        self, images: Float[Tensor, "B C H W"], hidden: Float[Tensor, "B N H W"], seed: Seed
    ) -> list[Occluded]:
        return partners.mixed(images, list(hidden.split(1, 1)), self.config, seed)


def mixture(
    stream: np.random.RandomState, config: "Config", height: int, width: int
) -> Float[Tensor, "H W"]:
    """How much of each pixel is hidden, drawn as the official code draws it, number by number.

    `RandomState(s)` gives what the official code gives after `numpy.random.seed(s)`.
    """
    everywhere = stream.rand() < config.global_ratio
    kept = stream.beta(config.alpha, config.alpha)
    if everywhere:
        return torch.full((height, width), 1 - kept, dtype=torch.float64)
    hidden = torch.zeros(height, width, dtype=torch.float64)
    rows, columns = box(stream, kept, height, width, config.clip)
    hidden[rows, columns] = 1
    return hidden


def box(
    stream: np.random.RandomState, kept: float, height: int, width: int, clip: Clip
) -> tuple[slice, slice]:
    """The rows and columns of a box that leaves about a share `kept` of the image.

    Note: the official code draws the box's middle anywhere in the image and cuts off what stands
    out, so that 0.7 of the image is kept on average; `unbiased` keeps boxes inside, and the
    average is that of `kept`, 0.5.
    """
    side = np.sqrt(1 - kept)
    if clip == "official":
        return _clipped(stream, height, side), _clipped(stream, width, side)
    return _inside(stream, height, side), _inside(stream, width, side)


def _clipped(stream: np.random.RandomState, length: int, side: float) -> slice:
    middle, half = int(stream.randint(length)), int(length * side) // 2
    return slice(max(middle - half, 0), min(middle + half, length))


def _inside(stream: np.random.RandomState, length: int, side: float) -> slice:
    part = round(length * side)
    start = int(stream.randint(length - part + 1))
    return slice(start, start + part)


class Config(partners.Partners):
    """Settings of Un-Mix.

    Note: the paper mixes all of the image in half of the steps on small images and in none on
    ImageNet; where MixMask stands beside it, in half of them there too.

    Attributes:
        global_ratio: Share of the steps that mix the whole image; the others mix a box.
        alpha: The kept share is drawn from Beta(alpha, alpha); 1 is uniform.
        clip: `official` cuts off what of a box stands out of the image, which keeps 0.7 of it on
            average; `unbiased` places boxes inside, which keeps half of it.
    """

    global_ratio: float = Field(0.5, ge=0, le=1)
    alpha: float = Field(1.0, gt=0)
    clip: Clip = "official"

    def build(self, size: int, channels: int) -> UnMix:
        return UnMix(self)
