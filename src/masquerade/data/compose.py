"""Toybox: rendered objects and emoji composed on real photo and texture tiles, with exact masks.

The composer of data/toybox/README.md, numpy and Pillow only. Every image is a pure function of
(preset, split, seed, class, index). Bits are fixed: the order of the draws is part of the format,
and `numpy.random.default_rng` stands here instead of `Seed` because published figures of these
sets were made with it.
"""

import csv
import io
import zipfile
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

SPLITS = ("train", "test", "seen")

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


class Preset(NamedTuple):
    """How the images of a set are made.

    Attributes:
        bank: Which cut-outs: "things" or "stickers".
        classes: The classes in label order; empty for all of the bank, in alphabetical order.
        turn: Largest rotation, in degrees.
        scale: Longest side of the object as a share of the image, least and most.
        clutter: Chance of a small object of any class at the rim.
        soft: How blurred and pale the background is, 0 (sharp) to 1.
    """

    bank: str
    classes: tuple[str, ...]
    turn: int
    scale: tuple[float, float]
    clutter: float
    soft: float


OBJECTS = "bed chair electronics lamp person plant sofa table vehicle vessel"
THINGS10 = tuple(OBJECTS.split())
EMOJI = "bird bug building clothing fruit mammal meal plant sea vehicle"
STICKERS10 = tuple(EMOJI.split())
EASY, HARD = (0.82, 1.08), (0.55, 0.95)
PRESETS = {
    "things10": Preset("things", THINGS10, 8, EASY, 0.1, 0.8),
    "things16": Preset("things", (), 8, EASY, 0.1, 0.8),
    "things16-hard": Preset("things", (), 12, HARD, 0.4, 0.0),
    "stickers10": Preset("stickers", STICKERS10, 15, EASY, 0.1, 0.8),
    "stickers16": Preset("stickers", (), 15, EASY, 0.1, 0.8),
    "stickers16-hard": Preset("stickers", (), 20, HARD, 0.4, 0.0),
}


class Choice(NamedTuple):
    """What a split may be composed of.

    Attributes:
        names: Class names in label order.
        tree: Class -> instance (a 3-D model or an emoji concept of one vendor) -> cut-outs.
        tiles: Background tiles.
    """

    names: tuple[str, ...]
    tree: dict[str, dict[str, list[int]]]
    tiles: list[int]


class Single(NamedTuple):
    """One composed image.

    Attributes:
        image: [S, S, 3].
        mask: [S, S]; 1 = the object, 2 = clutter, 0 = background.
        cutout: Which row of the bank's cut-outs the object is.
    """

    image: Bytes
    mask: Bytes
    cutout: int


class Bank:
    """The cut-outs and background tiles of toybox.zip.

    Attributes:
        cutouts: Rows of sprites.csv.
        tiles: Rows of backgrounds.csv.
    """

    def __init__(self) -> None:
        packed = (files("masquerade.data") / "toybox" / "toybox.zip").read_bytes()
        self._archive = zipfile.ZipFile(io.BytesIO(packed))
        self._atlas: dict[str, Bytes] = {}
        self.cutouts = table(self._archive, "sprites.csv", ("x", "y", "w", "h"))
        self.tiles = table(self._archive, "backgrounds.csv", ("x", "y", "size"))

    def cutout(self, index: int) -> Bytes:
        """One object, [H, W, 4] with straight alpha."""
        row = self.cutouts[index]
        y, x = row["y"], row["x"]
        return self.atlas(row["atlas"])[y : y + row["h"], x : x + row["w"]]

    def tile(self, index: int) -> Bytes:
        """One background, [H, W, 3]."""
        row = self.tiles[index]
        y, x, side = row["y"], row["x"], row["size"]
        return self.atlas(row["atlas"])[y : y + side, x : x + side, :3]

    def atlas(self, name: str) -> Bytes:
        """A sheet of many pictures, decoded when first needed."""
        if name not in self._atlas:
            packed = io.BytesIO(self._archive.read(name))
            self._atlas[name] = np.asarray(Image.open(packed))
        return self._atlas[name]

    def choose(self, preset: Preset, split: str, domains: Sequence[str] = ()) -> Choice:
        """The cut-outs and tiles of a split; `domains` limits the vendors, () takes all."""
        ours = [(i, row) for i, row in enumerate(self.cutouts) if row["bank"] == preset.bank]
        names = preset.classes or tuple(sorted({row["class"] for _, row in ours}))
        tree: dict[str, dict[str, list[int]]] = {name: {} for name in names}
        objects = "test" if split == "test" else "train"
        for i, row in ours:
            wanted = row["split"] == objects and (not domains or row["domain"] in domains)
            if wanted and row["class"] in tree:
                tree[row["class"]].setdefault(row["instance"], []).append(i)
        side = "train" if split == "train" else "test"
        return Choice(names, tree, [i for i, row in enumerate(self.tiles) if row["split"] == side])


