"""Sequential: a mask network learns where it hurts, one mask after another.

Sequential adversarial masking, 2022. https://arxiv.org/abs/2212.08277. There is no official
code; the decisions are those of papers/adversarial_masking.md, section 7.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from masquerade.core.seed import Seed
from masquerade.core.types import precise
from masquerade.engine.task import Progress
from masquerade.maskers.base import Masker, MaskerConfig
from masquerade.networks.unet import UNet


class Sequential(Masker):
    """Each mask sees those before it; sizes, overlaps and ragged edges cost."""

    def __init__(self, config: "Config", size: int, channels: int) -> None:
        super().__init__()
        self.config = config
        inputs = channels + (config.feedback == "input")
        self.unet = UNet(size, config.width, config.norm, arch=config.arch, inputs=inputs)
        heads = config.masks if config.feedback == "head" else 1
        self.head = nn.Conv2d(config.width, heads, 1)
        assert self.head.bias is not None
        nn.init.constant_(self.head.bias, math.log(config.budget / (1 - config.budget)))
        if config.feedback == "head":
            bound = (config.width + heads - 1) ** -0.5
            self.memory = nn.Parameter(torch.empty(heads, heads).uniform_(-bound, bound).tril(-1))

    def propose(self, images: Float[Tensor, "B C H W"], seed: Seed) -> Float[Tensor, "B N H W"]:
        return self._from_head(images) if self.config.feedback == "head" else self._again(images)

    def _from_head(self, images: Tensor) -> Tensor:
        """One pass; logit k = a 1x1 convolution of features and of masks 1..k-1."""
        logits = precise(self.head(self.unet(images)))
        masks: list[Tensor] = []
        for k, logit in enumerate(logits.unbind(1)):
            for j, earlier in enumerate(masks):
                logit = logit + self.memory[k, j] * self._fed(earlier)
            masks.append(logit.sigmoid())
        return torch.stack(masks, 1)

    def _again(self, images: Tensor) -> Tensor:
        """One pass per mask; the network sees what is hidden already."""
        kept = torch.ones_like(precise(images[:, :1]))
        masks: list[Tensor] = []
        for _ in range(self.config.masks):
            if self.config.feedback == "input":
                seen = torch.cat([images, (1 - kept).to(images)], 1)
            else:
                seen = images * kept.to(images)
            mask = precise(self.head(self.unet(seen))).sigmoid()
            kept = kept * (1 - self._fed(mask))
            masks.append(mask)
        return torch.cat(masks, 1)

    def _fed(self, mask: Tensor) -> Tensor:
        return mask.detach() if self.config.detach_previous else mask

    def price(
        self,
        views: list[Float[Tensor, "B N H W"]],
        images: list[Float[Tensor, "B C H W"]],
        progress: Progress,
    ) -> Float[Tensor, ""]:
        return torch.stack([penalty(masks, self.config) for masks in views]).mean()


def penalty(masks: Float[Tensor, "B N H W"], config: "Config") -> Float[Tensor, ""]:
    """The mean over images and masks of budget, overlap and consistency terms, weighted.

    Finite with finite gradients for any masks in [0, 1], 0 and 1 included.
    """
    off = (sizes(masks) - config.budget).square()
    parts = config.budget_weight * off
    scale = masks.shape[2] * masks.shape[3] if config.pixels == "sum" else 1
    overlap, rough = overlaps(masks, config.detach_previous), roughness(masks)
    return (parts + scale * (config.overlap * overlap + config.consistency * rough)).mean()


def sizes(masks: Float[Tensor, "B N H W"]) -> Float[Tensor, "B N"]:
    """The hidden share of each mask."""
    return masks.mean((2, 3))


def overlaps(
    masks: Float[Tensor, "B N H W"], detach_previous: bool = False
) -> Float[Tensor, "B N"]:
    """The mean over pixels of each mask times the sum of those before it; 0 for the first."""
    earlier = masks.cumsum(1) - masks
    return (masks * (earlier.detach() if detach_previous else earlier)).mean((2, 3))


def roughness(masks: Float[Tensor, "B N H W"]) -> Float[Tensor, "B N"]:
    """The mean squared distance of each mask to its 3x3 average, taken inside the image."""
    smooth = F.avg_pool2d(masks, 3, stride=1, padding=1, count_include_pad=False)
    return (masks - smooth).square().mean((2, 3))


class Config(MaskerConfig):
    """Settings of Sequential.

    Note: the paper prints `overlap` and `consistency` as 1e-4 on sums over pixels. At 96 pixels
    that is 0.92 on means, the default here; `pixels=sum overlap=1e-4 consistency=1e-4` is the
    printed form. The printed budget weight, 1, lets masks run empty; 10 holds them.

    Attributes:
        masks: Masks of each image; the paper uses 5 for its numbers and 4 for its pictures.
        budget: The share that each mask ought to hide; training starts there.
        budget_weight: Of the squared distance to the budget.
        overlap: Weight of hiding again what an earlier mask hides.
        consistency: Weight of ragged masks.
        pixels: Whether overlap and consistency are means or sums over pixels.
        feedback: What a later mask knows of the earlier ones: `head` feeds them to the last
            layer (one pass of the network), `input` shows their union as a fourth channel,
            `image` shows the image without them (both: one pass per mask).
        detach_previous: Whether gradients stop at earlier masks.
        width: Channels of the mask network.
        norm: Its normalisation: group, instance or none.
        arch: Its bottleneck: `genesis` as published, `free` for any resolution.
    """

    masks: int = Field(4, ge=1)
    budget: float = Field(0.25, gt=0, lt=1)
    budget_weight: float = Field(1.0, ge=0)
    overlap: float = Field(0.92, ge=0)
    consistency: float = Field(0.92, ge=0)
    pixels: Literal["mean", "sum"] = "mean"
    feedback: Literal["head", "input", "image"] = "head"
    detach_previous: bool = False
    width: int = Field(32, ge=8)
    norm: Literal["gn", "in", "no"] = "in"
    arch: Literal["genesis", "free"] = "genesis"

    def build(self, size: int, channels: int) -> Sequential:
        return Sequential(self, size, channels)
