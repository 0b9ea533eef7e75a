"""flowers102: 8,189 photographs of 102 kinds of flowers; 10 of each to train on.

Nilsback and Zisserman, "Automated flower classification over a large number of classes", 2008.
https://www.robots.ox.ac.uk/~vgg/data/flowers/102. Read from `jpg/image_00001.jpg`, ... and the
authors' two MATLAB files: imagelabels.mat (classes from 1) and setid.mat (who is in which split).
"""

from functools import cache
from importlib.resources import files as resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from masquerade.core.errors import MissingData
from masquerade.data.decode import Plan
from masquerade.data.images import ImageSet
from masquerade.data.prepare import decoded
from masquerade.data.sources.base import Constants, SourceConfig, found
from masquerade.data.stored import File

PLACES = ("flowers-102", "flowers102", "102flowers", "")
IDS = {"train": "trnid", "val": "valid", "test": "tstid"}
LABELS, SPLITS, NAMES = "imagelabels.mat", "setid.mat", "flowers102.txt"
ADVICE = (
    "Get 102flowers.tgz, imagelabels.mat and setid.mat from "
    "https://www.robots.ox.ac.uk/~vgg/data/flowers/102 and put them, unpacked, into one folder."
)


class Config(SourceConfig):
    """Settings of the flowers.

    Attributes:
        root: The folder that holds jpg and the two .mat files, or a folder flowers-102 with these,
            as torchvision leaves it.
        strict: Stop where a file cannot be used, instead of skipping it.
        store: Longest side in the cache, in pixels; 0 chooses twice the training size, at least
            96. Smaller images stay as they are.
    """

    root: str = "data"
    strict: bool = False
    store: int = Field(0, ge=0)

    def splits(self) -> tuple[str, ...]:
        """Train (1,020), val (1,020), test (6,149)."""
        return tuple(IDS)

    def load(self, split: str, size: int) -> ImageSet:
        """Decodes the split, or maps it from the cache."""
        self.known(split)
        folder = found(self.root, PLACES, SPLITS, ADVICE)
        known = found(str(folder), ("",), LABELS, ADVICE)
        numbers, label = column(folder / SPLITS, IDS[split]), column(known / LABELS, "labels")
        kinds = classes()
        if len(label) and not 1 <= label.min() <= label.max() <= len(kinds):
            raise ValueError(
                f"{known / LABELS} has class {label.min()} to {label.max()}; it must be 1 to 102"
            )
        if len(numbers) and not 1 <= numbers.min() <= numbers.max() <= len(label):
            raise ValueError(
                f"{folder / SPLITS} asks for image {numbers.max()}, but {LABELS} knows "
                f"{len(label)} images. Get both again"
            )
        files = [File(folder / "jpg" / f"image_{n:05d}.jpg", f"image_{n:05d}.jpg") for n in numbers]
        if missing := [file.name for file in files if not file.path.is_file()]:
            raise MissingData(
                f"{folder / 'jpg'} lacks {len(missing)} of the {len(files)} images of {split}, "
                f"{missing[0]} among them. {ADVICE}"
            )
        plan = Plan("rgb", self.store or max(96, 2 * size))
        made = decoded(f"flowers102 {split}", files, plan, self.strict)
        return made.images.labelled(label[numbers - 1][made.kept] - 1, kinds)

    def normalise(self) -> Constants:
        """Those of ImageNet, as everyone uses."""
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def column(path: Path, name: str) -> NDArray[np.int64]:
    """A row of numbers of a MATLAB file.

    Raises:
        ValueError: It is damaged, or has no such row.
    """
    from scipy.io import loadmat, matlab  # heavy

    try:
        content = loadmat(path)
        return np.asarray(content[name]).reshape(-1).astype(np.int64)
    except (KeyError, ValueError, TypeError, OSError, NotImplementedError) as error:
        text = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} has no row {name!r} of numbers ({text}). Get it again") from None
    except matlab.MatReadError as error:
        raise ValueError(f"{path} is not a MATLAB file: {error}. Get it again") from None


@cache
def classes() -> tuple[str, ...]:
    """Names of the 102 kinds; the authors' files have numbers only."""
    text = resources("masquerade.data.sources").joinpath(NAMES).read_text("ascii")
    return tuple(line for line in text.splitlines() if not line.startswith("#"))
