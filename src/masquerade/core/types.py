"""What a training batch is."""

from typing import NamedTuple

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
