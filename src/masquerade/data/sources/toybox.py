"""toybox: rendered objects (or emoji) on real photo tiles, with exact masks; in the package.

3,246 renders of 523 3-D models and 2,293 emoji over 130 crops of photos and materials: not
photographs of objects. Licences and authors: data/toybox/LICENSES.txt.
"""

import functools
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from masquerade.data import cache, compose, progress, workers
from masquerade.data.images import ImageSet
from masquerade.data.sources.base import SourceConfig

Preset = Literal[
    "things10", "things16", "things16-hard", "stickers10", "stickers16", "stickers16-hard"
]
SHIFT = "shift"
WHAT = {"things": "rendered objects on real photo tiles", "stickers": "emoji on real photo tiles"}


class Config(SourceConfig):
    """Settings of toybox.

    Splits: "train"; "test", unseen objects on unseen tiles; "seen", training objects on unseen
    tiles, the easier test; "shift", where `shifted` is set: the objects and tiles of "test", drawn
    by makers that no other split shows.

    Attributes:
        preset: Which classes and how hard. things: 3-D models; stickers: emoji; 10 or 16 classes;
            "-hard": smaller, cluttered, on sharp backgrounds.
        pixels: Side of the images.
        per_class: Training images of each class.
        per_class_test: Images of each class in "test" and in "seen".
        domains: Only these makers (stickers: noto, twemoji, ...); () takes all that are not
            `shifted`.
        shifted: The makers of "shift", as in preset=stickers10 domains=["noto","twemoji"]
            shifted=["fluent3d"]: train on two, test on the third.
        draw: Another number gives other images of the same objects.
    """

    preset: Preset = "things10"
    pixels: int = Field(64, ge=16, le=512)
    per_class: int = Field(400, ge=1)
    per_class_test: int = Field(100, ge=1)
    domains: tuple[str, ...] = ()
    shifted: tuple[str, ...] = ()
    draw: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _apart(self) -> "Config":
        if both := sorted(set(self.domains) & set(self.shifted)):
            raise ValueError(
                f"{', '.join(both)} is in domains and in shifted; a maker is trained on or shifted"
            )
        return self

    def splits(self) -> tuple[str, ...]:
        """train, test, seen, and shift where makers are `shifted`."""
        return (*compose.SPLITS, *((SHIFT,) if self.shifted else ()))

    def load(self, split: str, size: int) -> ImageSet:
        """Composes the split, or maps it from the cache; `size` is ignored."""
        self.known(split)
        per_class = self.per_class if split == "train" else self.per_class_test
        side, makers = self._makers(split)
        order = compose.Order(self.preset, side, makers, per_class, self.pixels, self.draw)
        choice = chosen(self.preset, side, makers)
        name = f"toybox {self.preset} {split}"
        count = per_class * len(choice.names)
        made = cache.prepared(name, cache.key("toybox", order), lambda b: fill(b, order, count))
        bank = compose.PRESETS[self.preset].bank
        return ImageSet(
            name,
            made.arrays["pixels"],
            targets={
                "label": np.repeat(np.arange(len(choice.names), dtype=np.int64), per_class),
                "mask": made.arrays["mask"],
                "group": groups()[made.arrays["cutout"]],
            },
            classes=choice.names,
            files=tuple(f"{self.preset}/{split}/{i}" for i in range(count)),
            notes=(f"{self.preset} of toybox: {WHAT[bank]}, not photographs.",),
            folder=made.folder,
        )

    def _makers(self, split: str) -> tuple[str, tuple[str, ...]]:
        """The side of the bank and the makers that a split shows; () for all."""
        if split == SHIFT:
            return "test", self.shifted
        if self.domains or not self.shifted:
            return split, self.domains
        others = set(domains(self.preset)) - set(self.shifted)
        if not others:
            raise ValueError("shifted names every maker; leave some to train on")
        return split, tuple(sorted(others))


def domains(preset: str) -> tuple[str, ...]:
    """The makers of a preset's objects, in alphabetical order."""
    bank = compose.PRESETS[preset].bank
    return tuple(sorted({r["domain"] for r in compose.bank().cutouts if r["bank"] == bank}))


def chosen(preset: str, split: str, makers: tuple[str, ...]) -> compose.Choice:
    """What a split may be composed of.

    Raises:
        ValueError: There is no such domain, or a class has no object from those named.
    """
    known = domains(preset)
    if wrong := sorted(set(makers) - set(known)):
        raise ValueError(f"{preset} has no domain {', '.join(wrong)}; it has: {', '.join(known)}")
    choice = compose.bank().choose(compose.PRESETS[preset], split, makers)
    if empty := [name for name in choice.names if not choice.tree[name]]:
        raise ValueError(
            f"{preset} {split} has no {', '.join(empty)} from {', '.join(makers)}; "
            "name more domains"
        )
    return choice


@functools.cache
def groups() -> NDArray[np.int64]:
    """A number for the object that each cut-out shows; near-twins share one.

    The bank names groups within a catalogue, so that two catalogues may use one name on different
    sides of the split: the side is part of the group here.
    """
    fields = "bank", "class", "group", "split"
    names = [tuple(row[f] for f in fields) for row in compose.bank().cutouts]
    number = {name: i for i, name in enumerate(sorted(set(names)))}
    return np.array([number[name] for name in names], np.int64)


def fill(builder: cache.Builder, order: compose.Order, count: int) -> None:
    """Composes all images of a set into a cache entry."""
    side = order.size
    pixels = builder.array("pixels", "uint8", (count, side, side, 3))
    mask = builder.array("mask", "uint8", (count, side, side))
    cutout = builder.array("cutout", "int32", (count,))
    with progress.shown(f"composing {count:,} images of {builder.name}", count) as advance:
        for chunk in workers.spread(compose.compose, order, range(count), chunk=100):
            for row, made in chunk:
                pixels[row], mask[row], cutout[row] = made
            advance(len(chunk))
