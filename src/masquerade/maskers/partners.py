"""Partners: whose pixels fill what is hidden of an image, and what the two then share.

Three permutations of the batch: MixMask (https://arxiv.org/abs/2210.11456) and Un-Mix
(https://arxiv.org/abs/2003.05438) reverse it, MixMask* draws one; papers/mixmask.md, section 1.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.core.types import precise
from masquerade.engine import gather
from masquerade.maskers.base import MaskerConfig, Occluded

Order = Literal["reverse", "random", "derangement"]


class Partners(MaskerConfig):
    """Settings of who fills; a base of settings of maskers.

    Attributes:
        partners: Image i is filled from image B - 1 - i with `reverse`, as published; from one
            drawn by chance with `random`, where one image of a batch on average meets itself;
            with `derangement` none does.
        partners_from: Whether partners come from the images of the same `process`, as published,
            or from the `batch` of all of them.
        clean: Whether the unmixed pair is in the loss too.
    """

    partners: Order = "reverse"
    partners_from: Literal["process", "batch"] = "process"
    clean: bool = True

    def check(self, batch: int, devices: int) -> None:
        apart = self.partners_from == "process" and devices > 1
        images = batch // devices if apart else batch
        came = f"batch={batch}" + (f" / {devices} devices = {images}" if apart else "")
        if images < 2:
            raise ValueError(
                f"{self.kind}: {came} leaves an image without a partner. Take 2 images or more"
                + (" on each device, or partners_from=batch" if apart else "")
            )
        if self.partners == "reverse" and images % 2:
            raise ValueError(
                f"{self.kind}: {came} is odd, and with partners=reverse the image in the middle "
                "would be its own partner. Take an even number, or partners=derangement"
            )


def mixed(
    images: Float[Tensor, "B C H W"],
    hidden: list[Float[Tensor, "B 1 H W"]],
    settings: Partners,
    seed: Seed,
) -> list[Occluded]:
    """One copy for each mask, its hidden part filled from a partner; each draws its partners.

    An image's share is what is left of it. No gradient runs through shares, so that a learned
    mask cannot choose the label's weights.
    """
    joined = settings.partners_from == "batch"
    pool = gather.gathered(images) if joined else images
    first = 0 if joined else gather.rank() * len(images)
    copies = []
    for k, mask in enumerate(hidden):
        partner = _rows(settings, len(images), seed.fold("partner", k)).to(images.device)
        filled = images * (1 - mask).to(images) + pool[partner] * mask.to(images)
        share = 1 - precise(mask.detach()).mean((1, 2, 3))
        copies.append(Occluded(filled, mask, first + partner, share, torch.ones_like(share)))
    return copies


def _rows(settings: Partners, batch: int, seed: Seed) -> Int[Tensor, " B"]:
    """Where in the pool the partner of each image of this process is."""
    if settings.partners_from == "batch":
        return gather.own(permutations(settings.partners, 1, batch * gather.world(), seed)[0])
    return gather.own(permutations(settings.partners, gather.world(), batch, seed))[0]


def permutations(order: Order, count: int, length: int, seed: Seed) -> Int[Tensor, "N B"]:
    """Permutations of 0 to length - 1. A derangement of at least 2 is one random cycle."""
    if order == "reverse":
        return torch.arange(length).flip(0).expand(count, -1)
    drawn = torch.rand(count, length, dtype=torch.float64, generator=seed.generator()).argsort(1)
    if order == "random":
        return drawn
    return torch.empty_like(drawn).scatter(1, drawn, drawn.roll(-1, 1))
