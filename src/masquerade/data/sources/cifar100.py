"""cifar100: 50,000 + 10,000 photographs of 100 classes, 32 x 32.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
https://www.cs.toronto.edu/~kriz/cifar.html. Read from the "python version".
"""

from typing import Literal

from masquerade.data import unpickle
from masquerade.data.images import ImageSet
from masquerade.data.sources.base import Constants, SourceConfig, found

PLACES = ("cifar-100-python", "cifar100/cifar-100-python", "cifar100", "")
ADVICE = "Get and unpack https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz."


class Config(SourceConfig):
    """Settings of CIFAR-100.

    Attributes:
        root: The folder that holds cifar-100-python, as torchvision leaves it.
        labels: "fine" (100 classes) or "coarse" (20 superclasses).
    """

    root: str = "data"
    labels: Literal["fine", "coarse"] = "fine"

    def splits(self) -> tuple[str, ...]:
        """Train (50,000), test (10,000)."""
        return ("train", "test")

    def load(self, split: str, size: int) -> ImageSet:
        """Reads a split into memory; `size` is ignored."""
        self.known(split)
        folder = found(self.root, PLACES, split, ADVICE)
        pixels, label, files = unpickle.images(folder / split, f"{self.labels}_labels")
        meta = unpickle.table(found(self.root, PLACES, "meta", ADVICE) / "meta")
        return ImageSet(
            f"cifar100 {split}",
            pixels,
            targets={"label": label},
            classes=tuple(meta[f"{self.labels}_label_names"]),
            files=tuple(files),
        )

    def normalise(self) -> Constants:
        """Mean and std as commonly used."""
        return (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
