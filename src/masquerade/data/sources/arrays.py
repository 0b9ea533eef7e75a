"""arrays: images in a NumPy file, .npy or .npz.

- .npy: [N, H, W] or [N, H, W, C], mapped from disk, without labels.
- .npz: `images` and perhaps `labels`; or `train_images`, `train_labels`, `val_images`, ... as
  MedMNIST has them.

uint8 and uint16 are kept as they are; floats in 0..1 and integers in 0..255 become uint8.
"""

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from masquerade.core.errors import WrongPath
from masquerade.data.images import ImageSet
from masquerade.data.prepare import part
from masquerade.data.sources.base import SourceConfig

PARTS = ("train", "val", "test")


class Config(SourceConfig):
    """Settings of a NumPy file.

    Attributes:
        path: The file.
        holdout: Share of each class held out as "test" where labels come without parts; 0 holds
            nothing out.
    """

    path: str
    holdout: float = Field(0.2, ge=0, le=0.9)

    def splits(self) -> tuple[str, ...]:
        """The parts of the file, or train and a held-out test where there are labels, or "all"."""
        file = self._open()
        parts = tuple(p for p in PARTS if f"{p}_images" in file)
        if parts:
            return parts
        return ("train", "test", "all") if "labels" in file and self.holdout else ("all",)

    def load(self, split: str, size: int) -> ImageSet:
        """Reads or maps the arrays; `size` is ignored."""
        self.known(split)
        file = self._open()
        prefix = f"{split}_" if f"{split}_images" in file else ""
        name = f"{Path(self.path).stem} {split}" if prefix else Path(self.path).stem
        pixels, note = as_pixels(file[f"{prefix}images"], self.path)
        images = ImageSet(name, pixels, notes=(note,) if note else ())
        if f"{prefix}labels" not in file:
            return images
        label = np.asarray(file[f"{prefix}labels"]).squeeze()
        if label.shape != (len(pixels),) or not np.issubdtype(label.dtype, np.integer):
            raise ValueError(
                f"{self.path}: {prefix}labels must be {len(pixels)} whole numbers, "
                f"got {label.dtype} {list(label.shape)}"
            )
        classes = tuple(str(i) for i in range(int(label.max(initial=-1)) + 1))
        images = images.labelled(label.astype(np.int64).clip(-1), classes)
        return (
            images
            if prefix or split == "all"
            else part(images, images.digests(), split, self.holdout)
        )

    def _open(self) -> dict[str, Any]:
        path = Path(self.path).expanduser()
        if not path.is_file():
            raise WrongPath(
                f"there is no file {self.path} (looked from {Path.cwd()}); or try data=toybox"
            )
        try:
            if path.suffix.lower() == ".npy":
                return {"images": np.load(path, mmap_mode="r", allow_pickle=False)}
            with np.load(path, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
        except (ValueError, OSError, EOFError, BadZipFile) as error:
            raise ValueError(f"{self.path} cannot be read as a NumPy file: {error}") from None
        if not any(key in arrays for key in ("images", *(f"{p}_images" for p in PARTS))):
            have = ", ".join(arrays) or "nothing"
            raise ValueError(f"{self.path} needs an array called images; it holds {have}")
        return arrays


def as_pixels(array: NDArray[Any], path: str) -> tuple[NDArray[Any], str]:
    """[N, H, W, C] as uint8 or uint16, and what was done to get there ("" for nothing)."""
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or not array.size:
        raise ValueError(
            f"{path}: images must be [N, H, W] or [N, H, W, C], got {list(array.shape)}"
        )
    if array.shape[1] in (1, 3, 4) and array.shape[3] > array.shape[1] and array.shape[3] > 4:
        raise ValueError(
            f"{path}: images of shape {list(array.shape)} look like [N, C, H, W]; "
            "save images.transpose(0, 2, 3, 1)"
        )
    if array.dtype in (np.uint8, np.uint16):
        return array, ""
    low, high = array.min(), array.max()
    if array.dtype == bool or (np.issubdtype(array.dtype, np.floating) and 0 <= low <= high <= 1):
        kind = "true is white" if array.dtype == bool else "1 is white"
        return (array * np.float64(255)).round().astype(np.uint8), f"{path}: {array.dtype}, {kind}."
    if np.issubdtype(array.dtype, np.integer) and 0 <= low <= high <= 255:
        return array.astype(np.uint8), f"{path}: {array.dtype} values taken as 8 bits."
    raise ValueError(
        f"{path}: images must be uint8 or uint16, floats in 0..1 or whole numbers in 0..255; "
        f"got {array.dtype} from {low} to {high}"
    )
