"""Parquet files with a column of images, as Hugging Face writes them: one row is one sample."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from masquerade.data.listing import shown
from masquerade.data.stored import Cell

LABEL = "label"
IMAGE = ("image", "img", "jpg", "png", "webp", "bytes")


class Table(NamedTuple):
    """What a file holds.

    Attributes:
        files: Its images, in order.
        labels: The class of each, -1 = none.
        classes: Their names, where the file tells them.
    """

    files: list[Cell]
    labels: list[int]
    classes: tuple[str, ...]


def table(path: Path, image: str, label: str) -> Table:
    """The images of a file, in order; none is read.

    Args:
        path: The file.
        image: The column of images; "" takes the first of the usual names.
        label: The column of classes, whole numbers from 0; the file may lack it.

    Raises:
        ValueError: It is no such file, or has no such column.
    """
    arrow, parquet = imported()
    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            column = chosen(path, schema.names, image)
            kind = schema.field(column).type
            fields = {kind.field(i).name for i in range(kind.num_fields)}
            binary = arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind)
            if not (binary or "bytes" in fields):
                raise ValueError(
                    f"column {column!r} of {path} must hold the bytes of image files, got {kind}"
                )
            sizes = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
            told = file.read(columns=[label]).column(0).to_pylist() if label in schema.names else []
            about = schema.metadata or {}
    except (arrow.ArrowInvalid, OSError) as error:
        text = str(error).splitlines()[0]
        raise ValueError(f"{path} cannot be read as a parquet file: {text}. Get it again") from None
    spots = [(group, row) for group, size in enumerate(sizes) for row in range(size)]
    files = [
        Cell(path, shown(f"{path.stem}/{i}"), group, row, column)
        for i, (group, row) in enumerate(spots)
    ]
    return Table(files, numbers(path, label, told) or [-1] * len(files), named(about, label))


def chosen(path: Path, names: list[str], image: str) -> str:
    """The column of images."""
    found = [name for name in ((image,) if image else IMAGE) if name in names]
    if not found:
        wanted = f"column {image!r}" if image else f"column of images ({', '.join(IMAGE)})"
        raise ValueError(
            f"{path} has no {wanted}; it has: {', '.join(names)}. data.image= names it"
        )
    return found[0]


def numbers(path: Path, label: str, told: list[Any]) -> list[int]:
    """Classes as whole numbers, -1 where there is none."""
    odd = next((v for v in told if v is not None and not isinstance(v, int)), None)
    if odd is not None:
        raise ValueError(
            f"column {label!r} of {path} must hold whole numbers, the classes; it holds {odd!r}. "
            "data.label= names another column"
        )
    return [-1 if v is None else max(-1, v) for v in told]


def named(about: dict[bytes, bytes], label: str) -> tuple[str, ...]:
    """Names of the classes, from what Hugging Face writes beside the schema."""
    try:
        names = json.loads(about[b"huggingface"])["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError):
        return ()
    return tuple(str(name) for name in names)


def imported() -> tuple[Any, Any]:
    """Pyarrow and its parquet module; raises `ValueError` where they are missing."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise ValueError(
            "parquet files need the package pyarrow: pip install 'masquerade[parquet]'"
        ) from None
    return pyarrow, parquet
