"""voc: Pascal VOC 2007 and 2012, photographs with boxes and masks of 20 classes.

Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", 2010.
http://host.robots.ox.ac.uk/pascal/VOC. Read from VOCdevkit as the archives unpack. `train_aug` is
the 10,582 images of Hariharan et al., "Semantic contours from inverse detectors", 2011, in the
usual form: a list train_aug.txt and a folder SegmentationClassAug.
"""

from hashlib import blake2b
from pathlib import Path
from typing import Literal, NamedTuple
from xml.etree import ElementTree

import numpy as np
from pydantic import Field

from masquerade.core.errors import MissingData
from masquerade.data.decode import Plan
from masquerade.data.drawing import IGNORED, Drawing, edge
from masquerade.data.images import ImageSet
from masquerade.data.indexed import indexed
from masquerade.data.outlined import outlined
from masquerade.data.prepare import decoded
from masquerade.data.sources.base import Constants, SourceConfig
from masquerade.data.stored import File

PLACES = ("VOCdevkit", "voc/VOCdevkit", "VOC", "voc", "")
SPLITS = ("train", "train_aug", "trainval", "val", "test")
LISTS = {"train_aug": ("train_aug.txt", "trainaug.txt")}
AUGMENTED = "SegmentationClassAug"
NAMES = "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike"
CLASSES = (*NAMES.split(), "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor")
ADVICE = (
    "Get VOCtrainval_11-May-2012.tar, VOCtrainval_06-Nov-2007.tar and VOCtest_06-Nov-2007.tar "
    "from http://host.robots.ox.ac.uk/pascal/VOC and unpack them in one folder: "
    "VOCdevkit/VOC2012/JPEGImages, Annotations, SegmentationClass, ImageSets, ..."
)


class Config(SourceConfig):
    """Settings of Pascal VOC.

    Splits: those of train, train_aug, trainval, val and test whose lists lie there.

    Attributes:
        root: The folder that holds VOCdevkit, or VOCdevkit itself.
        year: "2012", "2007", or "2007+2012": both years' images of a split, where it is there.
        task: "segmentation" reads the images with masks, "detection" all images, with boxes only.
        strict: Stop where a file cannot be used, instead of skipping it.
        store: Longest side in the cache, in pixels; 0 chooses twice the training size, at least
            96. Smaller images stay as they are; 500 keeps all as they are.
    """

    root: str = "data"
    year: Literal["2007", "2012", "2007+2012"] = "2012"
    task: Literal["segmentation", "detection"] = "segmentation"
    strict: bool = False
    store: int = Field(0, ge=0)

    def splits(self) -> tuple[str, ...]:
        """The splits whose lists lie there."""
        found = tuple(s for s in SPLITS if self._has(s))
        if not found:
            kit = self._kit()
            where = ", ".join(str(kit / y / self._lists()) for y in self._years())
            raise MissingData(f"no list of images (train.txt, val.txt, ...) in {where}. {ADVICE}")
        return found

    def load(self, split: str, size: int) -> ImageSet:
        """Decodes the split and what is drawn in it, or maps both from the cache."""
        self.known(split)
        entries = [e for year in self._years() for e in self._entries(year, split)]
        plan = Plan("rgb", self.store or max(96, 2 * size))
        files = [File(e.image, f"{e.image.parents[1].name}/{e.image.name}") for e in entries]
        name = f"voc {self.year} {split}"
        made = decoded(name, files, plan, self.strict)
        content = [self.task, *(entries[i].digest() for i in made.kept)]
        return outlined(made, plan, CLASSES, content, lambda i: entries[i].drawing())

    def normalise(self) -> Constants:
        """Those of ImageNet, as everyone uses."""
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def _has(self, split: str) -> bool:
        """Whether there is such a split: in all years, except that 2012's test was never shown."""
        lists = [self._list(year, split) is not None for year in self._years()]
        return any(lists) if split == "test" else all(lists)

    def _years(self) -> list[str]:
        return [f"VOC{year}" for year in self.year.split("+")]

    def _lists(self) -> str:
        return "ImageSets/Segmentation" if self.task == "segmentation" else "ImageSets/Main"

    def _kit(self) -> Path:
        places = [Path(self.root).expanduser() / place for place in PLACES]
        for place in places:
            if all((place / year / "JPEGImages").is_dir() for year in self._years()):
                return place
        both = " and ".join(self._years())
        looked = ", ".join(str(p / both) for p in places)
        raise MissingData(
            f"no JPEGImages in any of {looked}. {ADVICE} Then put it there, or say where it is "
            "with data.root=FOLDER; or try data=scenes, which needs no download"
        )

    def _list(self, year: str, split: str) -> Path | None:
        folder = self._kit() / year / self._lists()
        names = LISTS.get(split, (f"{split}.txt",))
        return next((folder / name for name in names if (folder / name).is_file()), None)

    def _entries(self, year: str, split: str) -> "list[Entry]":
        listed = self._list(year, split)
        if listed is None:
            return []
        base = self._kit() / year
        keys = [line.split()[0] for line in listed.read_text("utf-8").splitlines() if line.strip()]
        maps = None
        if self.task == "segmentation":
            maps = base / (AUGMENTED if split == "train_aug" else "SegmentationClass")
        entries = [Entry(base, key, maps) for key in keys]
        wanted = [path for e in entries for path in (e.image, *e.drawn) if not path.is_file()]
        if wanted:
            raise MissingData(
                f"{len(wanted)} files that {listed} asks for are not there, {wanted[0]} among "
                f"them. {ADVICE}"
            )
        return entries


