"""Decoded images on disk, prepared once: one folder per set, one raw file per array.

An entry is named by the content it was made from. It is built in a temporary folder under a lock
and moved into place whole, so a killed build leaves nothing that could be mistaken for an entry,
and two processes never build the same one twice. The place is the user's cache folder, or the
environment variable MASQUERADE_CACHE.
"""

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from platformdirs import user_cache_dir

from masquerade.core.errors import MasqueradeError

FORMAT = 1  # raise when entries of older code must not be read
SPARE = 64 * 2**20  # bytes that stay free on the disk

Json = dict[str, Any]


class DiskFull(MasqueradeError):
    """There is no room for the cache; the text says how much is needed and where."""


class Entry(NamedTuple):
    """A prepared set.

    Attributes:
        folder: Where it lies.
        about: What its builder wrote down.
        arrays: Read-only memory maps by name.
    """

    folder: Path
    about: Json
    arrays: dict[str, NDArray[Any]]


class Listed(NamedTuple):
    """A line of `entries`: what it was made from, where it lies, and its bytes on disk."""

    name: str
    folder: Path
    size: int


def where() -> Path:
    """The cache folder: MASQUERADE_CACHE, or the user's cache folder."""
    named = os.environ.get("MASQUERADE_CACHE")
    return Path(named).expanduser() if named else Path(user_cache_dir("masquerade"))


def entries() -> list[Listed]:
    """All whole entries, largest first."""
    found = []
    for folder in images().glob("*"):
        if not folder.name.startswith("half-") and (folder / "about.json").exists():
            about = json.loads((folder / "about.json").read_text("utf-8"))
            size = sum(f.stat().st_size for f in folder.iterdir())
            found.append(Listed(str(about["name"]), folder, size))
    return sorted(found, key=lambda entry: -entry.size)


def clear() -> int:
    """Removes every entry and what killed builds left; returns the bytes freed.

    An entry that another process is building now is left alone. Pixels that a running job has
    mapped stay readable to it until it ends.
    """
    freed = 0
    for folder in list(images().glob("*")):
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        if folder.name.startswith("half-") and not abandoned(folder):
            continue
        freed += size
        remove(folder)
    return freed


def key(*parts: Any) -> str:
    """A name for content and settings: 32 hex digits of their JSON."""
    text = json.dumps([FORMAT, *parts], sort_keys=True, default=str)
    return blake2b(text.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


def prepared(name: str, content: str, build: Callable[["Builder"], None]) -> Entry:
    """The entry of some content, built first if it is not there.

    Args:
        name: What the user calls the set.
        content: A `key`.
        build: Fills arrays that it asks of the builder; runs in one process at a time.

    Raises:
        DiskFull: There is no room.
    """
    final = images() / content
    if not final.exists():
        with locked(content, name):
            if not final.exists():
                sweep()
                half = images() / f"half-{content}"
                remove(half)  # of a build that was killed: we hold the lock
                half.mkdir(parents=True)
                try:
                    builder = Builder(name, half)
                    build(builder)
                    builder.finish()
                    half.replace(final)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    raise full(name, 0) from None
                finally:
                    remove(half)
    return opened(final)


class Builder:
    """Hands out arrays of an entry under construction.

    Attributes:
        name: What the user calls the set.
        folder: Where the arrays lie until the entry is whole.
        about: To be filled with what should be known later; must be JSON.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.about: Json = {}
        self._arrays: dict[str, tuple[str, tuple[int, ...]]] = {}

    def array(self, name: str, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """A new array on disk; its room is reserved at once, so that a full disk says so now.

        Raises:
            DiskFull: There is not enough room.
        """
        size = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        if size + SPARE > shutil.disk_usage(self.folder).free:
            raise full(self.name, size)
        path = self.path(name)
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
        self._arrays[name] = dtype, shape
        return mapped(path, dtype, shape, "r+")

    def path(self, name: str) -> Path:
        """Where an array lies, for other processes to map."""
        return self.folder / f"{name}.bin"

    def shorten(self, name: str, kept: NDArray[np.int64]) -> None:
        """Keeps only some rows of an array, in ascending order, in place."""
        dtype, shape = self._arrays[name]
        array = mapped(self.path(name), dtype, shape, "r+")
        for row, old in enumerate(kept):
            if row != old:
                array[row] = array[old]
        del array
        shape = (len(kept), *shape[1:])
        self._arrays[name] = dtype, shape
        os.truncate(self.path(name), max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize))

    def finish(self) -> None:
        """Writes down what the entry holds, after the arrays have reached the disk."""
        for name in self._arrays:
            with self.path(name).open("rb+") as file:
                os.fsync(file.fileno())
        text = json.dumps({**self.about, "name": self.name, "arrays": self._arrays})
        with (self.folder / "about.json").open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


def opened(folder: Path) -> Entry:
    """A whole entry, mapped read-only."""
    about = json.loads((folder / "about.json").read_text("utf-8"))
    arrays = {
        name: mapped(folder / f"{name}.bin", dtype, tuple(shape), "r")
        for name, (dtype, shape) in about["arrays"].items()
    }
    return Entry(folder, about, arrays)


def mapped(path: Path, dtype: str, shape: tuple[int, ...], mode: Any) -> NDArray[Any]:
    """A raw file as an array; an empty array needs no file."""
    if not int(np.prod(shape)):
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype=dtype, mode=mode, shape=shape)


def images() -> Path:
    """Where the entries lie."""
    return where() / "images"


@contextmanager
def locked(content: str, name: str) -> Iterator[None]:
    """Holds the lock of one entry, waiting for the process that builds it."""
    lock = lock_of(content)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{name}: another process is preparing these images; waiting", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def lock_of(content: str) -> FileLock:
    """The lock of one entry; the system frees it when its holder dies."""
    locks = where() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    images().mkdir(parents=True, exist_ok=True)
    return FileLock(locks / f"{content}.lock")


def sweep() -> None:
    """Removes what killed builds left behind."""
    for half in list(images().glob("half-*")):
        if abandoned(half):
            remove(half)


def abandoned(half: Path) -> bool:
    """Whether nobody is building this entry any more: its lock is free."""
    lock = lock_of(half.name.split("-")[1])
    try:
        with lock.acquire(timeout=0):
            return True
    except Timeout:
        return False


def remove(folder: Path) -> None:
    """Removes a folder or file, if it is there."""
    if folder.is_dir():
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.unlink(missing_ok=True)


def full(name: str, size: int) -> DiskFull:
    """The sentence for a full disk."""
    free = shutil.disk_usage(where()).free
    need = f"need {gigabytes(size)}, and" if size else "do not fit;"
    return DiskFull(
        f"the cached images of {name} {need} {where()} has {gigabytes(free)} free. Make room "
        "(masquerade cache clear), or set MASQUERADE_CACHE to a folder on a larger disk, or store "
        "smaller images (data.store=96)"
    )


def gigabytes(size: int) -> str:
    """Bytes as a person reads them."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
