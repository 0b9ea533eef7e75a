"""How the files of a folder are meant: parts, classes, and what is held out."""

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masquerade.core.errors import MissingData
from masquerade.data.finding import Finding
from masquerade.data.listing import listed

PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
ORDER = ("train", "val", "test")


class Arranged(NamedTuple):
    """A folder, understood.

    Attributes:
        root: The folder.
        files: All images, relative.
        parts: Images of train, val and test, where such folders hold all images; else empty.
        label: Class of each file, an index into `classes`; empty without labels.
        classes: Names of the class folders.
        findings: What was passed by.
    """

    root: Path
    files: tuple[str, ...]
    parts: dict[str, tuple[str, ...]]
    label: dict[str, int]
    classes: tuple[str, ...]
    findings: tuple[Finding, ...]


def arranged(root: Path, labels: bool) -> Arranged:
    """Reads a folder's arrangement off its paths.

    Parts: every image lies below a first-level train, val or test folder, and one is "train".
    Classes: within each part (or the folder, without parts) every image lies in a first-level
    folder, there are two or more, and one of them holds several images. Parts that have no class
    folders of their own (an unlabelled test) leave the labels of the others alone.

    Raises:
        MissingData: There is no image.
    """
    found = listed(root)
    if not found.files:
        seen = f" ({len(found.findings)} other files)" if found.findings else ""
        raise MissingData(f"there is no image below {root}{seen}; masquerade doctor says more")
    parts: dict[str, list[str]] = {}
    for file in found.files:
        first, below, _ = file.partition("/")
        parts.setdefault(PARTS.get(first.lower(), "") if below else "", []).append(file)
    if "" in parts or "train" not in parts or len(parts) < 2:
        parts = {}
    deep = 1 if parts else 0
    groups = list(parts.values()) if parts else [list(found.files)]
    classed = [g for g in groups if labels and has_classes(g, deep)]
    names = sorted({f.split("/")[deep] for g in classed for f in g})
    number = {name: i for i, name in enumerate(names)}
    return Arranged(
        root,
        found.files,
        {p: tuple(parts[p]) for p in ORDER if p in parts},
        {f: number[f.split("/")[deep]] for g in classed for f in g},
        tuple(names),
        found.findings,
    )


def has_classes(files: Sequence[str], deep: int) -> bool:
    """Whether the folders at a depth are classes."""
    if any(f.count("/") <= deep for f in files):
        return False
    sizes = Counter(f.split("/")[deep] for f in files)
    return len(sizes) > 1 and max(sizes.values()) > 1


def held_out(label: NDArray[np.int64], contents: Sequence[str], ratio: float) -> NDArray[np.bool_]:
    """Which images a folder without a test part keeps for evaluation.

    Of each class's different files, ordered by a hash of their content, the first `ratio` (at
    least one, never all). Copies of a file held out are held out, whatever their class.

    Args:
        label: Class of each image, -1 = none (never held out for itself).
        contents: Digest of each file's bytes.
        ratio: Share of each class.
    """
    chosen: set[str] = set()
    for name in np.unique(label[label >= 0]):
        different = {c for c, own in zip(contents, label == name, strict=True) if own}
        ranked = sorted(different, key=lambda c: blake2b(c.encode(), person=b"held out").digest())
        chosen.update(ranked[: min(len(ranked) - 1, max(1, round(ratio * len(ranked))))])
    return np.array([c in chosen for c in contents], bool)
