"""Erase: chance hides cells of a grid, and nothing, noise or a blur is put there.

With its defaults the random baseline of ADIOS (its "mae" masks hide 75 % of 16-pixel patches at
96 pixels, a grid of 6): what a learned masker has to beat; papers/adversarial_masking.md,
section 9. With `pair` the erase baseline of MixMask, after MSCN (https://arxiv.org/abs/2206.07700);
papers/mixmask.md, section 5.5.
"""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.core.types import precise
from masquerade.data.augment.blur import blurring
from masquerade.engine import gather
from masquerade.maskers import grids
from masquerade.maskers.base import Masker, Occluded


class Erase(Masker):
    """Erases what masks on a grid hide, and in another copy, with `pair`, what they leave."""

    def __init__(self, config: "Config") -> None:
        super().__init__()
        self.config = config
        self.wants_clean = config.clean

    def propose(self, images: Float[Tensor, "B C H W"], seed: Seed) -> Float[Tensor, "B N H W"]:
        return grids.masks(self.config, images, self.config.masks, seed)

    def occlude(
        self, images: Float[Tensor, "B C H W"], hidden: Float[Tensor, "B N H W"], seed: Seed
    ) -> list[Occluded]:
        if self.config.fill == "zeros" and not self.config.pair:
            return super().occlude(images, hidden, seed)
        copies = []
        for k, mask in enumerate(hidden.split(1, 1)):
            fill = filling(images, self.config, seed.fold("fill", k))
            kept = 1 - precise(mask).mean((1, 2, 3))
            one = torch.ones_like(kept)
            parts = [(mask, kept), (1 - mask, 1 - kept)] if self.config.pair else [(mask, one)]
            for m, weight in parts:
                shown = images * (1 - m).to(images) + fill * m.to(images)
                copies.append(Occluded(shown, m, None, one, weight))
        return copies


def filling(
    images: Float[Tensor, "B C H W"], config: "Config", seed: Seed
) -> Float[Tensor, "B C H W"]:
    """What stands where an image is hidden; noise is drawn for each image by itself."""
    if config.fill == "zeros":
        return torch.zeros_like(images)
    if config.fill == "mean":
        return images.mean((2, 3), keepdim=True).expand_as(images)
    if config.fill == "noise":
        start = gather.rank() * len(images)
        rows = [seed.fold(start + row).generator() for row in range(len(images))]
        noise = torch.stack([torch.randn(images.shape[1:], generator=g) for g in rows])
        return config.noise_std * noise.to(images)
    down, across = (
        blurring(torch.full((1,), config.blur_sigma * side), side).to(images)
        for side in images.shape[2:]
    )
    with torch.autocast(images.device.type, enabled=False):
        return down @ images @ across.transpose(1, 2)


class Config(grids.Grid):
    """Settings of erase.

    Attributes:
        masks: Masked copies of each image; twice as many with `pair`.
        pair: Whether what a mask leaves is erased in a second copy. Each of the two weighs in
            the loss as much as is left of the image.
        fill: What is put there: `zeros`, the mean colour of all images; `mean`, the image's own
            mean colour; `noise`, normal numbers; `blur`, the image without its details.
        noise_std: Standard deviation of `noise`, where standardised images have 1.
        blur_sigma: Standard deviation of `blur`, in sides of the image.
        clean: Whether the unmasked pair is in the loss too.
    """

    pattern: Literal["blocked", "discrete", "noise"] = "discrete"
    grid: int = Field(6, ge=2)
    ratio: float | tuple[float, float] = 0.75
    exact: bool = True
    per_image: bool = True
    masks: int = Field(1, ge=1)
    pair: bool = False
    fill: Literal["zeros", "mean", "noise", "blur"] = "zeros"
    noise_std: float = Field(1.0, gt=0)
    blur_sigma: float = Field(0.1, gt=0, le=0.5)
    clean: bool = False

    def build(self, size: int, channels: int) -> Erase:
        self.fits(size)
        return Erase(self)
