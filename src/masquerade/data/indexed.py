"""Maps of numbers kept as image files: each pixel's value is a class or an object."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masquerade.data.finding import BROKEN


def indexed(path: Path) -> NDArray[np.uint8]:
    """[H, W] numbers of a grey image, or of one with a palette (VOC), whatever its colours.

    Raises:
        ValueError: It is broken, or has colours instead of numbers.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            mode, values = image.mode, np.asarray(image)
    except BROKEN as error:
        raise ValueError(f"{path} cannot be read as a PNG file: {error}. Get it again") from None
    if mode not in ("P", "L"):
        raise ValueError(
            f"{path} must hold one number of 8 bits for each pixel (grey or with a palette), "
            f"but its mode is {mode}"
        )
    return values
