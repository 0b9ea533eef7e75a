"""tiny_imagenet: 100,000 + 10,000 photographs of 200 classes of ImageNet, 64 x 64.

Le and Yang, "Tiny ImageNet Visual Recognition Challenge", 2015, of Stanford's course CS231n.
Read from the archive as it unpacks: the training images lie in class folders, those of val in
one folder beside a file that names their classes. Its test images have no labels and are left out.
"""

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masquerade.core.errors import MissingData
from masquerade.data.decode import Plan
from masquerade.data.finding import Finding
from masquerade.data.images import ImageSet
from masquerade.data.listing import listed, shown
from masquerade.data.prepare import decoded
from masquerade.data.sources import imagenet
from masquerade.data.sources.base import Constants, SourceConfig, found
from masquerade.data.stored import File

PLACES = ("tiny-imagenet-200", "tiny_imagenet/tiny-imagenet-200", "tiny_imagenet", "")
ADVICE = "Get and unpack https://cs231n.stanford.edu/tiny-imagenet-200.zip (237 MB)."
ANNOTATIONS = "val_annotations.txt"
SIDE = 64


class Config(SourceConfig):
    """Settings of Tiny-ImageNet.

    Attributes:
        root: The folder that holds tiny-imagenet-200, as the archive unpacks.
        strict: Stop where a file cannot be used, instead of skipping it.
    """

    root: str = "data"
    strict: bool = False

    def splits(self) -> tuple[str, ...]:
        """Train (100,000), val (10,000)."""
        return ("train", "val")

    def load(self, split: str, size: int) -> ImageSet:
        """Decodes the split, or maps it from the cache; `size` is ignored."""
        self.known(split)
        folder = found(self.root, PLACES, "wnids.txt", ADVICE)
        wnids = tuple(sorted((folder / "wnids.txt").read_text("utf-8").split()))
        files, label, passed = (trained_on if split == "train" else validated)(folder, wnids)
        made = decoded(f"tiny_imagenet {split}", files, Plan("rgb", SIDE), self.strict, passed)
        return made.images.labelled(label[made.kept], named(folder, wnids))

    def normalise(self) -> Constants:
        """Mean and std of W-MSE's code, which MixMask's figures rest on."""
        return (0.480, 0.448, 0.398), (0.277, 0.269, 0.282)


Part = tuple[list[File], NDArray[np.int64], list[Finding]]  # files, their classes, the rest


def trained_on(folder: Path, wnids: tuple[str, ...]) -> Part:
    """The training images, from `train/n01443537/images/n01443537_0.JPEG`.

    Raises:
        MissingData: Folders of some classes are not there.
    """
    missing = [w for w in wnids if not (folder / "train" / w).is_dir()]
    if missing:
        some = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise MissingData(
            f"{folder / 'train'} lacks {len(missing)} of the {len(wnids)} classes of wnids.txt: "
            f"{some}. {ADVICE}"
        )
    return imagenet.inside(folder / "train", wnids)


def validated(folder: Path, wnids: tuple[str, ...]) -> Part:
    """The images of val, from `val/images/val_0.JPEG`, with their classes.

    Raises:
        MissingData: The file with their classes is not there, or says nothing of some of them.
    """
    notes = folder / "val" / ANNOTATIONS
    if not notes.is_file():
        raise MissingData(f"no {notes}, which tells the classes of the images in val. {ADVICE}")
    rows = (line.split("\t") for line in notes.read_text("utf-8").splitlines() if line)
    told = {row[0]: row[1] for row in rows if len(row) > 1}
    there = listed(folder / "val" / "images")
    number = {wnid: i for i, wnid in enumerate(wnids)}
    silent = [f for f in there.files if told.get(f) not in number]
    if silent:
        raise MissingData(
            f"{notes} tells no class of wnids.txt for {len(silent)} of {len(there.files)} images, "
            f"{shown(silent[0])} among them. {ADVICE}"
        )
    files = [File(there.root / f, shown(f)) for f in there.files]
    label = np.array([number[told[f]] for f in there.files], np.int64)
    return files, label, list(there.findings)


def named(folder: Path, wnids: tuple[str, ...]) -> tuple[str, ...]:
    """The first word of each class in words.txt, with its number where two classes share it."""
    lines = (found(str(folder), ("",), "words.txt", ADVICE) / "words.txt").read_text("utf-8")
    parts = (line.partition("\t") for line in lines.splitlines())
    known = {wnid: words.partition(",")[0] for wnid, _, words in parts}
    first = [known.get(w, w) for w in wnids]
    count = Counter(first)
    return tuple(w if count[w] == 1 else f"{w} ({n})" for w, n in zip(first, wnids, strict=True))
