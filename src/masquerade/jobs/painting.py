"""Masks as image files: each soft mask in grey, what belongs to which mask, and a picture of it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray
from PIL import Image

THRESHOLD = 0.5  # a mask that stands for itself hides a pixel above this
FIRMEST = 0.65  # how much of a pixel the colour of a mask takes where it hides all
COLOURS = (  # of masks 1.. in pictures; from the ninth on they repeat
    (59, 130, 246),
    (234, 120, 30),
    (22, 163, 116),
    (214, 72, 160),
    (139, 100, 240),
    (190, 150, 10),
    (14, 165, 190),
    (225, 60, 70),
)


class Strongest(NamedTuple):
    """Of the masks of one image, the strongest at each pixel.

    Attributes:
        value: How much it hides, 0 to 1.
        number: Which it is, from 1; of equal ones the first. 0 where none hides anything.
    """

    value: Float32[np.ndarray, "H W"]
    number: UInt8[np.ndarray, "H W"]

    def labels(self, exclusive: bool) -> UInt8[np.ndarray, "H W"]:
        """The mask that each pixel belongs to, from 1; 0 = none.

        Args:
            exclusive: The masks share each pixel, so the strongest has it (arg-max). Else a pixel
                belongs to the strongest mask only where that is above one half.
        """
        return self.number if exclusive else self.number * (self.value > THRESHOLD)


def strongest(masks: Iterable[Float32[np.ndarray, "H W"]]) -> Strongest:
    """Looks at the masks of an image one at a time, so that large images need little memory."""
    value: NDArray[Any] | None = None
    number: NDArray[Any] = np.zeros(0, np.uint8)
    for k, mask in enumerate(masks, 1):
        if value is None:
            value, number = np.zeros_like(mask), np.zeros(mask.shape, np.uint8)
        more = mask > value
        value[more] = mask[more]
        number[more] = k
    if value is None:
        raise ValueError("there is no mask to look at")
    return Strongest(value, number)


def save_soft(mask: Float32[np.ndarray, "H W"], place: Path) -> None:
    """A soft mask as 8-bit grey PNG: 0 is shown, 255 hidden; 128 and more is above one half."""
    Image.fromarray((mask * 255).round().astype(np.uint8)).save(place)


def save_labels(labels: UInt8[np.ndarray, "H W"], place: Path) -> None:
    """A label map as PNG with a palette: the value of a pixel is its label, black is label 0."""
    image = Image.fromarray(labels).convert("P")
    colours = [COLOURS[k % len(COLOURS)] for k in range(255)]
    image.putpalette([0, 0, 0, *(part for colour in colours for part in colour)])
    image.save(place)


def save_overlay(pixels: NDArray[Any], found: Strongest, place: Path) -> None:
    """The image, and over each pixel the colour of its strongest mask: the firmer, the more.

    Args:
        pixels: [H, W, C], uint8 or uint16; of more than three channels the first three are shown.
        found: The strongest masks.
        place: A JPEG file.
    """
    image = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., :1].repeat(3, 2)
    image = image.astype(np.float32) * np.float32(255 / np.iinfo(pixels.dtype).max)
    palette = np.array(
        [(0, 0, 0), *(COLOURS[k % len(COLOURS)] for k in range(int(found.number.max())))],
        np.float32,
    )
    much = (FIRMEST * found.value)[..., None]
    image *= 1 - much
    image += much * palette[found.number]
    Image.fromarray(image.round().astype(np.uint8)).save(place, quality=90, subsampling=0)
