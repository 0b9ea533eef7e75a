"""Arrays as pictures inside the page: masks, masked views, thumbnails."""

import base64
import io
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masquerade.jobs.painting import COLOURS
from masquerade.report.files import Bytes
from masquerade.report.snapshots import Snapshot

SHOWN = 6  # images of the mask gallery
FRAMES = 8  # moments of the film
LARGEST = 96  # longest side of a picture in the page, in pixels


class Cell(NamedTuple):
    """A picture and what it shows, in words."""

    source: str
    words: str


class Panel(NamedTuple):
    """One image under every mask.

    Attributes:
        image: The image itself.
        masks: Each soft mask: white hides all, black nothing.
        views: Each masked view as the encoder sees it.
        hard: Which mask is strongest at each pixel; None with a single mask.
    """

    image: Cell
    masks: list[Cell]
    views: list[Cell]
    hard: Cell | None


def uri(pixels: NDArray[Any]) -> str:
    """A data address of an image [H, W, C] or [H, W]; large ones are made smaller."""
    if pixels.ndim == 3 and pixels.shape[2] != 3:
        pixels = pixels[..., 0]
    image = Image.fromarray(np.ascontiguousarray(pixels.astype(np.uint8)))
    small = max(image.size) <= 48
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=small, quality=90, method=4)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"


def panels(taken: Snapshot, mean: tuple[float, ...] | None) -> list[Panel]:
    """The first images of a snapshot under every mask.

    Args:
        taken: Images and masks.
        mean: What stands where something is hidden: the training images' mean colour, white = 1.
            None: the mean of the images shown.
    """
    images = taken.images[:SHOWN].astype(np.float64)
    channels = images.shape[3]
    if mean is not None and len(mean) >= channels:
        fill = 255 * np.array(mean[:channels])
    else:
        fill = images.mean((0, 1, 2))
    found = []
    for number, (image, hidden) in enumerate(
        zip(images, taken.hidden.astype(np.float64) / 255, strict=False), 1
    ):
        masks, views = [], []
        for k, mask in enumerate(hidden, 1):
            size = f"{mask.mean():.0%}"
            masks.append(
                Cell(uri(255 * mask), f"Mask {k} of image {number}, white hides: {size} hidden")
            )
            seen = image * (1 - mask[..., None]) + fill * mask[..., None]
            views.append(Cell(uri(seen), f"Image {number} as the encoder sees it under mask {k}"))
        hard = None
        if len(hidden) > 1:
            hard = Cell(
                uri(hardened(hidden)), f"The strongest mask at each pixel of image {number}"
            )
        found.append(Panel(Cell(uri(image), f"Image {number}"), masks, views, hard))
    return found


def glimpse(taken: Snapshot, mean: tuple[float, ...] | None) -> list[list[Cell]]:
    """Three images and up to three masked views of each, for the top of a page."""
    return [[p.image, *p.views[:3]] for p in panels(taken, mean)[:3]]


def hardened(hidden: NDArray[np.float64]) -> Bytes:
    """The colour of the strongest of the masks [N, H, W] at each pixel.

    Full colour where it hides more than half of the pixel, pale where it hides less.
    """
    palette = np.array([COLOURS[k % len(COLOURS)] for k in range(len(hidden))], np.float64)
    colour = palette[hidden.argmax(0)]
    pale = 0.3 * colour + 0.7 * np.array([214.0, 216.0, 222.0])
    firm = (hidden.max(0) > 0.5)[..., None]
    return np.asarray(np.where(firm, colour, pale).round(), np.uint8)


class Film(NamedTuple):
    """How the masks of one image changed: the steps, the image, and each mask at each step."""

    steps: list[int]
    image: Cell
    masks: list[list[Cell]]


def frames(taken: list[Snapshot]) -> list[Snapshot]:
    """The moments of a film: those that show the first image alike; none if fewer than three."""
    alike = [
        s
        for s in taken
        if s.hidden.shape[1:] == taken[0].hidden.shape[1:]
        and [copy.masker for copy in s.copies] == [copy.masker for copy in taken[0].copies]
        and len(s.images)
        and np.array_equal(s.images[0], taken[0].images[0])
    ]
    if len(alike) < 3:
        return []
    if len(alike) > FRAMES:
        return [alike[k] for k in np.linspace(0, len(alike) - 1, FRAMES).round().astype(int)]
    return alike


def film(taken: list[Snapshot]) -> Film | None:
    """The masks of the first image over all snapshots; None if fewer than three show it."""
    taken = frames(taken)
    if not taken:
        return None
    first = taken[0]
    masks = [
        [Cell(uri(s.hidden[0, k]), f"Mask {k + 1} after {s.step} steps") for s in taken]
        for k in range(first.hidden.shape[1])
    ]
    return Film([s.step for s in taken], Cell(uri(first.images[0]), "The image"), masks)
