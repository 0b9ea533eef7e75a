"""The parameters of one view of a batch: drawn on the CPU for all ranks, sliced by rank.

A draw holds no pixels, so the batched and the image-by-image renderer share it, and it is the same
on any device and for any number of processes.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.data.augment.geometry import ATTEMPTS, boxes
from masquerade.data.augment.policy import Policy


class Draw(NamedTuple):
    """What happens to each image of a rank's batch, in the order of the fields.

    Attributes:
        box: Top, left, height, width of the crop, in pixels of the canvas.
        flip: Whether left and right are swapped.
        factors: Brightness, contrast, saturation (factors) and hue (turns of the colour circle);
            1, 1, 1 and 0 where the colours are not jittered.
        order: The order of those four: `order[b, 0]` comes first, 0 = brightness.
        grey: Whether colour goes.
        sigma: Standard deviation of the blur in pixels of the view, 0 for none.
        solarise: Whether bright values are inverted.
    """

    box: Int[Tensor, "B 4"]
    flip: Bool[Tensor, " B"]
    factors: Float[Tensor, "B 4"]
    order: Int[Tensor, "B 4"]
    grey: Bool[Tensor, " B"]
    sigma: Float[Tensor, " B"]
    solarise: Bool[Tensor, " B"]

    @classmethod
    def joined(cls, parts: Iterable["Draw"]) -> "Draw":
        """The draws of several batches, one after the other."""
        return cls(*(torch.cat(fields) for fields in zip(*parts, strict=True)))

    def rows(self, chosen: slice | Int[Tensor, " R"]) -> "Draw":
        """The draw of some of the images."""
        return Draw(*(field[chosen] for field in self))


def draw(
    policy: Policy, extent: Int[Tensor, "B 2"], seed: Seed, rank: int = 0, world: int = 1
) -> Draw:
    """The parameters of this rank's rows, `rank * B` to `(rank + 1) * B` of the global batch.

    Args:
        policy: The distribution.
        extent: Height and width of what each canvas really holds; crops stay inside.
        seed: Of this view; every purpose is folded in by name.
        rank: Which slice of the global batch these images are.
        world: How many such slices there are.
    """
    b = len(extent)
    mine = slice(rank * b, (rank + 1) * b)

    def uniform(purpose: str, *shape: int) -> Float[Tensor, "..."]:
        numbers = torch.rand(
            b * world, *shape, dtype=torch.float64, generator=seed.fold(purpose).generator()
        )
        return numbers[mine]

    reach = torch.tensor(
        [policy.brightness, policy.contrast, policy.saturation, policy.hue], dtype=torch.float64
    )
    neutral = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    low = torch.cat([(1 - reach[:3]).clamp(min=0), -reach[3:]])
    high = neutral + reach
    factors = low + (high - low) * uniform("factors", 4)
    jittered = uniform("jitter", 1) < policy.jitter
    sharpest, softest = policy.blur_sigma
    sigma = sharpest + (softest - sharpest) * uniform("sigma")
    return Draw(
        box=boxes(
            extent.cpu(),
            uniform("crop", ATTEMPTS, 2),
            uniform("place", 2),
            policy.crop_scale,
            policy.crop_ratio,
        ),
        flip=uniform("flip") < policy.flip,
        factors=torch.where(jittered, factors, neutral),
        order=uniform("order", 4).argsort(1),
        grey=uniform("grey") < policy.grey,
        sigma=sigma * (uniform("blur") < policy.blur),
        solarise=uniform("solarise") < policy.solarise,
    )
