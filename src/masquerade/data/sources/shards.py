"""shards: images packed into tar archives (as WebDataset's) or parquet files (as Hugging Face's).

For sets of too many files for a folder, or too large to be kept decoded. Images are read from
where they lie in the shards, nothing is unpacked. An epoch goes through the shards (of parquet:
the row groups) in a fresh order, `mix` of them at a time, and through their images in a fresh
order: a function of seed and epoch alone, so that a run resumes at any step, and several
processes read disjoint parts of each batch.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from masquerade.core.errors import WrongPath
from masquerade.data import parquet, tar
from masquerade.data.arrange import ORDER, PARTS
from masquerade.data.decode import Plan
from masquerade.data.images import ImageSet
from masquerade.data.order import Pieces
from masquerade.data.prepare import decoded, part
from masquerade.data.raster import Channels
from masquerade.data.sources.base import SourceConfig
from masquerade.data.stored import Cell, Span

KINDS = (".tar", ".parquet")
WORD = re.compile(r"[a-z]+")


class Packed(NamedTuple):
    """The images of some shards.

    Attributes:
        files: Where each is.
        label: Class of each, -1 = none.
        piece: Which shard or row group each lies in.
        classes: Names of the classes; () where there are no labels.
    """

    files: list[Span | Cell]
    label: NDArray[np.int64]
    piece: NDArray[np.int64]
    classes: tuple[str, ...]


class Config(SourceConfig):
    """Settings of shards.

    Splits: where the name of every shard says train, val (valid, validation) or test, these.
    Else as a folder: a share of labelled images is held out as "test", or there is only "all".

    Attributes:
        path: A folder of .tar or of .parquet files, one of them, or a pattern such as
            data/imagenet-*.tar.
        image: Which member of a sample, or which column, is the image; "" finds it.
        label: Which member (tar: a whole number as text) or column holds the class; "" is cls in
            tar and label in parquet.
        pixels: "stream" decodes images whenever they are read, after looking once through all;
            "cache" decodes them once, into the cache: faster, if there is room for it.
        mix: Shards, or row groups, whose images are mixed at a time.
        channels: "rgb", "grey", or "keep": as many channels and bits (8 or 16) as the files have.
        holdout: Share of each class held out as "test"; 0 holds nothing out.
        strict: Stop where an image cannot be used, instead of skipping it.
        store: Images are shrunk until their longest side has so many pixels; 0 chooses twice the
            training size, at least 96. Smaller images stay as they are.
    """

    path: str
    image: str = ""
    label: str = ""
    pixels: Literal["stream", "cache"] = "stream"
    mix: int = Field(8, ge=1, le=16)
    channels: Channels = "rgb"
    holdout: float = Field(0.2, ge=0, le=0.9)
    strict: bool = False
    store: int = Field(0, ge=0)

    def splits(self) -> tuple[str, ...]:
        """The parts the shards are named by, or train and a held-out test; then "all"."""
        paths = at(self.path)
        if parts := divided(paths):
            return (*parts, "all")
        labelled = bool(self.holdout) and (packed(paths, self.image, self.label).label >= 0).any()
        return ("train", "test", "all") if labelled else ("all",)

    def load(self, split: str, size: int) -> ImageSet:
        """Looks through the shards of the split once, or maps what was found from the cache."""
        self.known(split)
        paths = at(self.path)
        parts = divided(paths)
        inside = packed(parts.get(split, paths), self.image, self.label)
        plan = Plan(self.channels, self.store or max(96, 2 * size))
        name = f"{Path(self.path).stem.rstrip('*-_')} {split}" if split in parts else self.path
        stream = self.pixels == "stream"
        made = decoded(name, inside.files, plan, self.strict, stream=stream)
        images = made.images
        if stream:
            images = images.pieced(Pieces(inside.piece[made.kept], self.mix))
        if inside.classes:
            images = images.labelled(inside.label[made.kept], inside.classes)
        if split == "all" or parts:
            return images
        return part(images, made.contents, split, self.holdout)


def at(place: str) -> list[Path]:
    """The shards in a folder, of a pattern, or the one that is named.

    Raises:
        WrongPath: There are none, or of two kinds.
    """
    path = Path(place).expanduser()
    if path.is_dir():
        found = [p for p in path.iterdir() if p.suffix in KINDS]
    else:
        found = list(path.parent.glob(path.name)) if path.parent.is_dir() else []
    kinds = sorted({p.suffix for p in found})
    if len(kinds) > 1 or not set(kinds) <= set(KINDS):
        raise WrongPath(
            f"{place} must name .tar files or .parquet files; it names {', '.join(kinds)}"
        )
    if not found:
        raise WrongPath(
            f"there are no .tar and no .parquet files at {place} (looked from {Path.cwd()}). Name "
            "a folder of them, one, or a pattern such as data/part-*.tar; or try data=toybox"
        )
    return sorted(found)


def packed(paths: list[Path], image: str = "", label: str = "") -> Packed:
    """What lies in some shards; arguments as the settings of the same name.

    Raises:
        ValueError: A shard cannot be read, or its classes are out of range.
    """
    if paths[0].suffix == ".tar":
        samples = tar.listed(paths, image, label or tar.LABEL)
        return numbered(
            [s.file for s in samples], [s.label for s in samples], [s.piece for s in samples], ()
        )
    files: list[Span | Cell] = []
    labels: list[int] = []
    piece: list[int] = []
    classes: tuple[str, ...] = ()
    for path in paths:
        table = parquet.table(path, image, label or parquet.LABEL)
        first = 1 + max(piece, default=-1)
        files += table.files
        labels += table.labels
        piece += [first + cell.group for cell in table.files]
        classes = classes or table.classes
    return numbered(files, labels, piece, classes)


def numbered(
    files: Sequence[Span | Cell], labels: list[int], piece: list[int], classes: tuple[str, ...]
) -> Packed:
    """Images with the names of their classes: numbers where nobody names them."""
    most = max(labels, default=-1)
    if classes and most >= len(classes):
        where = files[0].path.parent
        raise ValueError(f"{where} has class {most}, but names only {len(classes)} classes")
    names = (classes or tuple(str(i) for i in range(most + 1))) if most >= 0 else ()
    return Packed(list(files), np.array(labels, np.int64), np.array(piece, np.int64), names)


def divided(paths: list[Path]) -> dict[str, list[Path]]:
    """Shards by the part that their names say; {} unless all say one."""
    parts: dict[str, list[Path]] = {}
    for path in paths:
        words = [PARTS[w] for w in WORD.findall(path.stem.lower()) if w in PARTS]
        parts.setdefault(words[-1] if words else "", []).append(path)
    return {} if "" in parts else {name: parts[name] for name in ORDER if name in parts}