def table(archive: zipfile.ZipFile, name: str, numbers: tuple[str, ...]) -> list[dict[str, Any]]:
    """A csv of the zip as rows, some columns as numbers."""
    with archive.open(name) as file:
        rows = list(csv.DictReader(io.TextIOWrapper(file, "utf-8")))
    return [{k: int(v) if k in numbers else v for k, v in row.items()} for row in rows]


class Order(NamedTuple):
    """A whole set to be composed.

    Attributes:
        preset: A key of `PRESETS`.
        split: One of `SPLITS`.
        domains: Vendors, () for all.
        per_class: Images of each class; class by class.
        size: Side in pixels.
        seed: Which draw of the set.
    """

    preset: str
    split: str
    domains: tuple[str, ...]
    per_class: int
    size: int
    seed: int


def compose(order: Order, rows: Sequence[int]) -> list[Single]:
    """Some images of a set, by row; image r shows class r // per_class."""
    preset = PRESETS[order.preset]
    choice = bank().choose(preset, order.split, order.domains)
    place = [divmod(row, order.per_class) for row in rows]
    return [single(bank(), choice, preset, order.split, order.seed, p, order.size) for p in place]


@cache
def bank() -> Bank:
    """The one bank of this process."""
    return Bank()


def single(
    bank: Bank,
    choice: Choice,
    preset: Preset,
    split: str,
    seed: int,
    place: tuple[int, int],
    size: int,
) -> Single:
    """The image at `place` = (label, index) of a split: one object that fills the frame."""
    label, index = place
    rng = np.random.default_rng([seed, SPLITS.index(split), label, index])
    name = choice.names[label]
    instances = sorted(choice.tree[name])
    views = choice.tree[name][instances[index % len(instances)]]
    main = views[rng.integers(len(views))]
    canvas = background(bank, rng, size, choice.tiles, preset.soft)
    mask = np.zeros((size, size), np.uint8)
    others = [i for n in choice.names if n != name for v in choice.tree[n].values() for i in v]
    if others and rng.random() < preset.clutter:
        source = bank.cutout(others[rng.integers(len(others))])
        cut = posed(source, rng, size * rng.uniform(0.2, 0.38), preset.turn)
        angle = rng.uniform(0, 2 * np.pi)
        x, y = size * (0.5 + 0.42 * np.cos(angle)), size * (0.5 + 0.42 * np.sin(angle))
        paste(canvas, mask, cut, x, y, 2, rng)
    cut = posed(bank.cutout(main), rng, size * rng.uniform(*preset.scale), preset.turn)
    free = [max(0, (size - n) / 2) + 0.08 * n for n in (cut.shape[1], cut.shape[0])]
    x = size / 2 + rng.uniform(-1, 1) * free[0]
    y = size / 2 + rng.uniform(-1, 1) * free[1]
    paste(canvas, mask, cut, x, y, 1, rng)
    return Single(finished(canvas, rng), mask, main)


def background(bank: Bank, rng: Generator, size: int, tiles: list[int], soft: float) -> Floats:
    """A crop of a tile, perhaps blurred and paled; [S, S, 3] in 0..1."""
    tile = bank.tile(tiles[rng.integers(len(tiles))])
    side = int(rng.uniform(0.5, 1.0) * len(tile))
    x, y = rng.integers(0, len(tile) - side + 1, 2)
    crop = Image.fromarray(np.ascontiguousarray(tile[y : y + side, x : x + side]))
    image = crop.resize((size, size), Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if soft:
        radius = soft * rng.uniform(1, 3) * size / 64
        image = image.filter(ImageFilter.GaussianBlur(radius))
    elif rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.5) * size / 64))
    flat = np.asarray(image).astype(np.float32) / 255
    canvas: NDArray[Any] = np.clip(flat * rng.uniform(0.65, 1.2) + rng.uniform(-0.05, 0.05), 0, 1)
    if soft:
        keep = 1 - soft * rng.uniform(0.2, 0.65)
        canvas = canvas * keep + (1 - keep) * canvas.mean((0, 1))
    return canvas.astype(np.float32)


