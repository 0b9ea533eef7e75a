"""scenes: 2 to 6 rendered objects (or emoji) on a real photo tile, with exact masks and boxes.

In the package. The objects and tiles are those of toybox: not photographs of scenes. Boxes and
masks are of what shows of an object; objects come from back to front.
"""

import numpy as np
from pydantic import Field

from masquerade.data import cache, compose, progress, scene, workers
from masquerade.data.dense import Dense
from masquerade.data.drawing import Drawing, Pile, edge
from masquerade.data.images import ImageSet
from masquerade.data.sources import toybox
from masquerade.data.sources.base import SourceConfig


class Config(SourceConfig):
    """Settings of scenes.

    Splits: "train"; "test", unseen objects on unseen tiles; "seen", training objects on unseen
    tiles, the easier test.

    Attributes:
        preset: Which classes of objects, as for toybox.
        pixels: Side of the images.
        count: Training images.
        count_test: Images in "test" and in "seen".
        domains: Only these makers (stickers: noto, twemoji, ...); () takes all.
        draw: Another number gives other scenes of the same objects.
    """

    preset: toybox.Preset = "things16"
    pixels: int = Field(128, ge=32, le=512)
    count: int = Field(2000, ge=1)
    count_test: int = Field(500, ge=1)
    domains: tuple[str, ...] = ()
    draw: int = Field(0, ge=0)

    def splits(self) -> tuple[str, ...]:
        """train, test, seen."""
        return compose.SPLITS

    def load(self, split: str, size: int) -> ImageSet:
        """Composes the split, or maps it from the cache; `size` is ignored."""
        self.known(split)
        count = self.count if split == "train" else self.count_test
        order = scene.Order(self.preset, split, self.domains, self.pixels, self.draw)
        choice = toybox.chosen(self.preset, split, self.domains)
        name = f"scenes {self.preset} {split}"
        content = cache.key("scenes", order, count)
        made = cache.prepared(name, content, lambda b: fill(b, order, count, choice.names))
        bank = compose.PRESETS[self.preset].bank
        return ImageSet(
            name,
            made.arrays["pixels"],
            targets={"mask": made.arrays["mask"]},
            dense=Dense(made.arrays, (self.pixels, self.pixels), None),
            classes=choice.names,
            files=tuple(f"{self.preset}/{split}/{i}" for i in range(count)),
            notes=(f"{self.preset} of toybox in scenes: {toybox.WHAT[bank]}, not photographs.",),
            folder=made.folder,
        )


def fill(builder: cache.Builder, order: scene.Order, count: int, classes: tuple[str, ...]) -> None:
    """Composes all scenes of a set into a cache entry."""
    side = order.size
    pixels = builder.array("pixels", "uint8", (count, side, side, 3))
    mask = builder.array("mask", "uint8", (count, side, side))
    cutouts: dict[int, tuple[int, ...]] = {}
    with progress.shown(f"composing {count:,} images of {builder.name}", count) as advance:
        for chunk in workers.spread(scene.compose_scenes, order, range(count), chunk=25):
            for row, made in chunk:
                pixels[row], mask[row], cutouts[row] = made
            advance(len(chunk))
    pile = Pile(len(classes), (side, side))
    for row in range(count):
        pile.add(drawing(builder.name, np.asarray(mask[row]), cutouts[row], classes), (side, side))
    pile.write(builder)


def drawing(
    name: str, mask: compose.Bytes, cutouts: tuple[int, ...], classes: tuple[str, ...]
) -> Drawing:
    """What a scene's composer knows about its objects."""
    labels = [classes.index(compose.bank().cutouts[c]["class"]) for c in cutouts]
    masks = mask == np.arange(1, len(cutouts) + 1)[:, None, None]
    return Drawing(
        name,
        (mask.shape[0], mask.shape[1]),
        np.array([edge(m) for m in masks], np.float32),
        np.array(labels, np.int64),
        np.zeros(len(cutouts), np.bool_),
        masks,
    )
