"""What a training batch is, and the least precision of what is summed up from it."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Views(NamedTuple):
    """Random augmentations of the same images.

    Attributes:
        views: Two or more, standardised: 0 is the mean colour.
        labels: -1 where an image has none; None where no image has one.
    """

    views: tuple[Float[Tensor, "B C H W"], ...]
    labels: Int[Tensor, " B"] | None


def precise(x: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """In float32 or better: sums, penalties and similarities in bfloat16 are worthless."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
