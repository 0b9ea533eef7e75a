"""Masked copies as the encoder sees them: image, partner, mask, mixture, and the shares of both."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from masquerade.report.pictures import SHOWN, Cell, hardened, uri
from masquerade.report.snapshots import Copy, Snapshot
from masquerade.report.words import percent

GAP = "\N{NO-BREAK SPACE}"


class Slot(NamedTuple):
    """A column of an image's pictures.

    Attributes:
        head: What it shows.
        upper: A picture; a mask, where there is another below.
        lower: What the encoder sees under that mask; None where one picture stands alone.
        said: How much of it is whose.
    """

    head: str
    upper: Cell
    lower: Cell | None = None
    said: str = ""


class Scene(NamedTuple):
    """An image, and its columns."""

    image: Cell
    slots: list[Slot]


class Stage(NamedTuple):
    """The copies of a few images at one moment.

    Attributes:
        step: Steps done.
        groups: Each masker's name, and how many columns are its own.
        scenes: One of each image.
    """

    step: int
    groups: list[tuple[str, int]]
    scenes: list[Scene]


class Row(NamedTuple):
    """One thing at several moments: each picture, and a few words below it or none."""

    head: str
    cells: list[tuple[Cell, str]]


def stage(taken: Snapshot, names: Sequence[str]) -> Stage:
    """The first images of a snapshot with every copy.

    Args:
        taken: Images and copies.
        names: Of the run's maskers.
    """
    by_masker = members(taken)
    scenes = []
    for row in range(min(SHOWN, len(taken.images))):
        slots = [
            slot
            for place, made in by_masker.items()
            for slot in columns(taken, made, row, names[place])
        ]
        scenes.append(Scene(Cell(uri(taken.images[row]), f"Image {row + 1}"), slots))
    groups = [(names[p], len(columns(taken, made, 0, ""))) for p, made in by_masker.items()]
    return Stage(taken.step, groups, scenes)


def members(taken: Snapshot) -> dict[int, list[Copy]]:
    """The copies of each masker, by its place in the settings."""
    found: dict[int, list[Copy]] = {}
    for copy in taken.copies:
        found.setdefault(copy.masker, []).append(copy)
    return found


def columns(taken: Snapshot, made: Sequence[Copy], row: int, name: str) -> list[Slot]:
    """The pictures of one masker's copies of one image."""
    found: list[Slot] = []
    for k, copy in enumerate(made):
        if brings(made, k):
            found.append(Slot("partner", partner(taken, copy, row)))
        mask, view = pair(made, k, row, f"{name}, image {row + 1}")
        found.append(Slot(called(made, k), mask, view, shares(made, k, row)))
    if len(made) > 1 and made[0].learned:
        hidden = np.stack([copy.hidden[row] for copy in made]).astype(np.float64) / 255
        words = f"{name}: the strongest mask at each pixel of image {row + 1}"
        found.append(Slot("strongest", Cell(uri(hardened(hidden)), words)))
    return found


def rows(taken: Sequence[Snapshot], names: Sequence[str]) -> list[Row]:
    """The copies of the first image over several snapshots: partners, masks of chance, views.

    Args:
        taken: One or more, all of the same run.
        names: Of the run's maskers.
    """
    by_masker = members(taken[0])
    found = []
    for place, made in by_masker.items():
        whose = f"{names[place]}: " if len(by_masker) > 1 else ""
        at = [members(shot)[place] for shot in taken]
        for k, copy in enumerate(made):
            if brings(made, k):
                cells = [(partner(s, m[k], 0), "") for s, m in zip(taken, at, strict=True)]
                found.append(Row(f"{whose}partner", cells))
            pairs = [
                pair(m, k, 0, f"{names[place]}, after {s.step} steps")
                for s, m in zip(taken, at, strict=True)
            ]
            if not copy.learned:
                number = f" {k + 1}" if len(made) > 1 else ""
                found.append(Row(f"{whose}mask{number}", [(mask, "") for mask, _ in pairs]))
            views = [(view, shares(m, k, 0)) for (_, view), m in zip(pairs, at, strict=True)]
            found.append(Row(whose + called(made, k), views))
    return found


def brings(made: Sequence[Copy], k: int) -> bool:
    """Whether a copy has partners that the one before it has not."""
    copy = made[k]
    return copy.fills and (k == 0 or not np.array_equal(copy.partner, made[k - 1].partner))


def called(made: Sequence[Copy], k: int) -> str:
    """`mixture`; `masked 2` where nothing fills and there are several."""
    return ("mixture" if made[k].fills else "masked") + (f" {k + 1}" if len(made) > 1 else "")


def partner(taken: Snapshot, copy: Copy, row: int) -> Cell:
    """The image that fills another one."""
    return Cell(uri(taken.images[copy.partner[row]]), f"The partner of image {row + 1}")


def pair(made: Sequence[Copy], k: int, row: int, whose: str) -> tuple[Cell, Cell]:
    """The mask of a copy, and what the encoder sees of it."""
    mask = made[k].hidden[row]
    does = "is filled" if made[k].fills else "hides"
    return (
        Cell(uri(mask), f"{whose}: mask, white {does}: {mask.mean() / 255:.0%} hidden"),
        Cell(uri(made[k].images[row]), f"{whose}: {called(made, k)}, as the encoder sees it"),
    )


def shares(made: Sequence[Copy], k: int, row: int) -> str:
    """`52 % its own, 48 % its partner's`; the weight, where a masker's copies differ in it."""
    copy = made[k]
    if not copy.fills:
        said = f"{percent(copy.hidden[row].mean() / 255, 0)} hidden"
    elif copy.partner[row] == row:
        said = "filled with itself"
    else:
        own = round(100 * copy.share[row])
        said = f"{own}{GAP}% its{GAP}own, {100 - own}{GAP}% its{GAP}partner's"
    weights = [one.weight[row] for one in made]
    if max(weights) - min(weights) > 0.005:
        said += f", weight {copy.weight[row]:.2f} in the loss"
    return said
