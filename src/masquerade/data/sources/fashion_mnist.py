"""fashion_mnist: 60,000 + 10,000 real photographs of clothes, grey, 28 x 28.

Xiao et al., "Fashion-MNIST", 2017. https://arxiv.org/abs/1708.07747. Read from its four idx
files, gzipped or not.
"""

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masquerade.data.images import ImageSet
from masquerade.data.sources.base import Constants, SourceConfig, found

# fmt: off
CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
           "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
# fmt: on
PLACES = (
    "",
    "fashion-mnist",
    "fashion_mnist",
    "FashionMNIST/raw",  # torchvision
    "/usr/share/datasets/fashion-mnist",  # Debian
)
ADVICE = (
    "Debian and Ubuntu have it: apt install dataset-fashion-mnist. Elsewhere get the four "
    "*-ubyte.gz files from https://github.com/zalandoresearch/fashion-mnist."
)


class Config(SourceConfig):
    """Settings of Fashion-MNIST.

    Attributes:
        root: A folder with the four files, or with one called fashion-mnist or (torchvision)
            FashionMNIST/raw; Debian's place is tried last.
    """

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
        if pixels.ndim != 3 or label.shape != pixels.shape[:1]:
            raise ValueError(
                f"{images} and {labels} do not belong together: "
                f"{list(pixels.shape)} images, {list(label.shape)} labels"
            )
        return ImageSet(
            f"fashion_mnist {split}",
            pixels[..., None],
            targets={"label": label.astype(np.int64)},
            classes=CLASSES,
        )

    def normalise(self) -> Constants:
        """Mean and std of the training images, as commonly used."""
        return (0.2860,), (0.3530,)

    def _file(self, name: str) -> Path:
        root = Path(self.root).expanduser()
        for place in PLACES:
            if (root / place / name).is_file():
                return root / place / name
        return found(self.root, PLACES, f"{name}.gz", ADVICE) / f"{name}.gz"


def idx(path: Path) -> NDArray[Any]:
    """A file of bytes in idx format: two zero bytes, type 8, rank, sizes (big-endian), values."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged: {error}. Get it again") from None
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise ValueError(f"{path} is not an idx file of bytes: it begins with {data[:4]!r}")
    rank = data[3]
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", rank, 4))
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * rank)
    if len(values) != int(np.prod(shape)):
        raise ValueError(
            f"{path} is cut off: {len(values):,} values for {list(shape)}. Get it again"
        )
    return values.reshape(shape)
