"""mnist: 60,000 + 10,000 handwritten digits, grey, 28 x 28.

LeCun, Cortes and Burges, "The MNIST database of handwritten digits", 1998. Read from its four idx
files, gzipped or not.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np

from masquerade.data.images import ImageSet
from masquerade.data.sources.base import Constants, SourceConfig, found
from masquerade.data.sources.fashion_mnist import idx

PLACES = (
    "mnist",
    "MNIST/raw",  # torchvision
    "MNIST",
    "/usr/share/datasets/mnist",
    "",  # last: Fashion-MNIST's files have the same names
)
ADVICE = (
    "Get the four *-ubyte.gz files, for example from "
    "https://ossci-datasets.s3.amazonaws.com/mnist/, into a folder called mnist."
)


class Config(SourceConfig):
    """Settings of MNIST.

    Attributes:
        root: A folder with one called mnist or (torchvision) MNIST/raw that holds the four files,
            or that folder itself.
    """

    places: ClassVar[tuple[str, ...]] = PLACES
    advice: ClassVar[str] = ADVICE
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")
    root: str = "data"

    def splits(self) -> tuple[str, ...]:
        """Train (60,000), test (10,000)."""
        return ("train", "test")

    def load(self, split: str, size: int) -> ImageSet:
        """Reads a split into memory; `size` is ignored."""
        self.known(split)
        head = "train" if split == "train" else "t10k"
        images = self._file(f"{head}-images-idx3-ubyte")
        labels = self._file(f"{head}-labels-idx1-ubyte")
        pixels, label = idx(images), idx(labels)
        if pixels.ndim != 3 or label.shape != pixels.shape[:1] or label.max(initial=0) > 9:
            raise ValueError(
                f"{images} and {labels} do not belong together: "
                f"{list(pixels.shape)} images, {list(label.shape)} labels"
            )
        return ImageSet(
            f"{self.kind} {split}",
            pixels[..., None],
            targets={"label": label.astype(np.int64)},
            classes=self.classes,
        )

    def normalise(self) -> Constants:
        """Mean and std of the training images, as commonly used."""
        return (0.1307,), (0.3081,)

    def _file(self, name: str) -> Path:
        root = Path(self.root).expanduser()
        for place in self.places:
            if (root / place / name).is_file():
                return root / place / name
        return found(self.root, self.places, f"{name}.gz", self.advice) / f"{name}.gz"
