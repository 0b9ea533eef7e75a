"""Annotations of images to flat arrays: checked, brought to the stored size, masks as bits."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masquerade.data import cache
from masquerade.data.raster import shrunk

IGNORED = 255


class Drawing(NamedTuple):
    """What is drawn around in one image, in pixels of the annotated image.

    Attributes:
        name: What to call it in messages.
        shape: Height and width of the annotated image.
        boxes: [n, 4] left, top, right, bottom edge.
        labels: [n] classes, from 0.
        crowd: [n] whether it neither counts as a hit nor as a miss.
        masks: [n, H, W] bool; None where there are only boxes.
        semantic: [H, W] 0 = background, 1 + class, 255 = ignored; None to paint it from masks.
    """

    name: str
    shape: tuple[int, int]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    masks: NDArray[np.bool_] | None
    semantic: NDArray[np.uint8] | None = None


class Pile:
    """Drawings on their way into a cache entry.

    Attributes:
        empty: Names of objects that cover nothing and were left out.
    """

    def __init__(self, classes: int, canvas: tuple[int, int], longest: int = 0) -> None:
        """Opens an empty pile.

        Args:
            classes: Labels must lie below.
            canvas: Height and width of the stored images.
            longest: As in the `Plan` the images were decoded by; 0 where none was shrunk.
        """
        self.empty: list[str] = []
        self._classes = classes
        self._canvas = canvas
        self._longest = longest
        self._counts: list[int] = []
        self._boxes: list[NDArray[np.float32]] = []
        self._labels: list[NDArray[np.int64]] = []
        self._crowd: list[NDArray[np.bool_]] = []
        self._crops: list[tuple[int, int, int, int]] = []
        self._bits: list[NDArray[np.uint8]] = []
        self._semantic: list[NDArray[np.uint8]] = []
        self._masked = 0

    def add(self, drawing: Drawing, stored: tuple[int, int]) -> None:
        """Takes the drawing of the next image, which is stored at another size.

        Objects whose box has no area are left out, and named in `empty`.

        Raises:
            ValueError: A label is out of range, or a mask or the image is of another size.
        """
        self._check(drawing, stored)
        scale = np.array(stored[::-1] * 2, np.float32) / np.array(drawing.shape[::-1] * 2)
        boxes = drawing.boxes.clip(0, np.array(drawing.shape[::-1] * 2, np.float32))
        sizes = boxes[:, 2:] - boxes[:, :2]
        kept = (sizes > 0).all(1)
        self.empty += [f"object {k + 1} of {drawing.name}" for k in np.flatnonzero(~kept)]
        self._counts.append(int(kept.sum()))
        self._boxes.append((boxes[kept] * scale).astype(np.float32))
        self._labels.append(drawing.labels[kept])
        self._crowd.append(drawing.crowd[kept])
        if drawing.masks is not None:
            self._masked += 1
            for mask in drawing.masks[kept]:
                self._pack(resized(mask, stored))
        if drawing.semantic is not None:
            whole = np.full(self._canvas, IGNORED, np.uint8)
            whole[: stored[0], : stored[1]] = resized(drawing.semantic, stored)
            self._semantic.append(whole)

    def write(self, builder: cache.Builder) -> None:
        """Puts the arrays that `Dense` reads into an entry."""
        images = len(self._counts)
        assert self._masked in (0, images) and len(self._semantic) in (0, images)
        builder.array("first", "int64", (images + 1,))[:] = np.cumsum([0, *self._counts])
        count = sum(self._counts)
        for name, dtype, parts, shape in (
            ("boxes", "float32", self._boxes, (count, 4)),
            ("labels", "int64", self._labels, (count,)),
            ("crowd", "bool", self._crowd, (count,)),
        ):
            builder.array(name, dtype, shape)[:] = np.concatenate(parts)
        if self._masked:
            offset = np.cumsum([0, *(len(b) for b in self._bits)])
            builder.array("crop", "int32", (count, 4))[:] = np.reshape(self._crops, (count, 4))
            builder.array("offset", "int64", (count + 1,))[:] = offset
            bits = builder.array("bits", "uint8", (int(offset[-1]),))
            for start, part in zip(offset, self._bits, strict=False):
                bits[start : start + len(part)] = part
        if self._semantic:
            maps = builder.array("semantic", "uint8", (images, *self._canvas))
            for row, one in enumerate(self._semantic):
                maps[row] = one
        builder.about["empty"] = self.empty

    def _check(self, drawing: Drawing, stored: tuple[int, int]) -> None:
        height, width = drawing.shape
        maps = [] if drawing.masks is None else list(drawing.masks)
        maps += [] if drawing.semantic is None else [drawing.semantic]
        for one in maps:
            if one.shape != drawing.shape:
                raise ValueError(
                    f"{drawing.name} has a mask of {one.shape[1]} x {one.shape[0]} pixels "
                    f"for an image of {width} x {height}"
                )
        if shrunk(drawing.shape, self._longest) != stored:
            raise ValueError(
                f"{drawing.name} is annotated at {width} x {height} pixels, but its image is of "
                f"another size (stored at {stored[1]} x {stored[0]})"
            )
        if drawing.semantic is not None:
            values = np.unique(drawing.semantic)
            beyond = values[(values > self._classes) & (values != IGNORED)]
            if len(beyond):
                raise ValueError(
                    f"{drawing.name} has class {beyond[0]} in its mask; it must be 0 (background) "
                    f"to {self._classes}, or 255 (ignored)"
                )
        wrong = drawing.labels[(drawing.labels < 0) | (drawing.labels >= self._classes)]
        if len(wrong):
            raise ValueError(
                f"{drawing.name} has an object of class {wrong[0]}; "
                f"classes go from 0 to {self._classes - 1}"
            )

    def _pack(self, mask: NDArray[np.bool_]) -> None:
        left, top, right, bottom = edge(mask)
        self._crops.append((top, left, bottom - top, right - left))
        self._bits.append(np.packbits(mask[top:bottom, left:right]))


def edge(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom edge of what a mask marks; zeros where it marks nothing."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def resized(mask: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """A mask at another size: each pixel takes the value of the nearest."""
    if mask.shape == shape:
        return mask
    whole = Image.fromarray(mask.astype(np.uint8)).resize(shape[::-1], Image.Resampling.NEAREST)
    return np.asarray(whole).astype(mask.dtype)
