"""ADIOS: a mask network divides the image among N masks, wherever hiding hurts most.

"Adversarial Masking for Self-Supervised Learning", Shi et al., 2022.
https://arxiv.org/abs/2201.13100, after the official code; papers/adversarial_masking.md,
sections 3 to 5.
"""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from masquerade.core.seed import Seed
from masquerade.core.types import precise
from masquerade.engine.task import Progress
from masquerade.maskers import pick, sizes
from masquerade.maskers.base import Masker, MaskerConfig, Occluded
from masquerade.networks.unet import UNet, default_levels


class Adios(Masker):
    """Every pixel is hidden once in total, by a softmax over the masks; sizes cost."""

    exclusive = True

    def __init__(self, config: "Config", size: int, channels: int) -> None:
        super().__init__()
        self.config = config
        self.single = config.shown == 1
        levels = config.levels or default_levels(size, config.arch)
        if size // 2 ** (levels - 1) < 2:
            raise ValueError(
                f"adios.levels={levels} leaves less than 2 x 2 of images of {size} px; "
                "take fewer levels, or 0 to choose by the size"
            )
        self.unet = UNet(size, config.width, config.norm, levels, config.arch, channels)
        self.head = nn.Conv2d(config.width, config.masks, 1)
        held = config.budget == "held"
        self.held = sizes.Held(config.masks, 1 / config.masks) if held else None

    def propose(self, images: Float[Tensor, "B C H W"], seed: Seed) -> Float[Tensor, "B N H W"]:
        return precise(self.head(self.unet(images))).softmax(1)

    def occlude(
        self, images: Float[Tensor, "B C H W"], hidden: Float[Tensor, "B N H W"], seed: Seed
    ) -> list[Occluded]:
        shown = pick.some(hidden, self.config.shown, seed.fold("slots"))
        return super().occlude(images, shown, seed)

    def price(
        self,
        views: list[Float[Tensor, "B N H W"]],
        images: list[Float[Tensor, "B C H W"]],
        progress: Progress,
    ) -> Float[Tensor, ""]:
        config = self.config
        shares = [sizes.shares(masks) for masks in views]
        paid = {
            "sparsity": config.sparsity * torch.stack([sizes.csc(s).mean() for s in shares]).sum()
        }
        if config.entropy:
            # The official code has one distribution over the masks of all views, and one of each
            # view where it shows one mask of an image.
            apart = shares if config.shown else [torch.cat(shares, 1)]
            each = [
                sizes.entropy(part, config.entropy_reduction, config.normaliser) for part in apart
            ]
            paid["entropy"] = config.entropy / config.masks * torch.stack(each).sum()
        if self.held:
            paid["budget"] = torch.stack([self.held(s).mean() for s in shares]).sum()
        return self.summed(paid)

    def after_step(self, progress: Progress) -> None:
        if self.held:
            self.held.move()


class Config(MaskerConfig):
    """Settings of ADIOS.

    Note: the official scripts sum over masks (`combine=sum`). Published sparsities run from 0.2
    to 1.72; the default is that of SimCLR on ImageNet100-S, whose network this is. ADIOS-s with
    `combine=sum` sets the price of all N masks against one copy, as published; with
    `combine=mean` a sparsity is N times weaker there.

    Attributes:
        masks: Masks of each image. One alone would hide all of it.
        shown: Copies of each image, each with another mask, drawn anew for every image: 1 is
            ADIOS-s. 0 makes a copy with every mask.
        sparsity: Weight of 1 / sin(pi s), which keeps sizes s away from 0 and 1. Without it,
            some masks run empty.
        entropy: Weight of the entropy of an image's sizes. It favours UNEQUAL sizes. Most of the
            official scripts have 0.
        entropy_reduction: Over the batch: `sum` as published grows with it.
        normaliser: How sizes become a distribution; `softmax` as published.
        budget: `fixed` is the sparsity alone, as published. `held` adds the squared distance of
            each size to 1/N, with a weight for each mask that moves until its mean is there.
        width: Channels of the mask network.
        norm: Its normalisation: group, instance or none.
        arch: Its bottleneck: `genesis` as published, `free` for any resolution.
        levels: Its resolutions, 4 to 6; 0 chooses by the size of the images.
    """

    masks: int = Field(4, ge=2)
    shown: int = Field(0, ge=0)
    sparsity: float = Field(0.92, ge=0)
    entropy: float = Field(0.0, ge=0)
    entropy_reduction: sizes.Reduction = "mean"
    normaliser: sizes.Normaliser = "softmax"
    budget: Literal["fixed", "held"] = "fixed"
    width: int = Field(32, ge=8)
    norm: Literal["gn", "in", "no"] = "in"
    arch: Literal["genesis", "free"] = "genesis"
    levels: Literal[0, 4, 5, 6] = 0

    @model_validator(mode="after")
    def _shows_what_there_is(self) -> "Config":
        pick.within(self.shown, self.masks)
        return self

    def build(self, size: int, channels: int) -> Adios:
        return Adios(self, size, channels)
