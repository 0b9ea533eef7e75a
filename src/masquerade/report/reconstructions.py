"""What a masked image model predicts of what it did not see: `reconstructions/step_*.npz`."""

from typing import NamedTuple

import numpy as np

from masquerade.core.rundir import RunDir
from masquerade.report.files import Arrays, arrays
from masquerade.report.pictures import SHOWN, Cell, uri

COLUMNS = {
    "image": "image",
    "seen": "seen",
    "reconstruction": "predicted",
    "twin": "attacked",
    "perturbation": "change, scaled",
    "twin_reconstruction": "predicted of attacked",
    "attention": "attention",
}


class Moment(NamedTuple):
    """Pictures of one moment of a training.

    Attributes:
        step: Steps done.
        heads: What each column shows.
        rows: One for each image.
    """

    step: int
    heads: list[str]
    rows: list[list[Cell]]


def moments(run: RunDir, troubles: list[str]) -> list[Moment]:
    """The first and the last pictures of a run, early to late; a broken file costs a sentence."""
    found = []
    for path in sorted((run.path / "reconstructions").glob("step_*.npz")):
        number = path.stem.removeprefix("step_")
        stored = arrays(run, f"reconstructions/{path.name}", troubles)
        if fits(stored) and number.isdigit():
            found.append(moment(int(number), stored))
        elif stored:
            troubles.append(f"reconstructions/{path.name} holds no pictures and is left out.")
    return [found[0], found[-1]] if len(found) > 1 else found


def fits(stored: Arrays) -> bool:
    """Whether these are pictures of the same images."""
    shapes = {stored[name].shape for name in COLUMNS if name in stored}
    return "image" in stored and len(shapes) == 1 and len(shapes.pop()) == 4


def moment(step: int, stored: Arrays) -> Moment:
    """The pictures of a file."""
    names = [name for name in COLUMNS if name in stored]
    rows = [
        [Cell(uri(np.asarray(stored[n][k])), f"Image {k + 1}: {COLUMNS[n]}") for n in names]
        for k in range(min(SHOWN, len(stored["image"])))
    ]
    return Moment(step, [COLUMNS[name] for name in names], rows)
