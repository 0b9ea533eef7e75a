"""MixMask: what a mask hides of an image is filled from another one; both share the label.

"MixMask: Revisiting Masking Strategy for Siamese ConvNets", Vishniakov et al., 2022.
https://arxiv.org/abs/2210.11456, after the official code; papers/mixmask.md, sections 1 and 2.
"""

import torch
from jaxtyping import Float
from pydantic import model_validator
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.engine.task import Progress
from masquerade.maskers import grids, partners
from masquerade.maskers.base import Masker, MaskerConfig, Occluded


class MixMask(Masker):
    """Fills hidden cells from partners; with `given`, what another masker hides."""

    fills = True

    def __init__(self, config: "Config", given: Masker | None) -> None:
        super().__init__()
        self.config = config
        self.given = given
        self.wants_clean = config.clean
        self.exclusive = given is not None and given.exclusive

    def propose(self, images: Float[Tensor, "B C H W"], seed: Seed) -> Float[Tensor, "B N H W"]:
        if self.given:
            return self.given.propose(images, seed)
        return grids.masks(self.config, images, 1, seed)

    def occlude(
        self, images: Float[Tensor, "B C H W"], hidden: Float[Tensor, "B N H W"], seed: Seed
    ) -> list[Occluded]:
        if not self.given:
            return partners.mixed(images, list(hidden.split(1, 1)), self.config, seed)
        erased = self.given.occlude(images, hidden, seed)  # which masks it shows, and their weights
        copies = partners.mixed(images, [e.hidden for e in erased], self.config, seed)
        return [c._replace(weight=e.weight) for c, e in zip(copies, erased, strict=True)]

    def price(
        self,
        views: list[Float[Tensor, "B N H W"]],
        images: list[Float[Tensor, "B C H W"]],
        progress: Progress,
    ) -> Float[Tensor, ""]:
        if not self.given:
            return torch.zeros((), device=views[0].device)
        price = self.given.price(views, images, progress)
        self.paid = self.given.paid
        return price

    def after_step(self, progress: Progress) -> None:
        if self.given:
            self.given.after_step(progress)


class Config(partners.Partners, grids.Grid):
    """Settings of MixMask.

    Note: the paper takes cells of 16 pixels on small images and 28 on ImageNet: a grid of 2 at
    32 pixels (there `pattern=discrete`: no block of the published size fits), 4 at 64 and 8 at
    224. Where its formulas and code differ, partners are those of the code. Masks that hide
    nothing or everything are drawn anew; the released code keeps them.

    Attributes:
        pattern: `blocked` lets rectangles of cells stay, mostly around the middle; `discrete`
            draws each cell by itself; `noise` hides where a smooth random field is low; `given`
            hides what another masker hides.
        given: With `pattern=given`, the masker whose masks are filled; `ratio` and the other
            settings of the grid are then without effect. A learned one stays an adversary.
    """

    given: tuple[MaskerConfig, ...] = ()

    @model_validator(mode="after")
    def _one_is_given(self) -> "Config":
        if len(self.given) != (self.pattern == "given"):
            raise ValueError(
                "pattern=given takes the masks of exactly one masker, as in pattern=given "
                f"given=adios, other patterns of none; got pattern={self.pattern} and "
                f"{len(self.given)} in given"
            )
        if any(isinstance(g, partners.Partners) for g in self.given):
            raise ValueError(f"given={self.given[0].kind} fills by itself; give one that erases")
        return self

    def check(self, batch: int, devices: int) -> None:
        super().check(batch, devices)
        for given in self.given:
            given.check(batch, devices)

    def build(self, size: int, channels: int) -> MixMask:
        if not self.given:
            self.fits(size)
        return MixMask(self, self.given[0].build(size, channels) if self.given else None)
