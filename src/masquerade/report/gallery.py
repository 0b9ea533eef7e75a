"""What several ways of training hide on the same images, one row each."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from masquerade.report.pictures import Cell, hardened, uri
from masquerade.report.read import Story
from masquerade.report.snapshots import Snapshot

ACROSS = 12  # pictures beside each other
LEAST, LARGEST = 1, 4  # images in a row


class Shelf(NamedTuple):
    """A group's masks.

    Attributes:
        name: Of the group.
        about: Whose masks these are, and when.
        images: Each image and its masks; white hides.
        strongest: Each image and, of each seed, the strongest mask at each pixel; empty for groups
            with one mask.
    """

    name: str
    about: str
    images: list[tuple[Cell, list[Cell]]]
    strongest: list[tuple[Cell, list[Cell]]]


class Gallery(NamedTuple):
    """All groups that hide something.

    Attributes:
        shelves: One of each.
        images: How many images a row shows under its masks.
        masks: The most masks one of them has.
        compared: How many images a row shows under the strongest masks of each seed.
        seeds: The most seeds one of them has; 0 where nobody has two masks.
        none: Names of those that hide nothing, or kept no pictures.
    """

    shelves: list[Shelf]
    images: int
    masks: int
    compared: int
    seeds: int
    none: list[str]


def gallery(groups: Sequence[Sequence[Story]], names: Sequence[str]) -> Gallery | None:
    """The last masks of every group, None if nobody kept any."""
    taken = [[(told, told.snapshots[-1]) for told in group if told.snapshots] for group in groups]
    if not any(taken):
        return None
    masks = max(shots[0][1].masks.shape[1] for shots in taken if shots)
    several = [shots for shots in taken if comparable(shots)]
    seeds = max((len(shots) for shots in several), default=0)
    images, compared = room(masks), room(seeds)
    pairs = list(zip(names, taken, strict=True))
    return Gallery(
        [shelf(name, shots, images, compared) for name, shots in pairs if shots],
        images,
        masks,
        compared,
        seeds,
        [name for name, shots in pairs if not shots],
    )


def comparable(taken: Sequence[tuple[Story, Snapshot]]) -> bool:
    """Whether it means something which mask is strongest: there are several, and they learned."""
    return bool(taken) and taken[0][1].masks.shape[1] > 1 and not taken[0][0].by_chance


def room(pictures: int) -> int:
    """How many images fit beside each other, each with so many pictures."""
    return min(max(ACROSS // (pictures + 1), LEAST), LARGEST)


def shelf(name: str, taken: Sequence[tuple[Story, Snapshot]], images: int, compared: int) -> Shelf:
    """The masks of one group: those of its first seed in full, the strongest of every seed."""
    told, first = taken[0]
    seed = told.config.get("seed", "?")
    shown = []
    for row in range(min(images, len(first.images))):
        masks = [
            Cell(uri(mask), f"{name}, mask {k} of image {row + 1}: {mask.mean() / 255:.0%} hidden")
            for k, mask in enumerate(first.masks[row], 1)
        ]
        shown.append((picture(first, row), masks))
    about = f"seed {seed}, step {first.step:,}" + (", drawn by chance" if told.by_chance else "")
    return Shelf(name, about, shown, strongest(name, taken, compared))


def strongest(
    name: str, taken: Sequence[tuple[Story, Snapshot]], images: int
) -> list[tuple[Cell, list[Cell]]]:
    """Images with a picture per seed; none where there is nothing to compare."""
    if not comparable(taken):
        return []
    found = []
    for row in range(min(images, *(len(shot.images) for _, shot in taken), images)):
        cells = []
        for told, shot in taken:
            hidden = shot.masks[row].astype(np.float64) / 255
            seed = told.config.get("seed", "?")
            words = f"{name}, seed {seed}: the strongest mask at each pixel of image {row + 1}"
            cells.append(Cell(uri(hardened(hidden)), words))
        found.append((picture(taken[0][1], row), cells))
    return found


def picture(shot: Snapshot, row: int) -> Cell:
    """One of the images of a snapshot."""
    return Cell(uri(shot.images[row]), f"Image {row + 1}")
