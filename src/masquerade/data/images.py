"""ImageSet: pixels as bytes in memory or on disk, with labels and masks where there are any.

The only data set type above the sources. A set is never changed: `subset` gives another one that
shares the pixels.
"""

import os
from collections.abc import Sequence, Sized
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt
from numpy.typing import NDArray
from torch import Tensor

from masquerade.data.dense import Dense
from masquerade.data.mapping import packed, unpacked
from masquerade.data.order import Pieces
from masquerade.data.streamed import Streamed

SAMPLE = 2000  # images that `statistics` looks at, at most

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
Rows = Sequence[int] | NDArray[Any] | Tensor


class ImageSet:
    """Images of one canvas size, and what is known about each.

    Attributes:
        name: What the user calls it, "toybox things10 train".
        extent: int32 [N, 2]: height and width really covered, from the top left corner; the rest
            of the canvas repeats the edge pixels. None where images cover all of it.
        targets: Columns of N rows. "label": int64, -1 = none. "mask": uint8 [N, H, W], exact
            (toybox: 1 = object, 2 = clutter). "group": int64; images of one group show the same
            thing and must not be torn apart by a split.
        dense: Boxes, masks and classes of the objects in each image; None where none are drawn.
        classes: Names of the labels, and of the classes of objects.
        files: A readable name per image ("cats/001.jpg").
        paths: Where each image's file lies; empty where images do not come from image files.
        notes: Sentences the user should read: what was skipped and why, what a split is.
        pieces: Which images are cheap to read together, where not all are; training draws by it.
    """

    def __init__(
        self,
        name: str,
        pixels: NDArray[Any] | Streamed,
        *,
        extent: NDArray[Any] | None = None,
        targets: dict[str, NDArray[Any]] | None = None,
        dense: Dense | None = None,
        classes: tuple[str, ...] = (),
        files: tuple[str, ...] = (),
        paths: tuple[Path, ...] = (),
        notes: tuple[str, ...] = (),
        pieces: Pieces | None = None,
        rows: NDArray[np.int64] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Describes pixels that are already there.

        Args:
            name: What the user calls it.
            pixels: [N, H, W, C], uint8 or uint16; usually a read-only memory map, or decoded as
                they are read.
            extent: See the class; indexed like the set, not like `pixels`, as all columns are.
            targets: See the class.
            dense: See the class.
            classes: See the class.
            files: See the class; "0", "1", ... where none are given.
            paths: See the class.
            notes: See the class.
            pieces: See the class.
            rows: Which images of `pixels` belong to the set, in order; all by default.
            folder: Where digests of all of `pixels` may be kept.
        """
        if pixels.ndim != 4 or pixels.dtype not in (np.uint8, np.uint16):
            raise ValueError(
                f"{name}: pixels must be uint8 or uint16 [N, H, W, C], "
                f"got {pixels.dtype} {list(pixels.shape)}"
            )
        count = len(pixels) if rows is None else len(rows)
        self.name = name
        self.extent = extent
        self.targets = targets or {}
        self.dense = dense
        self.classes = classes
        self.files = files or tuple(str(i) for i in range(count))
        self.paths = paths
        self.notes = notes
        self.pieces = pieces
        self._pixels = pixels
        self._rows = rows
        self._folder = folder
        self._statistics: Statistics | None = None
        columns: dict[str, Sized | None] = {
            "extent": extent,
            "files": self.files,
            "paths": paths or None,
            "dense": dense,
            **self.targets,
        }
        for column, values in columns.items():
            if values is not None and len(values) != count:
                raise ValueError(f"{name}: {column} has {len(values)} rows for {count} images")

    def __len__(self) -> int:
        return len(self._pixels) if self._rows is None else len(self._rows)

    def __repr__(self) -> str:
        height, width = self.shape
        return f"ImageSet({self.name!r}, {len(self)} images, {height} x {width} x {self.channels})"

    @property
    def pixels(self) -> NDArray[Any]:
        """[N, H, W, C]; for a subset, and where they are decoded as they are read, a copy."""
        if self._rows is None and not isinstance(self._pixels, Streamed):
            return self._pixels
        return self._pixels[self._stored(range(len(self)))]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the canvas."""
        return int(self._pixels.shape[1]), int(self._pixels.shape[2])

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour, more for what a scanner gives."""
        return int(self._pixels.shape[3])

    @property
    def labels(self) -> Int[Tensor, " N"] | None:
        """Class indices, -1 = none; None where no image has one."""
        found = self.targets.get("label")
        if found is None or not (found >= 0).any():
            return None
        return torch.from_numpy(np.array(found, np.int64))

    def read(self, indices: Rows) -> UInt[Tensor, "B C H W"]:
        """Images as a copy in memory; the channels are innermost there (`channels_last`)."""
        return torch.from_numpy(self._pixels[self._stored(indices)]).permute(0, 3, 1, 2)

    def extents(self, indices: Rows) -> Int[Tensor, "B 2"]:
        """Height and width really covered, the whole canvas where nothing else is known."""
        picked = where(indices, len(self))
        if self.extent is None:
            return torch.tensor(self.shape).expand(len(picked), 2).clone()
        return torch.from_numpy(self.extent[picked].astype(np.int64))

    def subset(self, indices: Rows, name: str | None = None) -> "ImageSet":
        """Some of the images, in the order given; pixels are shared, columns are copied."""
        picked = where(indices, len(self))
        return ImageSet(
            self.name if name is None else name,
            self._pixels,
            extent=None if self.extent is None else self.extent[picked],
            targets={column: values[picked] for column, values in self.targets.items()},
            dense=None if self.dense is None else self.dense.subset(picked),
            classes=self.classes,
            files=tuple(self.files[i] for i in picked),
            paths=tuple(self.paths[i] for i in picked) if self.paths else (),
            notes=self.notes,
            pieces=None if self.pieces is None else self.pieces.subset(picked),
            rows=self._stored(picked),
            folder=self._folder,
        )

    def noted(self, *sentences: str) -> "ImageSet":
        """The same set with more to say."""
        return self._but(notes=(*self.notes, *sentences))

    def labelled(self, label: NDArray[np.int64], classes: tuple[str, ...]) -> "ImageSet":
        """The same set with a class for each image, -1 = none."""
        return self._but(targets={**self.targets, "label": label}, classes=classes)

    def pieced(self, pieces: Pieces) -> "ImageSet":
        """The same set, to be drawn by pieces."""
        return self._but(pieces=pieces)

    def outlined(self, dense: Dense, classes: tuple[str, ...]) -> "ImageSet":
        """The same set with the objects in each image."""
        return self._but(dense=dense, classes=classes)

    def digests(self) -> list[str]:
        """A name for each image's content: blake2b-128 of its pixels inside the extent, as hex.

        Equal images have equal digests whatever set they are in and however large its canvas is.
        Kept beside the cached pixels once computed for a whole set.
        """
        if self._rows is not None:
            return [digest(self._covered(i)) for i in range(len(self))]
        kept = self._folder / "digests.txt" if self._folder else None
        if kept and kept.exists():
            lines = kept.read_text("ascii").split()
            if len(lines) == len(self):
                return lines
        lines = [digest(self._covered(i)) for i in range(len(self))]
        if kept and os.access(kept.parent, os.W_OK):
            half = kept.with_suffix(f".{os.getpid()}")
            half.write_text("\n".join(lines), "ascii")
            half.replace(kept)
        return lines

    def statistics(self) -> Statistics:
        """Mean and standard deviation of each channel, in units where white is 1.

        From at most 2,000 evenly spaced images, inside their extents. The deviation is at least
        one grey level (1/255), so that a constant channel can be divided by it.
        """
        if self._statistics:
            return self._statistics
        if not len(self):
            raise ValueError(f"{self.name} holds no images")
        white = np.iinfo(self._pixels.dtype).max
        picked = np.unique(
            np.linspace(0, len(self) - 1, min(SAMPLE, len(self))).round().astype(int)
        )
        count, total, squares = 0, np.zeros(self.channels), np.zeros(self.channels)
        for i in picked:
            values = self._covered(int(i)).reshape(-1, self.channels) / white
            count += len(values)
            total += values.sum(0)
            squares += (values**2).sum(0)
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0)).clip(1 / 255)
        self._statistics = tuple(mean.tolist()), tuple(std.tolist())
        return self._statistics

    def __getstate__(self) -> dict[str, Any]:
        """For another process: mapped pixels go as the place of their file."""
        return {**vars(self), "_pixels": packed(self._pixels)}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update({**kept, "_pixels": unpacked(kept["_pixels"])})

    def _but(self, **changes: Any) -> "ImageSet":
        kept = {
            "extent": self.extent,
            "targets": self.targets,
            "dense": self.dense,
            "classes": self.classes,
            "files": self.files,
            "paths": self.paths,
            "notes": self.notes,
            "pieces": self.pieces,
            "rows": self._rows,
            "folder": self._folder,
        }
        return ImageSet(self.name, self._pixels, **{**kept, **changes})

    def _stored(self, indices: Rows) -> NDArray[np.int64]:
        picked = where(indices, len(self))
        return picked if self._rows is None else self._rows[picked]

    def _covered(self, index: int) -> NDArray[Any]:
        row = index if self._rows is None else int(self._rows[index])
        if self.extent is None:
            whole: NDArray[Any] = self._pixels[row]
            return whole
        height, width = self.extent[index]
        covered: NDArray[Any] = self._pixels[row, :height, :width]
        return covered


def where(indices: Rows, length: int) -> NDArray[np.int64]:
    """Indices as an int64 array; a boolean array of the set's length picks where it is true."""
    picked = np.asarray(indices)
    if picked.dtype == bool and len(picked) == length:
        return np.flatnonzero(picked)
    picked = picked.astype(np.int64).reshape(-1)
    if len(picked) and (picked.min() < 0 or picked.max() >= length):
        raise IndexError(f"indices {picked.min()} to {picked.max()} for {length} images")
    return picked


def digest(image: NDArray[Any]) -> str:
    """blake2b-128 of an image's shape, type and pixels."""
    head = f"{image.dtype.str}{image.shape}".encode()
    return blake2b(head + image.tobytes(), digest_size=16).hexdigest()