class Entry(NamedTuple):
    """One image of a list.

    Attributes:
        base: The folder of its year.
        key: Its name, "2007_000032".
        maps: The folder of its semantic map; None where only boxes are read.
    """

    base: Path
    key: str
    maps: Path | None

    @property
    def image(self) -> Path:
        """The photograph."""
        return self.base / "JPEGImages" / f"{self.key}.jpg"

    @property
    def drawn(self) -> tuple[Path, ...]:
        """The files that say what is in it."""
        if self.maps is None:
            return (self.base / "Annotations" / f"{self.key}.xml",)
        objects = (self.base / "SegmentationObject",) if self.maps.name != AUGMENTED else ()
        return tuple(folder / f"{self.key}.png" for folder in (self.maps, *objects))

    def digest(self) -> str:
        """Of the files that say what is in it."""
        found = blake2b(digest_size=16)
        for path in self.drawn:
            found.update(path.read_bytes())
        return found.hexdigest()

    def drawing(self) -> Drawing:
        """Masks of a segmented image, or boxes of any."""
        return boxes(self.drawn[0]) if self.maps is None else masks(self.key, self.drawn)


def boxes(path: Path) -> Drawing:
    """The objects of an annotation; in the file pixels count from 1, and the last is included.

    Raises:
        ValueError: It is no annotation of VOC.
    """
    try:
        tree = ElementTree.parse(path)  # expands no outside entities
        size, things = tree.find("size"), tree.findall("object")
        if size is None:
            raise ValueError("it does not say the image's size")
        height, width = (int(size.findtext(name, "")) for name in ("height", "width"))
        sides = ("xmin", "ymin", "xmax", "ymax")
        edges = [[float(t.findtext(f"bndbox/{s}", "")) for s in sides] for t in things]
        hard = [int(t.findtext("difficult", "0")) for t in things]
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"{path} is not an annotation of Pascal VOC: {error}") from None
    names = [t.findtext("name", "") for t in things]
    if wrong := sorted(set(names) - set(CLASSES)):
        raise ValueError(f"{path} names {wrong[0]!r}, which is none of the classes of Pascal VOC")
    return Drawing(
        path.stem,
        (height, width),
        np.array(edges, np.float32).reshape(-1, 4) - np.array([1, 1, 0, 0], np.float32),
        np.array([CLASSES.index(n) for n in names], np.int64),
        np.array(hard, np.bool_),
        None,
    )


def masks(key: str, files: tuple[Path, ...]) -> Drawing:
    """The map of classes and, where there is one, of objects; an object's class is the map's.

    Raises:
        ValueError: The two maps do not belong together.
    """
    classes = indexed(files[0])
    shape = classes.shape[0], classes.shape[1]
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_)
    if len(files) == 1:
        return Drawing(key, shape, *nothing, None, classes)
    numbers = indexed(files[1])
    if numbers.shape != shape:
        raise ValueError(
            f"{files[1]} is {numbers.shape[1]} x {numbers.shape[0]}, but {files[0]} "
            f"is {shape[1]} x {shape[0]}"
        )
    there = [n for n in np.unique(numbers) if n not in (0, IGNORED)]
    found = numbers == np.reshape(there, (-1, 1, 1)) if there else np.zeros((0, *shape), np.bool_)
    counts = [np.bincount(classes[mask], minlength=IGNORED + 1) for mask in found]
    labels = [int(count[1:IGNORED].argmax()) for count in counts]
    if silent := [n for n, count in zip(there, counts, strict=True) if not count[1:IGNORED].any()]:
        raise ValueError(f"{files[0]} gives no class to object {silent[0]} of {files[1]}")
    edges = np.array([edge(mask) for mask in found], np.float32).reshape(-1, 4)
    return Drawing(
        key,
        shape,
        edges,
        np.array(labels, np.int64),
        np.zeros(len(there), np.bool_),
        found,
        classes,
    )