def posed(cutout: Bytes, rng: Generator, side: float, turn: int) -> Floats:
    """A cut-out mirrored or not, scaled to `side`, turned and lit; premultiplied RGBA in 0..1."""
    image = Image.fromarray(np.ascontiguousarray(cutout))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    width, height = image.size
    factor = side / max(width, height)
    grows = Image.Resampling.BICUBIC if factor > 1 else Image.Resampling.LANCZOS
    shape = max(2, round(width * factor)), max(2, round(height * factor))
    image = image.convert("RGBa").resize(shape, grows)
    if turn:
        image = image.rotate(rng.uniform(-turn, turn), Image.Resampling.BILINEAR, expand=True)
    out: NDArray[Any] = np.asarray(image).astype(np.float32) / 255
    out[..., :3] = np.minimum(out[..., :3] * rng.uniform(0.75, 1.15), out[..., 3:])
    return out


def paste(
    canvas: Floats, mask: Bytes, cut: Floats, x: float, y: float, value: int, rng: Generator
) -> None:
    """Puts a posed cut-out around (x, y), often with a soft shadow, and `value` into the mask."""
    alpha = cut[..., 3]
    height, width = alpha.shape
    left, top = round(float(x) - width / 2), round(float(y) - height / 2)
    if rng.random() < 0.6:
        pad = max(2, width // 8)
        flat = Image.new("L", (width + 2 * pad, height + 2 * pad))
        flat.paste(Image.fromarray((alpha * 255).astype(np.uint8)), (pad, pad))
        dark = np.asarray(flat.filter(ImageFilter.GaussianBlur(pad / 2))).astype(np.float32) / 255
        dx, dy = int(rng.uniform(-0.06, 0.06) * width), int(rng.uniform(0.02, 0.08) * height)
        lay(canvas, dark * rng.uniform(0.2, 0.5), left - pad + dx, top - pad + dy)
    lay(canvas, alpha, left, top, cut[..., :3])
    stamp(mask, alpha, left, top, value)


def meeting(size: int, alpha: NDArray[Any], left: int, top: int) -> tuple[Any, Any]:
    """Where a pasted rectangle lies on the canvas, and which part of it does; maybe empty."""
    y0, y1 = max(0, top), max(0, min(size, top + alpha.shape[0]))
    x0, x1 = max(0, left), max(0, min(size, left + alpha.shape[1]))
    if y1 <= y0 or x1 <= x0:
        return np.s_[:0, :0], np.s_[:0, :0]
    return np.s_[y0:y1, x0:x1], np.s_[y0 - top : y1 - top, x0 - left : x1 - left]


def lay(
    canvas: Floats, alpha: NDArray[Any], left: int, top: int, colour: Floats | None = None
) -> None:
    """Darkens the canvas by alpha and adds a premultiplied colour."""
    here, part = meeting(len(canvas), alpha, left, top)
    canvas[here] *= 1 - alpha[part][..., None]
    if colour is not None:
        canvas[here] += colour[part]


def stamp(mask: Bytes, alpha: Floats, left: int, top: int, value: int) -> None:
    """Writes `value` where alpha is over one half."""
    here, part = meeting(len(mask), alpha, left, top)
    mask[here][alpha[part] > 0.5] = value


def finished(canvas: NDArray[Any], rng: Generator) -> Bytes:
    """Light, tint and noise over everything; to bytes."""
    lit = canvas * rng.uniform(0.85, 1.1) * rng.uniform(0.94, 1.06, 3)
    noisy = lit + rng.normal(0, 1, lit.shape) * rng.uniform(0, 0.02)
    return (np.clip(noisy, 0, 1) * 255).round().astype(np.uint8)
