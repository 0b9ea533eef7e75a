"""clevr: rendered scenes of 3 to 10 cubes, cylinders and spheres, with masks where you have them.

Johnson et al., "CLEVR: A Diagnostic Dataset for Compositional Language and Elementary Visual
Reasoning", 2017. https://cs.stanford.edu/people/jcjohns/clevr. Read from CLEVR_v1.0 as the archive
unpacks: `images/train/CLEVR_train_000000.png`, `scenes/CLEVR_train_scenes.json`. The archive has no
masks; they are read, where they lie, from `masks/train/CLEVR_train_000000.png` as the renderer
exports them: 0 on the background, k on the k-th object of the scene. The multi-object set with
masks as DeepMind released it is the source clevr_with_masks.
"""

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from masquerade.core.errors import MissingData
from masquerade.data.decode import Plan
from masquerade.data.drawing import Drawing, edge
from masquerade.data.images import ImageSet
from masquerade.data.indexed import indexed
from masquerade.data.listing import listed, shown
from masquerade.data.outlined import outlined
from masquerade.data.prepare import decoded
from masquerade.data.sources.base import SourceConfig
from masquerade.data.stored import File

PLACES = ("CLEVR_v1.0", "clevr/CLEVR_v1.0", "clevr", "CLEVR", "")
SHAPES = ("cube", "cylinder", "sphere")
ADVICE = (
    "Get and unpack https://dl.fbaipublicfiles.com/clevr/CLEVR_v1.0.zip (18 GB), or render scenes "
    "of your own with https://github.com/facebookresearch/clevr-dataset-gen."
)


class Config(SourceConfig):
    """Settings of CLEVR.

    Attributes:
        root: The folder that holds CLEVR_v1.0, or CLEVR_v1.0 itself.
        strict: Stop where a file cannot be used, instead of skipping it.
        store: Longest side in the cache, in pixels; 0 chooses twice the training size, at least
            96. Smaller images stay as they are; all of this set are 480 x 320.
    """

    root: str = "data"
    strict: bool = False
    store: int = Field(0, ge=0)

    def splits(self) -> tuple[str, ...]:
        """Train (70,000), val (15,000), test (15,000, nothing known of it)."""
        return ("train", "val", "test")

    def load(self, split: str, size: int) -> ImageSet:
        """Decodes the split and its masks, or maps both from the cache."""
        self.known(split)
        base = self._base(split)
        there = listed(base / "images" / split)
        files = [File(there.root / f, shown(f)) for f in there.files]
        plan = Plan("rgb", self.store or max(96, 2 * size))
        made = decoded(f"clevr {split}", files, plan, self.strict, there.findings)
        masks = base / "masks" / split
        if not masks.is_dir():
            return made.images.noted(
                f"clevr {split}: there are no masks in {masks}, so that masks cannot be measured"
            )
        scenes = base / "scenes" / f"CLEVR_{split}_scenes.json"
        objects = described(scenes)
        lost = [f.name for f in files if not (masks / f"{f.path.stem}.png").is_file()]
        if silent := [f.name for f in files if f.path.name not in objects] + lost:
            raise MissingData(
                f"{scenes} and {masks} must tell of every image; {len(silent)} are missing there, "
                f"{silent[0]} among them"
            )
        content = [
            digest(scenes),
            *(digest(masks / f"{files[i].path.stem}.png") for i in made.kept),
        ]

        def draw(index: int) -> Drawing:
            file = files[index].path
            return drawing(masks / f"{file.stem}.png", objects[file.name])

        return outlined(made, plan, SHAPES, content, draw)

    def _base(self, split: str) -> Path:
        places = [Path(self.root).expanduser() / place for place in PLACES]
        for place in places:
            if (place / "images" / split).is_dir():
                return place
        looked = ", ".join(str(p / "images" / split) for p in places)
        raise MissingData(
            f"none of {looked} is there. {ADVICE} Then put it there, or say where it is with "
            "data.root=FOLDER; or try data=scenes, which needs no download"
        )


def digest(path: Path) -> str:
    """Of a file's bytes."""
    return blake2b(path.read_bytes(), digest_size=16).hexdigest()


def described(path: Path) -> dict[str, list[str]]:
    """The shapes of each image's objects, in order.

    Raises:
        MissingData: There is no such file.
        ValueError: It is another file.
    """
    if not path.is_file():
        raise MissingData(f"no {path}, which tells the objects of the masks. {ADVICE}")
    try:
        scenes: list[dict[str, Any]] = json.loads(path.read_bytes())["scenes"]
        return {s["image_filename"]: [str(o["shape"]) for o in s["objects"]] for s in scenes}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} does not describe CLEVR's scenes ({type(error).__name__}: {error}); it needs "
            "scenes with image_filename and objects"
        ) from None


def drawing(path: Path, shapes: list[str]) -> Drawing:
    """The objects of a map of numbers.

    Raises:
        ValueError: It has more objects than the scene, or the scene an unknown shape.
    """
    numbers: NDArray[np.uint8] = indexed(path)
    if numbers.max(initial=0) > len(shapes):
        raise ValueError(
            f"{path} has object {numbers.max()}, but its scene has only {len(shapes)} objects"
        )
    if wrong := sorted(set(shapes) - set(SHAPES)):
        raise ValueError(f"{path} has an object of shape {wrong[0]!r}; it must be one of {SHAPES}")
    values = np.reshape(np.arange(1, len(shapes) + 1), (-1, 1, 1))
    masks = numbers == values
    return Drawing(
        path.stem,
        (numbers.shape[0], numbers.shape[1]),
        np.array([edge(m) for m in masks], np.float32).reshape(-1, 4),
        np.array([SHAPES.index(s) for s in shapes], np.int64),
        np.zeros(len(shapes), np.bool_),
        masks,
    )
