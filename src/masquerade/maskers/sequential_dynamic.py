"""Sequential with a budget for each image: the sizes of its colour clusters.

The future work of the Sequential paper (https://arxiv.org/abs/2212.08277), as it names it: one
budget for all images forces a mask of a quarter on a picture whose object fills it, and on one
whose object is a speck. Here mask k of an image ought to be as large as its k-th largest colour
cluster, or superpixel with `place` above 0. Nothing else changes.
"""

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from masquerade.engine.task import Progress
from masquerade.maskers import clusters, sequential, sizes


class Dynamic(sequential.Sequential):
    """Sequential, its budgets read off the images."""

    config: "Config"

    def __init__(self, config: "Config", size: int, channels: int) -> None:
        super().__init__(config, size, channels)
        self.others = config.replace(budget_weight=0.0)  # overlap and consistency as ever

    def price(
        self,
        views: list[Float[Tensor, "B N H W"]],
        images: list[Float[Tensor, "B C H W"]],
        progress: Progress,
    ) -> Float[Tensor, ""]:
        weight = self.config.budget_weight
        found = torch.zeros((), device=views[0].device)
        for masks, seen in zip(views, images, strict=True):
            off = (sizes.shares(masks) - self.budgets(seen)).square()
            found = found + weight * off.mean() + sequential.penalty(masks, self.others)
        return found

    @torch.no_grad()
    def budgets(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B N"]:
        """The share that each mask of each image ought to hide, largest first."""
        config = self.config
        found = clusters.shares(images, config.clusters, config.place)[:, : config.masks]
        return found.clamp(config.least, config.most)


class Config(sequential.Config):
    """Settings of Sequential with a budget for each image; the others are those of `sequential`.

    `budget` is where training starts, `budget_weight` that of the squared distance to an image's
    own budgets.

    Attributes:
        clusters: Colour clusters of an image, at least as many as masks; the smallest get none.
        place: What nearness counts, in standard deviations of a colour channel over the whole
            side; 0 looks at colours only, 2 gives connected superpixels.
        least: No budget is smaller.
        most: No budget is larger.
    """

    clusters: int = Field(5, ge=1)
    place: float = Field(0.0, ge=0)
    least: float = Field(0.05, gt=0, lt=1)
    most: float = Field(0.6, gt=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> "Config":
        if self.clusters < self.masks:
            raise ValueError(
                f"clusters={self.clusters} give no budget for each of masks={self.masks}"
            )
        if self.least > self.most:
            raise ValueError(f"least={self.least:g} is above most={self.most:g}")
        if self.control == "held":
            raise ValueError(
                "control=held holds one mean size for all images; sequential_dynamic has a budget "
                "for each. Use control=paper"
            )
        return self

    def build(self, size: int, channels: int) -> Dynamic:
        return Dynamic(self, size, channels)
