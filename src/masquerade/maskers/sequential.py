"""Sequential: a mask network learns where it hurts, one mask after another.

Sequential adversarial masking, 2022. https://arxiv.org/abs/2212.08277. There is no official
code; the decisions are those of papers/adversarial_masking.md, section 7.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from masquerade.core.seed import Seed
from masquerade.core.types import precise
from masquerade.engine.task import Progress
from masquerade.maskers import pick, sizes
from masquerade.maskers.base import Masker, MaskerConfig, Occluded
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
        held = config.control == "held"
        self.held = sizes.Held(config.masks, config.budget, config.budget_weight) if held else None

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
        each = [penalties(masks, self.config, self.held) for masks in views]
        return self.summed({n: torch.stack([parts[n] for parts in each]).sum() for n in each[0]})

    def after_step(self, progress: Progress) -> None:
        if self.held:
            self.held.move()


def penalty(
    masks: Float[Tensor, "B N H W"], config: "Config", held: sizes.Held | None = None
) -> Float[Tensor, ""]:
    """The sum of `penalties`."""
    return torch.stack(list(penalties(masks, config, held).values())).sum()


def penalties(
    masks: Float[Tensor, "B N H W"], config: "Config", held: sizes.Held | None = None
) -> dict[str, Float[Tensor, ""]]:
    """The means over images and masks of budget, overlap and consistency terms, weighted.

    Finite with finite gradients for any masks in [0, 1], 0 and 1 included. `held` weighs the
    budget in place of `config.budget_weight`.
    """
    shares = sizes.shares(masks)
    paper = config.budget_weight * sizes.off_budget(shares, config.budget)
    budget: Tensor = held(shares) if held else paper
    scale = masks.shape[2] * masks.shape[3] if config.pixels == "sum" else 1
    return {
        "budget": budget.mean(),
        "overlap": scale * config.overlap * overlaps(masks, config.detach_previous).mean(),
        "consistency": scale * config.consistency * roughness(masks).mean(),
    }


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
    printed form. The printed budget weight, 1, lets masks run empty: the paper reports it too,
    and `control=held` prevents it.

    Attributes:
        masks: Masks of each image; the paper uses 5 for its numbers and 4 for its pictures.
        shown: Copies of each image, each with another mask, drawn anew for every image. 0 makes
            a copy with every mask.
        budget: The share that each mask ought to hide; training starts there.
        budget_weight: Of the squared distance to the budget.
        control: `paper` keeps that weight; `held` starts there and moves it, for each mask, until
            its mean size is on budget.
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
    shown: int = Field(0, ge=0)
    budget: float = Field(0.25, gt=0, lt=1)
    budget_weight: float = Field(1.0, ge=0)
    control: Literal["paper", "held"] = "paper"
    overlap: float = Field(0.92, ge=0)
    consistency: float = Field(0.92, ge=0)
    pixels: Literal["mean", "sum"] = "mean"
    feedback: Literal["head", "input", "image"] = "head"
    detach_previous: bool = False
    width: int = Field(32, ge=8)
    norm: Literal["gn", "in", "no"] = "in"
    arch: Literal["genesis", "free"] = "genesis"

    @model_validator(mode="after")
    def _shows_what_there_is(self) -> "Config":
        pick.within(self.shown, self.masks)
        return self

    def build(self, size: int, channels: int) -> Sequential:
        return Sequential(self, size, channels)
