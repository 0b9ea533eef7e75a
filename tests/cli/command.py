"""What the tests of the verbs share: tiny settings, a command's outcome, photographs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from masquerade.data.sources import toybox

TINY = (
    "data.per_class=4",
    "data.per_class_test=4",
    "data.pixels=32",
    "maskers.0.masks=2",
    'backbone.options={"layers":[1,1,1,1],"channels":[8,8,16,16]}',
    "objective.projector.hidden=16",
    "objective.projector.out=8",
    "batch=8",
    "epochs=2",
    "runtime.accelerator=cpu",
    "runtime.threads=1",
)


class Ended(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Masquerade = Callable[..., Ended]


def photographs(folder: Path, classes: bool = True, count: int = 40) -> Path:
    """A folder of small JPEGs, in class folders or flat."""
    images = toybox.Config(per_class=4, pixels=32).load("train", 32)
    for row in range(count):
        name = images.classes[int(images.targets["label"][row])] if classes else "."
        place = folder / name / f"{row:03d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.pixels[row]).save(place, quality=92)
    return folder
