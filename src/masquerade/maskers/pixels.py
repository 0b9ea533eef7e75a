"""A masker for people: images in [0, 1] of any size in, masks of that size out.

A mask network is trained on squares of one size, cut from images at aspect ratios of 3/4 to 4/3.
Here the whole image is squeezed to that square (bilinear, antialiased), whatever its shape, and
the masks are stretched back over the whole image (bilinear). Nothing is cut off; an image of
exactly the training size is not resampled at all.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from masquerade.core.seed import Seed
from masquerade.maskers.base import Masker

SAME = 1e-3  # how near to 1 the masks of a pixel add up where they share it


class FromPixels(nn.Module):
    """A masker and how images are shown to it.

    Attributes:
        masker: Hides parts of standardised squares.
        size: Side of these squares, in pixels.
        mean: Per-channel mean of images in [0, 1], subtracted.
        std: Per-channel standard deviation of images in [0, 1], divided by.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, masker: Masker, size: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.masker = masker
        self.size = size
        for name, values in (("mean", mean), ("std", std)):
            numbers = torch.tensor(values).reshape(1, -1, 1, 1)
            self.register_buffer(name, numbers, persistent=False)
        self.eval()

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return self.mean.shape[1]

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "B C H W"], seed: int = 0) -> Float[Tensor, "B N H W"]:
        """The masks of images in [0, 1]: from 0, shown, to 1, hidden; float32.

        Args:
            images: White is 1; as many channels as the masker was trained on, any size.
            seed: For maskers that draw; a learned mask network gives the same with any.

        Raises:
            ValueError: Another number of channels.
        """
        found = self.of_squares(self.squeezed(images), seed)
        return stretched(found, images.shape[2], images.shape[3])

    def squeezed(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C S S"]:
        """Whole images as squares of the training size."""
        if images.shape[1] != self.channels:
            raise ValueError(
                f"the masker takes images of {self.channels} channels, got {images.shape[1]}"
            )
        return resampled(images, self.size, self.size)

    @torch.no_grad()
    def of_squares(
        self, squares: Float[Tensor, "B C S S"], seed: int = 0
    ) -> Float[Tensor, "B N S S"]:
        """The masks of squares of the training size, in [0, 1]."""
        standardised = (squares - self.mean) / self.std
        return self.masker.propose(standardised, Seed(seed).fold("masks")).float()


def stretched(masks: Float[Tensor, "B N S S"], height: int, width: int) -> Float[Tensor, "B N H W"]:
    """Masks of squares laid over the images the squares were squeezed from."""
    return resampled(masks, height, width).clamp(0, 1)


def resampled(x: Float[Tensor, "B C _ _"], height: int, width: int) -> Float[Tensor, "B C H W"]:
    """Bilinear, antialiased where it shrinks; the same tensor where the size is the same."""
    if x.shape[2:] == (height, width):
        return x
    return F.interpolate(x, (height, width), mode="bilinear", antialias=True)


def exclusive(masks: Float[Tensor, "B N H W"]) -> bool:
    """Whether masks share each pixel, adding up to 1 everywhere as ADIOS's do.

    Then the strongest mask is what a pixel belongs to; else each mask speaks for itself.
    """
    return masks.shape[1] > 1 and bool(((masks.sum(1) - 1).abs() < SAME).all())
