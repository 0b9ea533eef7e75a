"""cifar10: 50,000 + 10,000 photographs of 10 classes, 32 x 32.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
https://www.cs.toronto.edu/~kriz/cifar.html. Read from the "python version".
"""

import numpy as np

from masquerade.data import unpickle
from masquerade.data.images import ImageSet
from masquerade.data.sources.base import Constants, SourceConfig, found

PLACES = ("cifar-10-batches-py", "cifar10/cifar-10-batches-py", "cifar10", "")
TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
ADVICE = "Get and unpack https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz."


class Config(SourceConfig):
    """Settings of CIFAR-10.

    Attributes:
        root: The folder that holds cifar-10-batches-py, as torchvision leaves it.
    """

    root: str = "data"

    def splits(self) -> tuple[str, ...]:
        """Train (50,000), test (10,000)."""
        return ("train", "test")

    def load(self, split: str, size: int) -> ImageSet:
        """Reads a split into memory; `size` is ignored."""
        self.known(split)
        folder = found(self.root, PLACES, "batches.meta", ADVICE)
        names = TRAIN if split == "train" else ("test_batch",)
        batches = [
            unpickle.images(found(self.root, PLACES, name, ADVICE) / name, "labels")
            for name in names
        ]
        return ImageSet(
            f"cifar10 {split}",
            np.concatenate([pixels for pixels, _, _ in batches]),
            targets={"label": np.concatenate([label for _, label, _ in batches])},
            classes=tuple(unpickle.table(folder / "batches.meta")["label_names"]),
            files=tuple(f for _, _, files in batches for f in files),
        )

    def normalise(self) -> Constants:
        """Mean and std that the papers of masked contrast use."""
        return (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
