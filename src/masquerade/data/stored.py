"""Where an image's bytes lie: in a file of its own, or in a part of a larger one.

Imports no torch; these are pickled to worker processes.
"""

from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Protocol, runtime_checkable

GROUPS = 16  # row groups of parquet files that a process keeps in memory
ONE_AT_A_TIME = Lock()  # threads that want the same group must not all read it


@runtime_checkable
class Stored(Protocol):
    """An image file, wherever it is."""

    @property
    def path(self) -> Path:
        """The file on disk that holds it; when that changes, the image may have changed."""

    @property
    def name(self) -> str:
        """What to call it."""

    def content(self) -> bytes:
        """Its bytes; raises `OSError` where they cannot be read."""


class File(NamedTuple):
    """A file to be used, and what it is called."""

    path: Path
    name: str

    def content(self) -> bytes:
        """All of it."""
        return self.path.read_bytes()


class Span(NamedTuple):
    """A part of a file: a member of a tar archive that is not compressed."""

    path: Path
    name: str
    start: int
    length: int

    def content(self) -> bytes:
        """The bytes from `start` on."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            data = file.read(self.length)
        if len(data) < self.length:
            raise OSError(f"{self.path.name} is cut off")
        return data


class Cell(NamedTuple):
    """A cell of a parquet file; `row` counts within its row group."""

    path: Path
    name: str
    group: int
    row: int
    column: str

    def content(self) -> bytes:
        """The bytes in it, or in its field "bytes" as Hugging Face writes images."""
        with ONE_AT_A_TIME:
            cell = column(self.path, self.group, self.column)[self.row].as_py()
        data = cell["bytes"] if isinstance(cell, dict) else cell
        if data is None:
            raise OSError("the cell is empty")
        return bytes(data)


@lru_cache(maxsize=GROUPS)
def column(path: Path, group: int, name: str) -> Any:
    """One column of a row group, as pyarrow keeps it."""
    from pyarrow import parquet  # optional: the extra parquet

    with parquet.ParquetFile(path) as file:
        return file.read_row_group(group, columns=[name]).column(0)
