"""Pixels of one image in the shape they are kept: mode, size, upright. Imports no torch."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masquerade.data.finding import Finding, Unusable

Channels = Literal["rgb", "grey", "keep"]


def levelled(
    image: Image.Image, name: str, channels: Channels
) -> tuple[Image.Image | NDArray[Any], list[Finding]]:
    """Any mode as L, RGB, or 16-bit [H, W, 1] for `keep`; alpha over white, 16 bits to 8."""
    mode = image.mode
    if transparent(image):
        over = Image.new("RGBA", image.size, "white")
        over.alpha_composite(image.convert("RGBA"))
        grey = channels == "grey" or (channels == "keep" and mode in ("L", "LA", "La"))
        return over.convert("RGB").convert("L" if grey else "RGB"), []
    if mode in ("I", "F") or mode.startswith("I;16"):
        values = np.asarray(image)
        found: list[Finding] = []
        white = 1 if mode == "F" and values.max() <= 1 else 255 if mode == "F" else 65535
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= white):
            text = f"has values outside 0 to {white}: convert it to 8 or 16 bits"
            raise Unusable(name, "odd values", text)
        if channels == "keep" and mode != "F":
            return values.astype(np.uint16)[..., None], found
        if white == 65535 and values.max() < 4096:
            text = f"is nearly black in 8 bits (its brightest value is {values.max()} of 65535)"
            found.append(Finding(name, "dark", text + "; data.channels=keep keeps it", "use"))
        flat = Image.fromarray((values.astype(np.float64) * (255 / white)).round().astype(np.uint8))
        return flat if channels in ("grey", "keep") else flat.convert("RGB"), found
    grey = channels == "grey" or (channels == "keep" and mode in ("1", "L"))
    if grey:
        return (image if mode in ("1", "L") else image.convert("RGB")).convert("L"), []
    return image.convert("RGB"), []


def resized(
    image: Image.Image | NDArray[Any],
    shape: tuple[int, int],
    box: tuple[int, int, float, float] | None = None,
) -> NDArray[Any]:
    """[H, W, C] at a smaller size, antialiased (Pillow, bicubic); floats between for 16 bits.

    `box` is the part of a drafted JPEG that holds the picture, to fractions of a pixel.
    """
    size = shape[::-1]
    if isinstance(image, Image.Image):
        small = image if image.size == size else image.resize(size, Image.Resampling.BICUBIC, box)
        array = np.asarray(small)
        return array[..., None] if array.ndim == 2 else array
    if image.shape[:2] == shape:
        return image
    planes = [Image.fromarray(np.float32(image[..., c])) for c in range(image.shape[2])]
    small_planes = [np.asarray(p.resize(size, Image.Resampling.BICUBIC)) for p in planes]
    white = np.iinfo(image.dtype).max
    return np.stack(small_planes, -1).round().clip(0, white).astype(image.dtype)


def turned(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels as the camera was held; the eight cases of EXIF."""
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    rows = slice(None, None, -1) if orientation in (3, 4, 7, 8) else slice(None)
    columns = slice(None, None, -1) if orientation in (2, 3, 6, 7) else slice(None)
    return array[rows, columns]


def upright(shape: tuple[int, ...], orientation: int) -> tuple[int, int]:
    """Height and width after turning."""
    return (shape[0], shape[1]) if orientation < 5 else (shape[1], shape[0])


def shrunk(shape: tuple[int, int], longest: int) -> tuple[int, int]:
    """Height and width with the longer side at most `longest`, the aspect ratio kept."""
    if not longest or max(shape) <= longest:
        return shape
    scale = longest / max(shape)
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def transparent(image: Image.Image) -> bool:
    """Whether an image has an alpha channel or a transparent colour."""
    if image.mode.startswith(("I", "F")):
        return False  # a transparent grey of 16 bits stays what it is
    return image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info
