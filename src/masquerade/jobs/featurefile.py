"""A file of features with the names of their images: `.npz`, `.parquet` or `.csv`.

In an `.npz` each part of a source has arrays of its own: `features`, `labels`, `files`, `digests`
of the first, `test_features`, `test_labels` ... of one called `test`; with `split=train,test` that
is what `masquerade certify` takes. In the other two the parts follow each other, and a column
says which part a row is of.
"""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from masquerade.core.errors import CannotResume, MasqueradeError
from masquerade.core.rundir import RunDir

ENDINGS = (".npz", ".parquet", ".csv")


class Part(NamedTuple):
    """The features of one set of images.

    Attributes:
        name: The split; empty where the source was taken as one.
        files: Names of the images.
        labels: Places in the classes, -1 = none; None where no image has a label.
        digests: Of the images' content.
        batches: Gives the features in order; called once.
    """

    name: str
    files: tuple[str, ...]
    labels: Int[Tensor, " N"] | None
    digests: list[str]
    batches: Callable[[], Iterator[Float[Tensor, "B D"]]]


def check(place: Path) -> None:
    """Raises where a file cannot be written under this name, before any work is done."""
    if place.suffix not in ENDINGS:
        raise ValueError(f"out= must end in {', '.join(ENDINGS)}, got {place.name}")
    if place.is_dir():
        raise CannotResume(f"{place} is a folder; out= must name a file")
    if place.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401  # only whether it is there
        except ImportError:
            raise MasqueradeError(
                "a .parquet file needs the package pyarrow: pip install 'masquerade[parquet]', "
                "or take out=FILE.npz"
            ) from None


def write(
    place: Path, parts: Sequence[Part], classes: Sequence[str], dim: int, about: dict[str, Any]
) -> Path:
    """Write features as they come; the file appears whole or not at all.

    Args:
        place: Its ending says the format.
        parts: With different names.
        classes: Names of the labels.
        dim: Numbers of an image.
        about: What is kept with it.
    """
    fill = {".npz": arrays, ".parquet": columns, ".csv": lines}[place.suffix]
    target = RunDir(place.parent)
    return target.write(place.name, lambda out: fill(out, parts, classes, dim, about))


def arrays(
    out: BinaryIO, parts: Sequence[Part], classes: Sequence[str], dim: int, about: dict[str, Any]
) -> None:
    """An uncompressed NumPy archive."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for place, part in enumerate(parts):
            before = f"{part.name}_" if place else ""
            with archive.open(f"{before}features.npy", "w", force_zip64=True) as file:
                shape = {"descr": "<f4", "fortran_order": False, "shape": (len(part.files), dim)}
                np.lib.format.write_array_header_2_0(file, shape)
                for batch in part.batches():
                    file.write(batch.numpy().astype("<f4").tobytes())
            if part.labels is not None:
                add(archive, f"{before}labels", part.labels.numpy())
            add(archive, f"{before}files", np.array(part.files, dtype=np.str_))
            add(archive, f"{before}digests", np.array(part.digests, dtype=np.str_))
        if classes:
            add(archive, "classes", np.array(classes, dtype=np.str_))
        add(archive, "about", np.array(json.dumps(about), dtype=np.str_))


def add(archive: zipfile.ZipFile, name: str, values: NDArray[Any]) -> None:
    """One array of an archive."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array(file, values, allow_pickle=False)


def columns(
    out: BinaryIO, parts: Sequence[Part], classes: Sequence[str], dim: int, about: dict[str, Any]
) -> None:
    """A Parquet file, one group of rows for each batch; an unknown label is null."""
    import pyarrow as arrow  # an extra
    from pyarrow import parquet

    text, vector = arrow.string(), arrow.list_(arrow.float32(), dim)
    schema = arrow.schema(
        {"file": text, "split": text, "label": text, "digest": text, "features": vector},
        metadata={"masquerade": json.dumps({**about, "classes": list(classes)})},
    )
    with parquet.ParquetWriter(out, schema) as writer:
        for part in parts:
            labels = named(part, classes)
            for rows, batch in placed(part):
                flat = arrow.array(batch.numpy().reshape(-1))
                table = [
                    arrow.array(part.files[rows], text),
                    arrow.array([part.name] * len(batch), text),
                    arrow.array(labels[rows], text),
                    arrow.array(part.digests[rows], text),
                    arrow.FixedSizeListArray.from_arrays(flat, dim),
                ]
                writer.write_table(arrow.Table.from_arrays(table, schema=schema))


def lines(
    out: BinaryIO, parts: Sequence[Part], classes: Sequence[str], dim: int, about: dict[str, Any]
) -> None:
    """A table for spreadsheets; 9 digits give every float32 back."""
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    rows_of = csv.writer(text)
    rows_of.writerow(["file", "split", "label", "digest", *(f"f{i}" for i in range(dim))])
    for part in parts:
        labels = named(part, classes)
        for rows, batch in placed(part):
            told = zip(part.files[rows], labels[rows], part.digests[rows], batch, strict=True)
            for file, label, digest, numbers in told:
                row = [f"{v:.9g}" for v in numbers.tolist()]
                rows_of.writerow([file, part.name, label or "", digest, *row])
    text.flush()
    text.detach()  # or closing it would close the file, which is not flushed to disk yet


def placed(part: Part) -> Iterator[tuple[slice, Float[Tensor, "B D"]]]:
    """The batches of a part with the rows they are."""
    start = 0
    for batch in part.batches():
        yield slice(start, start + len(batch)), batch
        start += len(batch)


def named(part: Part, classes: Sequence[str]) -> list[str | None]:
    """The label of each image in words, None where there is none."""
    if part.labels is None:
        return [None] * len(part.files)
    return [classes[label] if label >= 0 else None for label in part.labels.tolist()]
