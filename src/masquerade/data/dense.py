"""Boxes, classes and masks of the objects in images: any number per image, read on demand.

Masks are kept as bits inside their bounding box, so that all objects of a set lie in a few flat
arrays beside the cached pixels. Everything is in pixels of the stored images.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from masquerade.data.mapping import packed, unpacked

IGNORED = 255  # semantic: neither right nor wrong
ARRAYS = ("first", "boxes", "labels", "crowd", "crop", "offset", "bits", "semantic")


class Objects(NamedTuple):
    """What is drawn around in one image.

    Attributes:
        boxes: Left, top, right and bottom edge; width = right - left. float32.
        labels: Index into the set's classes, from 0; there is no background among them.
        crowd: Neither a hit nor a miss: several objects in one (COCO), or difficult (VOC).
        masks: True on the object, on the whole canvas; they may overlap. None where only boxes
            were drawn.
    """

    boxes: Float[Tensor, "n 4"]
    labels: Int[Tensor, " n"]
    crowd: Bool[Tensor, " n"]
    masks: Bool[Tensor, "n H W"] | None


class Dense:
    """The objects of an image set, image by image.

    `first[i]` to `first[i + 1]` are the objects of stored image i, in the order of their
    annotation: what lies in front comes later where that is known.

    Attributes:
        shape: Height and width of the canvas.
        has_masks: Whether objects have masks and not only boxes.
        has_semantic: Whether the class of each pixel is known.
    """

    def __init__(
        self,
        arrays: dict[str, NDArray[Any]],
        shape: tuple[int, int],
        extent: NDArray[Any] | None,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        """Describes arrays that `drawing.Pile` has written.

        Args:
            arrays: By the names of `ARRAYS`; "semantic" only where it was drawn by hand.
            shape: Height and width of the canvas.
            extent: Height and width covered of all stored images; None where they cover all of it.
            rows: Which of the stored images belong to the set; all by default.
        """
        self.shape = shape
        self._arrays = {name: arrays[name] for name in ARRAYS if name in arrays}
        self._extent = extent
        self._rows = np.arange(len(arrays["first"]) - 1) if rows is None else rows
        self.has_masks = "bits" in self._arrays
        self.has_semantic = self.has_masks or "semantic" in self._arrays

    def __len__(self) -> int:
        return len(self._rows)

    def subset(self, rows: NDArray[np.int64]) -> "Dense":
        """Some of the images, in the order given."""
        return Dense(self._arrays, self.shape, self._extent, self._rows[rows])

    def objects(self, index: int) -> Objects:
        """What is drawn around in one image."""
        row = self._rows[index]
        some = slice(*(int(n) for n in self._arrays["first"][row : row + 2]))
        boxes, labels, crowd = (
            torch.from_numpy(np.array(self._arrays[name][some]))
            for name in ("boxes", "labels", "crowd")
        )
        if not self.has_masks:
            return Objects(boxes, labels, crowd, None)
        masks = [self._mask(k) for k in range(some.start, some.stop)]
        stacked = np.stack(masks) if masks else np.zeros((0, *self.shape), np.bool_)
        return Objects(boxes, labels, crowd, torch.from_numpy(stacked))

    def instances(self, rows: NDArray[np.int64]) -> UInt8[Tensor, "B H W"]:
        """0 on the background, k + 1 on object k; later objects lie over earlier ones.

        Raises:
            ValueError: There are no masks, or more objects than a byte can tell apart.
        """
        return torch.stack([self._painted(int(i), lambda k, *_: k + 1) for i in rows])

    def semantic(self, rows: NDArray[np.int64]) -> UInt8[Tensor, "B H W"]:
        """0 on the background, 1 + class on objects, 255 where nothing counts.

        As it was drawn by hand where there is such a map (VOC). Else painted from the masks;
        crowds are ignored, and so is what lies outside an image on its canvas.

        Raises:
            ValueError: There are no masks.
        """
        if "semantic" in self._arrays:
            return torch.from_numpy(np.array(self._arrays["semantic"][self._rows[rows]]))
        painted = [
            self._painted(int(i), lambda _, label, crowd: IGNORED if crowd else label + 1)
            for i in rows
        ]
        for i, image in zip(rows, painted, strict=True):
            if self._extent is not None:
                height, width = self._extent[self._rows[i]]
                image[height:], image[:, width:] = IGNORED, IGNORED
        return torch.stack(painted)

    def __getstate__(self) -> dict[str, Any]:
        """For another process: mapped arrays go as the places of their files."""
        return {**vars(self), "_arrays": {n: packed(a) for n, a in self._arrays.items()}}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        arrays = {name: unpacked(array) for name, array in kept["_arrays"].items()}
        vars(self).update({**kept, "_arrays": arrays})

    def _painted(self, index: int, value: Any) -> UInt8[Tensor, "H W"]:
        found = self.objects(index)
        if found.masks is None:
            raise ValueError("these images have boxes only; masks are needed")
        if len(found.labels) > IGNORED - 1:
            raise ValueError(f"an image has {len(found.labels)} objects; at most 254 can be told")
        canvas = torch.zeros(self.shape, dtype=torch.uint8)
        for k, mask in enumerate(found.masks):
            canvas[mask] = value(k, int(found.labels[k]), bool(found.crowd[k]))
        return canvas

    def _mask(self, k: int) -> NDArray[np.bool_]:
        top, left, height, width = self._arrays["crop"][k]
        start, stop = self._arrays["offset"][k : k + 2]
        bits = np.unpackbits(np.array(self._arrays["bits"][start:stop]), count=height * width)
        mask = np.zeros(self.shape, np.bool_)
        mask[top : top + height, left : left + width] = bits.reshape(height, width)
        return mask
