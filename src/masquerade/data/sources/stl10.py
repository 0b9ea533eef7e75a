"""stl10: 5,000 + 8,000 photographs of 10 classes and 100,000 without labels, 96 x 96.

Coates et al., "An analysis of single-layer networks in unsupervised feature learning", 2011.
https://cs.stanford.edu/~acoates/stl10. Read from the binary version.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masquerade.data import cache, progress
from masquerade.data.develop import stamp
from masquerade.data.images import ImageSet
from masquerade.data.sources.base import Constants, SourceConfig, found

PLACES = ("stl10_binary", "stl10/stl10_binary", "stl10", "")
ADVICE = "Get and unpack https://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz."
# fmt: off
CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
# fmt: on
SIDE = 96
CHUNK = 500  # images copied at a time


class Config(SourceConfig):
    """Settings of STL-10.

    Attributes:
        root: The folder that holds stl10_binary, as torchvision leaves it.
    """

    root: str = "data"

    def splits(self) -> tuple[str, ...]:
        """train+unlabeled (105,000; labels -1 but for the first 5,000), train, test, unlabeled."""
        return ("train+unlabeled", "train", "test", "unlabeled")

    def load(self, split: str, size: int) -> ImageSet:
        """Maps a split from the cache, where its bytes are brought into order once."""
        self.known(split)
        parts = split.split("+")
        files = [self._file(f"{part}_X.bin") for part in parts]
        content = cache.key("stl10", [(str(f.resolve()), stamp(f)) for f in files])
        name = f"stl10 {split}"
        made = cache.prepared(name, content, lambda b: fill(b, files))
        labels = [self._labels(part, f) for part, f in zip(parts, files, strict=True)]
        return ImageSet(
            name,
            made.arrays["pixels"],
            targets={"label": np.concatenate(labels)},
            classes=CLASSES,
            files=tuple(
                f"{part}/{i}"
                for part, file in zip(parts, files, strict=True)
                for i in range(counted(file))
            ),
            folder=made.folder,
        )

    def normalise(self) -> Constants:
        """Mean and std that solo-learn and ADIOS use."""
        return (0.4914, 0.4823, 0.4466), (0.2470, 0.2435, 0.2616)

    def _labels(self, part: str, images: Path) -> NDArray[np.int64]:
        count = counted(images)
        if part == "unlabeled":
            return np.full(count, -1, np.int64)
        path = self._file(f"{part}_y.bin")
        label = np.fromfile(path, np.uint8).astype(np.int64) - 1  # in the file they start at 1
        if len(label) != count:
            raise ValueError(f"{path} has {len(label)} labels for {count} images. Get it again")
        return label

    def _file(self, name: str) -> Path:
        return found(self.root, PLACES, name, ADVICE) / name


def counted(path: Path) -> int:
    """Images in a file; raises `ValueError` if it is cut off."""
    count, rest = divmod(path.stat().st_size, 3 * SIDE * SIDE)
    if rest or not count:
        raise ValueError(f"{path} is cut off: {path.stat().st_size:,} bytes. Get it again")
    return count


def fill(builder: cache.Builder, files: list[Path]) -> None:
    """Copies files into one array: on disk each channel lies column by column."""
    counts = [counted(f) for f in files]
    pixels = builder.array("pixels", "uint8", (sum(counts), SIDE, SIDE, 3))
    row, what = 0, f"reading {sum(counts):,} images of {builder.name}"
    with progress.shown(what, sum(counts)) as advance:
        for path, count in zip(files, counts, strict=True):
            planes = np.memmap(path, np.uint8, "r", shape=(count, 3, SIDE, SIDE))
            for start in range(0, count, CHUNK):
                part = planes[start : start + CHUNK].transpose(0, 3, 2, 1)
                pixels[row : row + len(part)] = part
                row += len(part)
                advance(len(part))
