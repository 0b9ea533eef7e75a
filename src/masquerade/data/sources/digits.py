"""digits: 1,797 handwritten digits of 8 x 8 pixels, from scikit-learn; nothing to download."""

import numpy as np
import torch

from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.data.sources.base import SourceConfig
from masquerade.data.subsets import split as halves

TEST = 0.2  # of each class, drawn once and for all


class Config(SourceConfig):
    """Settings of digits: none."""

    def splits(self) -> tuple[str, ...]:
        """Train (about 1,437) and test (360), by class."""
        return ("train", "test")

    def load(self, split: str, size: int) -> ImageSet:
        """Reads them; 17 levels of grey are spread over 0 to 255. `size` is ignored."""
        from sklearn.datasets import load_digits  # slow to import

        self.known(split)
        bunch = load_digits()
        pixels = (bunch.images * (255 / 16)).round().astype(np.uint8)[..., None]
        label = bunch.target.astype(np.int64)
        whole = ImageSet(
            "digits",
            pixels,
            targets={"label": label},
            classes=tuple("0123456789"),
        )
        train, test = halves(torch.from_numpy(label), TEST, Seed(0))
        return whole.subset(train if split == "train" else test, f"digits {split}")
