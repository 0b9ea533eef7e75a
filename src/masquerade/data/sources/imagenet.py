"""imagenet: ILSVRC 2012, 1.28 million photographs of 1,000 classes, from one folder per class.

Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", 2015.
https://arxiv.org/abs/1409.0575. Read from `train/n01440764/*.JPEG` and `val/n01440764/*.JPEG`, as
most code expects them; the validation archive itself is flat and has to be sorted once.

`listed` takes a list of training images, such as SimCLR's of 1 % and 10 %: 1percent.txt and
10percent.txt of https://github.com/google-research/simclr, imagenet_subsets.
"""

import re
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from masquerade.core.errors import MissingData, WrongPath
from masquerade.data.decode import Plan
from masquerade.data.finding import Finding
from masquerade.data.images import ImageSet
from masquerade.data.listing import listed, shown
from masquerade.data.prepare import decoded
from masquerade.data.sources.base import Constants, SourceConfig
from masquerade.data.stored import File

PLACES = ("imagenet", "ILSVRC2012", "ILSVRC/Data/CLS-LOC", "")
SPLITS = ("train", "val")
WNID = re.compile(r"n\d{8}")
ADVICE = (
    "Get ILSVRC 2012 from https://image-net.org/download (after registration) and unpack it to "
    "one folder per class: train/n01440764/*.JPEG, val/n01440764/*.JPEG. Then put it there, or "
    "say where it is with data.root=FOLDER; or try data=toybox, which needs no download"
)
SORT = (
    "Sort them by class once: with the archive and ILSVRC2012_devkit_t12.tar.gz in one folder, "
    "torchvision.datasets.ImageNet(folder, 'val') does it"
)


class Config(SourceConfig):
    """Settings of ImageNet.

    Attributes:
        root: The folder that holds it: train and val, or a folder imagenet with these.
        listed: A text file that names the training images to read, one a line, as
            n01440764_10026.JPEG or n01440764/n01440764_10026.JPEG; "" reads all.
        strict: Stop where a file cannot be used, instead of skipping it.
        store: Longest side in the cache, in pixels; 0 chooses twice the training size, at least
            96. Smaller images stay as they are. 1.28 million images take 3.8 MB for each pixel
            of the side times the side (at 256: 252 GB).
    """

    root: str = "data"
    listed: str = ""
    strict: bool = False
    store: int = Field(0, ge=0)

    def splits(self) -> tuple[str, ...]:
        """train, val."""
        return SPLITS

    def load(self, split: str, size: int) -> ImageSet:
        """Decodes the split, or maps it from the cache."""
        self.known(split)
        folder = place(self.root, self.places(), split)
        wnids = self.wnids(folder)
        files, label, passed = inside(folder, wnids)
        name = f"{self.kind} {split}"
        if self.listed and split == "train":
            rows = chosen(Path(self.listed).expanduser(), files, wnids)
            files, label = [files[i] for i in rows], label[rows]
            name = f"{name} {Path(self.listed).stem}"
        plan = Plan("rgb", self.store or max(96, 2 * size))
        made = decoded(name, files, plan, self.strict, passed)
        return made.images.labelled(label[made.kept], named(wnids))

    def normalise(self) -> Constants:
        """The mean and std that nearly everyone uses."""
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def places(self) -> tuple[str, ...]:
        """Folders below the root in which train and val are looked for, in order."""
        return PLACES

    def wnids(self, folder: Path) -> tuple[str, ...]:
        """The classes to read of a split's folder, sorted; labels count along them."""
        return classes(folder)


def place(root: str, names: tuple[str, ...], split: str) -> Path:
    """The folder of a split.

    Raises:
        MissingData: There is none, or the images in it are not sorted by class.
    """
    places = [Path(root).expanduser() / name / split for name in names]
    for folder in places:
        if classes(folder):
            return folder
    for folder in places:
        if folder.is_dir() and any(folder.glob("ILSVRC2012_val_*")):
            raise MissingData(f"the images in {folder} lie in no class folders. {SORT}")
    looked = ", ".join(str(p) for p in places)
    raise MissingData(f"no class folders such as n01440764 in any of {looked}. {ADVICE}")


def classes(folder: Path) -> tuple[str, ...]:
    """The class folders in a folder, sorted; () where there are none."""
    if not folder.is_dir():
        return ()
    found = (p.name for p in folder.iterdir() if WNID.fullmatch(p.name))
    return tuple(sorted(found))


def inside(
    folder: Path, wnids: tuple[str, ...]
) -> tuple[list[File], NDArray[np.int64], list[Finding]]:
    """The files of some class folders, the class of each as a number, and what was passed by."""
    files: list[File] = []
    label: list[int] = []
    passed: list[Finding] = []
    for number, wnid in enumerate(wnids):
        found = listed(folder / wnid)
        files += [File(found.root / f, shown(f"{wnid}/{f}")) for f in found.files]
        label += [number] * len(found.files)
        passed += [f._replace(file=f"{wnid}/{f.file}") for f in found.findings]
    return files, np.array(label, np.int64), passed


def chosen(path: Path, files: list[File], wnids: tuple[str, ...]) -> NDArray[np.int64]:
    """Which files a list names, in the order of the files; its images of other classes are left.

    Raises:
        WrongPath: There is no list.
        ValueError: It names nothing, or nothing that looks like an image of ImageNet.
        MissingData: Images that it names are not there.
    """
    if not path.is_file():
        raise WrongPath(
            f"there is no list {path} (looked from {Path.cwd()}). SimCLR's are 1percent.txt and "
            "10percent.txt in imagenet_subsets of https://github.com/google-research/simclr"
        )
    named = {Path(line.strip()).name for line in path.read_text("utf-8").splitlines()} - {""}
    wrong = sorted(name for name in named if not WNID.match(name))
    if wrong or not named:
        text = f"{wrong[0]!r}, which is none" if wrong else "nothing"
        raise ValueError(f"{path} must name images such as n01440764_10026.JPEG; it names {text}")
    wanted = {name for name in named if name[:9] in wnids}
    rows = [i for i, file in enumerate(files) if file.path.name in wanted]
    if missing := wanted - {files[i].path.name for i in rows}:
        raise MissingData(
            f"{len(missing)} of the {len(wanted)} images that {path} names are not there, "
            f"{min(missing)} among them. {ADVICE}"
        )
    return np.array(rows, np.int64)


def named(wnids: tuple[str, ...]) -> tuple[str, ...]:
    """The first English word of each class; with its number where two classes share it."""
    from timm.data import ImageNetInfo  # heavy: all of timm

    known = ImageNetInfo()
    thousand = set(known.label_names())
    words = [
        known.label_name_to_description(w).partition(",")[0] if w in thousand else w for w in wnids
    ]
    count = Counter(words)
    return tuple(w if count[w] == 1 else f"{w} ({n})" for w, n in zip(words, wnids, strict=True))
