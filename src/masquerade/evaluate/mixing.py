"""What fine-tuning does to labelled views: mixup or CutMix, random erasing, smoothed labels.

Zhang et al., "mixup", 2018, https://arxiv.org/abs/1710.09412; Yun et al., "CutMix", 2019,
https://arxiv.org/abs/1905.04899; Zhong et al., "Random Erasing Data Augmentation", 2017,
https://arxiv.org/abs/1708.04896; Szegedy et al., 2016, for label smoothing.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field
from scipy.special import betaincinv
from torch import Tensor
from torch.nn import functional as F

from masquerade.core.config import Settings
from masquerade.core.seed import Seed
from masquerade.data.augment.geometry import ATTEMPTS, boxes

ERASED = (0.02, 1 / 3), (0.3, 1 / 0.3)  # share of the area, width / height


class Labelled(NamedTuple):
    """Views with what a network shall say of them.

    Attributes:
        images: Standardised.
        targets: Each class's probability.
    """

    images: Float[Tensor, "B C H W"]
    targets: Float[Tensor, "B K"]


class Mixing(Settings):
    """How labelled views are mixed.

    Attributes:
        mixup: a draws the share of the first image from Beta(a, a), the same for all images of a
            step; 0 never adds two images.
        cutmix: The same for a rectangle of the second image; 0 never pastes one. Where both are
            above 0, each step takes one of them, by a coin.
        smoothing: Share of the target that all classes have in equal parts.
        erase: Chance that a rectangle of a view (2 to 33 % of it) becomes noise.
    """

    mixup: float = Field(0.0, ge=0)
    cutmix: float = Field(0.0, ge=0)
    smoothing: float = Field(0.0, ge=0, lt=1)
    erase: float = Field(0.0, ge=0, le=1)

    def mixed(
        self,
        views: Float[Tensor, "B C H W"],
        labels: Int[Tensor, " B"],
        classes: int,
        seed: Seed,
        rank: int = 0,
        world: int = 1,
    ) -> Labelled:
        """Views and targets of one step.

        The partner of an image is the one at the same distance from the end of the batch, in its
        own process. The shares are drawn on the CPU, once for all processes.

        Args:
            views: Standardised; not changed.
            labels: Their classes.
            classes: How many there are.
            seed: Of the step.
            rank: These are rows `rank * B` to `(rank + 1) * B` of the global batch.
            world: The global batch has `B * world` rows.
        """
        views = self._erased(views, seed.fold("erase"), rank, world)
        even = self.smoothing / classes
        targets = F.one_hot(labels, classes).to(views) * (1 - self.smoothing) + even
        if not self.mixup and not self.cutmix:
            return Labelled(views, targets)
        coin, at, high, wide = torch.rand(4, generator=seed.fold("mix").generator()).tolist()
        cut = self.cutmix > 0 and (self.mixup == 0 or coin < 0.5)
        strength = self.cutmix if cut else self.mixup
        share = float(betaincinv(strength, strength, at))
        partner = views.flip(0)
        if cut:
            box, share = rectangle((views.shape[2], views.shape[3]), share, high, wide)
            views = views.clone()
            views[:, :, box[0], box[1]] = partner[:, :, box[0], box[1]]
        else:
            views = share * views + (1 - share) * partner
        return Labelled(views, share * targets + (1 - share) * targets.flip(0))

    def _erased(
        self, views: Float[Tensor, "B C H W"], seed: Seed, rank: int, world: int
    ) -> Float[Tensor, "B C H W"]:
        if not self.erase:
            return views
        b, _, h, w = views.shape
        stream = seed.generator()
        mine = slice(rank * b, (rank + 1) * b)
        hit, tries, place = (
            torch.rand(b * world, *shape, generator=stream, dtype=torch.float64)[mine]
            for shape in ((), (ATTEMPTS, 2), (2,))
        )
        extent = torch.tensor([h, w]).expand(b, 2)
        found = boxes(extent, tries, place, *ERASED)
        out = views.clone()
        for row in torch.nonzero(hit < self.erase)[:, 0].tolist():
            top, left, tall, broad = found[row].tolist()
            noise = seed.fold("noise", rank * b + row).generator()
            drawn = torch.randn(views.shape[1], tall, broad, generator=noise)
            out[row, :, top : top + tall, left : left + broad] = drawn.to(views)
        return out


def rectangle(
    shape: tuple[int, int], share: float, high: float, wide: float
) -> tuple[tuple[slice, slice], float]:
    """A rectangle that leaves about `share` of an image, and the share it really leaves.

    Its centre is uniform over the image, and what sticks out is cut off.

    Args:
        shape: Height and width.
        share: Of the area that stays.
        high: In [0, 1): where the centre lies vertically.
        wide: The same horizontally.
    """
    sides = []
    for length, at in zip(shape, (high, wide), strict=True):
        half, centre = int(length * (1 - share) ** 0.5) // 2, int(at * length)
        sides.append(slice(max(centre - half, 0), min(centre + half, length)))
    covered = (sides[0].stop - sides[0].start) * (sides[1].stop - sides[1].start)
    return (sides[0], sides[1]), 1 - covered / (shape[0] * shape[1])
