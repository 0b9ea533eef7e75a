"""hf: a Hugging Face data set: saved to disk, parquet or arrow files in a folder, or from the hub.

Needs the extra hf. Names of the hub are downloaded by the package datasets, into its own cache;
everything else needs no network. No code of a data set is ever run.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from masquerade.core.errors import WrongPath
from masquerade.data.decode import Plan
from masquerade.data.images import ImageSet
from masquerade.data.listing import shown
from masquerade.data.prepare import decoded
from masquerade.data.raster import Channels
from masquerade.data.sources.base import SourceConfig

USUAL = {"train": "train", "validation": "val", "test": "test"}


class Place(NamedTuple):
    """Which data set is meant: a folder or a name of the hub, and a configuration of it."""

    path: str
    subset: str


class Row(NamedTuple):
    """An image of a data set; see `masquerade.data.stored`."""

    path: Path
    name: str
    place: Place
    split: str
    column: str
    row: int

    def content(self) -> bytes:
        """The bytes of its image file."""
        cell = undecoded(self.place, self.split, self.column)[self.row][self.column]
        if cell is None:
            raise OSError("there is no image in this row")
        data: bytes = cell["bytes"] or Path(cell["path"]).read_bytes()
        return data


class Config(SourceConfig):
    """Settings of a Hugging Face data set.

    Attributes:
        path: A folder that `save_to_disk` wrote, or one of parquet, arrow or image files, or a
            name of the hub, such as uoft-cs/cifar10.
        subset: The configuration, where a data set has several.
        image: The column of images; "" takes the first.
        label: The column of classes; "" takes the first that has class names, and none where no
            column has.
        pixels: "cache" decodes images once, into the cache; "stream" whenever they are read, after
            looking once through all: slower, for sets that do not fit decoded.
        channels: "rgb", "grey", or "keep": as many channels and bits (8 or 16) as the files have.
        strict: Stop where an image cannot be used, instead of skipping it.
        store: Images are shrunk until their longest side has so many pixels; 0 chooses twice the
            training size, at least 96. Smaller images stay as they are.
    """

    path: str
    subset: str = ""
    image: str = ""
    label: str = ""
    pixels: Literal["cache", "stream"] = "cache"
    channels: Channels = "rgb"
    strict: bool = False
    store: int = Field(0, ge=0)

    def splits(self) -> tuple[str, ...]:
        """Its splits; "validation" is called "val"."""
        return tuple(USUAL.get(name, name) for name in opened(self._place()))

    def load(self, split: str, size: int) -> ImageSet:
        """Decodes the split, or maps it from the cache."""
        self.known(split)
        place = self._place()
        own = next(name for name in opened(place) if USUAL.get(name, name) == split)
        table = opened(place)[own]
        column = images_of(table, self.path, self.image)
        stem = Path(self.path).name
        where = Path(table.cache_files[0]["filename"] if table.cache_files else self.path)
        files = [
            Row(where, shown(f"{stem}/{own}/{i}"), place, own, column, i) for i in range(len(table))
        ]
        plan = Plan(self.channels, self.store or max(96, 2 * size))
        stream = self.pixels == "stream"
        made = decoded(f"{stem} {split}", files, plan, self.strict, stream=stream)
        label, classes = labels_of(table, self.path, self.label)
        if label is None:
            return made.images
        return made.images.labelled(np.array(label, np.int64)[made.kept], classes)

    def _place(self) -> Place:
        path = Path(self.path).expanduser()
        return Place(str(path.resolve()) if path.exists() else self.path, self.subset)


@lru_cache(maxsize=4)
def opened(place: Place) -> Any:
    """The data set, by split; nothing is decoded.

    Raises:
        WrongPath: There is none.
        ValueError: The extra hf is missing.
    """
    datasets = imported()
    folder = Path(place.path)
    try:
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            found = datasets.load_from_disk(place.path)
        else:
            found = datasets.load_dataset(place.path, place.subset or None)
    except (OSError, ValueError, datasets.exceptions.DatasetGenerationError) as error:
        raise WrongPath(
            f"there is no Hugging Face data set {place.path} ({str(error).splitlines()[0]}). Name "
            "a folder that save_to_disk wrote, one of parquet files, or (with a network) a name of "
            "the hub; or try data=toybox"
        ) from None
    return found if isinstance(found, dict) else {"all": found}


@lru_cache(maxsize=4)
def undecoded(place: Place, split: str, column: str) -> Any:
    """A split whose images are the bytes of their files."""
    datasets = imported()
    return (
        opened(place)[split]
        .select_columns([column])
        .cast_column(column, datasets.Image(decode=False))
    )


def images_of(table: Any, path: str, image: str) -> str:
    """The column of images.

    Raises:
        ValueError: There is none.
    """
    kinds = {name: type(feature).__name__ for name, feature in table.features.items()}
    found = [n for n, kind in kinds.items() if (n == image if image else kind == "Image")]
    if not found or kinds[found[0]] != "Image":
        have = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise ValueError(f"{path} has no column {image or 'of images'}; it has: {have}")
    return str(found[0])


def labels_of(table: Any, path: str, label: str) -> tuple[Sequence[int] | None, tuple[str, ...]]:
    """The class of each row, -1 = none, and the names of the classes; None without labels.

    Raises:
        ValueError: The column is not there, or holds no classes.
    """
    named = [n for n, feature in table.features.items() if hasattr(feature, "names")]
    if not (label or named):
        return None, ()
    column = label or named[0]
    if column not in table.features:
        have = ", ".join(table.features)
        raise ValueError(f"{path} has no column {column!r} of labels; it has: {have}")
    told = [-1 if value is None else value for value in table[column]]
    if not all(isinstance(value, int) for value in told):
        raise ValueError(f"column {column!r} of {path} must hold classes, whole numbers from 0")
    names = getattr(table.features[column], "names", None)
    classes = names or [str(i) for i in range(max(told, default=-1) + 1)]
    if max(told, default=-1) >= len(classes):
        raise ValueError(f"{path} has class {max(told)}, but names only {len(classes)}")
    return [max(-1, value) for value in told], tuple(classes)


def imported() -> Any:
    """The package datasets; raises `ValueError` where it is missing."""
    try:
        import datasets  # heavy
    except ModuleNotFoundError:
        raise ValueError(
            "Hugging Face data sets need the package datasets: pip install 'masquerade[hf]'"
        ) from None
    return datasets
