"""coco: COCO 2017, 118,000 + 5,000 photographs with boxes and masks of objects of 80 classes.

Lin et al., "Microsoft COCO: Common Objects in Context", 2014. https://arxiv.org/abs/1405.0312.
Read from `train2017/*.jpg`, `val2017/*.jpg` and `annotations/instances_*.json`. Outlines become
masks by pycocotools, as in the official evaluation. Any set in these places and this format is
read: the classes are those of its file, in the order of their numbers.
"""

import json
import warnings
from collections import defaultdict
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from masquerade.core.errors import MissingData
from masquerade.data.decode import Plan
from masquerade.data.drawing import Drawing
from masquerade.data.images import ImageSet
from masquerade.data.listing import shown
from masquerade.data.outlined import outlined
from masquerade.data.prepare import decoded
from masquerade.data.sources.base import Constants, SourceConfig, found
from masquerade.data.stored import File

PLACES = ("coco", "COCO", "coco2017", "")
ADVICE = (
    "Get train2017.zip, val2017.zip and annotations_trainval2017.zip from "
    "https://cocodataset.org/#download and unpack them into one folder."
)

Json = dict[str, Any]


class Annotated(NamedTuple):
    """An instances file, understood.

    Attributes:
        path: The file.
        images: As it lists them: id, file_name, height, width.
        drawn: Annotations of each image, by its id.
        number: Class of each category id, from 0.
        classes: Names of the classes.
        outlines: Whether objects have outlines and not only boxes.
    """

    path: Path
    images: list[Json]
    drawn: dict[int, list[Json]]
    number: dict[int, int]
    classes: tuple[str, ...]
    outlines: bool


class Config(SourceConfig):
    """Settings of COCO.

    Attributes:
        root: The folder that holds train2017, val2017 and annotations, or a folder coco with
            these.
        strict: Stop where a file cannot be used, instead of skipping it.
        store: Longest side in the cache, in pixels; 0 chooses twice the training size, at least
            96. Smaller images stay as they are; 640 keeps all as they are (145 GB for train).
    """

    root: str = "data"
    strict: bool = False
    store: int = Field(0, ge=0)

    def splits(self) -> tuple[str, ...]:
        """Train (118,287), val (5,000)."""
        return ("train", "val")

    def load(self, split: str, size: int) -> ImageSet:
        """Decodes the split and its outlines, or maps both from the cache."""
        self.known(split)
        notes = Path("annotations") / f"instances_{split}2017.json"
        folder = found(self.root, PLACES, str(notes), ADVICE)
        if not (folder / f"{split}2017").is_dir():
            raise MissingData(f"no folder {folder / f'{split}2017'} with the images. {ADVICE}")
        told = understood(folder / notes)
        plan = Plan("rgb", self.store or max(96, 2 * size))
        names = [str(image["file_name"]) for image in told.images]
        files = [File(folder / f"{split}2017" / name, shown(name)) for name in names]
        made = decoded(f"coco {split}", files, plan, self.strict)
        content = [blake2b((folder / notes).read_bytes(), digest_size=16).hexdigest()]
        return outlined(made, plan, told.classes, content, lambda i: drawing(told, i))

    def normalise(self) -> Constants:
        """Those of ImageNet, as everyone uses."""
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def understood(path: Path) -> Annotated:
    """Reads an instances file.

    Raises:
        ValueError: It is none, or it speaks of images or categories that it does not list.
    """
    try:
        content = json.loads(path.read_bytes())
        kinds = sorted(content["categories"], key=lambda kind: int(kind["id"]))
        images, notes = list(content["images"]), list(content["annotations"])
        known = {int(image["id"]) for image in images}
        drawn: dict[int, list[Json]] = defaultdict(list)
        for note in notes:
            drawn[int(note["image_id"])].append(note)
        categories = {int(note["category_id"]) for note in notes}
        classes = tuple(str(kind["name"]) for kind in kinds)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not an instances file of COCO ({type(error).__name__}: {error}); it needs "
            "images, annotations and categories"
        ) from None
    number = {int(kind["id"]): i for i, kind in enumerate(kinds)}
    if wrong := sorted(categories - set(number)):
        raise ValueError(f"{path} has objects of category {wrong[0]}, which it does not list")
    if lost := sorted(set(drawn) - known):
        raise ValueError(f"{path} has objects of image {lost[0]}, which it does not list")
    outlines = any(note.get("segmentation") for note in notes)
    return Annotated(path, images, drawn, number, classes, outlines)


def drawing(told: Annotated, index: int) -> Drawing:
    """The objects of one image.

    Raises:
        ValueError: An object has no box, or no outline where others have one.
    """
    image = told.images[index]
    name, shape = str(image["file_name"]), (int(image["height"]), int(image["width"]))
    notes = told.drawn.get(int(image["id"]), [])
    try:
        corners = np.array([note["bbox"] for note in notes], np.float32).reshape(-1, 4)
    except (KeyError, ValueError, TypeError):
        raise ValueError(f"{told.path}: an object of {name} has no box [x, y, w, h]") from None
    corners[:, 2:] += corners[:, :2]
    filled = [mask(told.path, note, shape) for note in notes] if told.outlines else None
    return Drawing(
        name,
        shape,
        corners,
        np.array([told.number[int(note["category_id"])] for note in notes], np.int64),
        np.array([bool(note.get("iscrowd", 0)) for note in notes], np.bool_),
        None if filled is None else np.array(filled, np.bool_).reshape(-1, *shape),
    )


def mask(path: Path, note: Json, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """[H, W] of one object, from polygons, or from run lengths down the columns.

    Raises:
        ValueError: Its outline cannot be understood, or it is of another size.
    """
    runs = pycocotools()
    told = note.get("segmentation")
    who = f"{path}: object {note.get('id')} of image {note['image_id']}"
    if isinstance(told, dict):
        if list(told.get("size", ())) != list(shape):
            raise ValueError(
                f"{who} has a mask of size {told.get('size')} for an image of {list(shape)}"
            )
        coded = told if isinstance(told.get("counts"), str) else runs.frPyObjects(told, *shape)
    elif isinstance(told, list) and told and all(len(outline) >= 6 for outline in told):
        coded = runs.merge(runs.frPyObjects(told, *shape))
    else:
        raise ValueError(f"{who} has no outline of at least 3 points")
    with warnings.catch_warnings():  # NumPy 2 warns of how pycocotools 2.0.11 hands out arrays
        warnings.simplefilter("ignore", DeprecationWarning)
        decoded: NDArray[Any] = runs.decode(coded)
    return decoded.astype(np.bool_)


def pycocotools() -> Any:
    """The module for masks of pycocotools; raises `ValueError` where it is missing."""
    try:
        from pycocotools import mask as runs
    except ModuleNotFoundError:
        raise ValueError(
            "masks of COCO are read by pycocotools, which is not installed: "
            "pip install 'masquerade[detect]'"
        ) from None
    return runs
