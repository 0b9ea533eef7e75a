"""Toybox scenes: several cut-outs on one tile, each with the exact mask of what shows of it.

As the composer of data/toybox/README.md makes them; every scene is a pure function of (preset,
split, seed, index). What stands lower on the image is nearer, and covers what is behind.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from masquerade.data import compose
from masquerade.data.compose import PRESETS, SPLITS, Bytes, Floats

LEAST, MOST = 2, 6  # objects
SCALE = 0.22, 0.5  # longest side of an object as a share of the image
VISIBLE = 0.4  # share of each object that must not be covered
TRIES = 40  # objects tried, until there are as many as were drawn
SEPARATE = 1000  # keeps the draws of scenes apart from those of single objects


class Scene(NamedTuple):
    """One composed image.

    Attributes:
        image: [S, S, 3].
        mask: [S, S]; 0 = background, 1..n = objects from back to front.
        cutouts: Which row of the bank's cut-outs each object is.
    """

    image: Bytes
    mask: Bytes
    cutouts: tuple[int, ...]


class Placed(NamedTuple):
    """A posed cut-out and the place of its centre."""

    cutout: int
    cut: Floats
    x: float
    y: float


class Order(NamedTuple):
    """A whole set to be composed.

    Attributes:
        preset: A key of `compose.PRESETS`.
        split: One of `compose.SPLITS`.
        domains: Vendors, () for all.
        size: Side in pixels.
        seed: Which draw of the set.
    """

    preset: str
    split: str
    domains: tuple[str, ...]
    size: int
    seed: int


def compose_scenes(order: Order, rows: Sequence[int]) -> list[Scene]:
    """Some scenes of a set, by row."""
    preset = PRESETS[order.preset]
    bank = compose.bank()
    choice = bank.choose(preset, order.split, order.domains)
    pool = [i for name in choice.names for views in choice.tree[name].values() for i in views]
    split = SPLITS.index(order.split)
    found = []
    for row in rows:
        rng = np.random.default_rng([order.seed, split, SEPARATE, row])
        found.append(scene(bank, rng, pool, choice.tiles, order.size, preset.turn))
    return found


def scene(
    bank: compose.Bank,
    rng: Generator,
    pool: list[int],
    tiles: list[int],
    size: int,
    turn: int,
) -> Scene:
    """One scene of 2 to 6 objects; fewer where the last ones found no room."""
    canvas = compose.background(bank, rng, size, tiles, 0.0)
    wanted = int(rng.integers(LEAST, MOST + 1))
    placed: list[Placed] = []
    for _ in range(TRIES):
        if len(placed) == wanted:
            break
        cutout = pool[rng.integers(len(pool))]
        cut = compose.posed(bank.cutout(cutout), rng, size * rng.uniform(*SCALE), turn)
        height, width = cut.shape[:2]
        x = rng.uniform(0.4 * width, size - 0.4 * width)
        y = rng.uniform(0.4 * height, size - 0.4 * height)
        trial = sorted([*placed, Placed(cutout, cut, x, y)], key=foot)
        if all_show(trial, size):
            placed = trial
    mask = np.zeros((size, size), np.uint8)
    for value, one in enumerate(placed, 1):
        compose.paste(canvas, mask, one.cut, one.x, one.y, value, rng)
    return Scene(compose.finished(canvas, rng), mask, tuple(p.cutout for p in placed))


def foot(one: Placed) -> float:
    """How far down an object reaches."""
    return float(one.y + one.cut.shape[0] / 2)


def all_show(placed: list[Placed], size: int) -> bool:
    """Whether enough of every object is left when all are pasted from back to front."""
    mask = np.zeros((size, size), np.uint8)
    for value, one in enumerate(placed, 1):
        height, width = one.cut.shape[:2]
        left, top = round(float(one.x) - width / 2), round(float(one.y) - height / 2)
        compose.stamp(mask, one.cut[..., 3], left, top, value)
    return all(
        (mask == value).sum() >= VISIBLE * (one.cut[..., 3] > 0.5).sum()
        for value, one in enumerate(placed, 1)
    )
