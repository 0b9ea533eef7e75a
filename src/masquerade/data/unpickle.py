"""Pickles of arrays and plain values; anything that could run code is refused.

CIFAR is distributed as pickles. Of all classes and functions a pickle may name, only those that
rebuild NumPy arrays are allowed here.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

REBUILD = np.zeros(0).__reduce__()[0]  # where NumPy keeps it differs between versions


def encode(text: str, encoding: str) -> bytes:
    """What `_codecs.encode` does in pickles that Python 3 wrote for Python 2."""
    return text.encode("latin1" if encoding == "latin1" else "utf-8")


ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): REBUILD,
    ("numpy._core.multiarray", "_reconstruct"): REBUILD,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): encode,
}


class ArraysOnly(pickle.Unpickler):
    """Rebuilds arrays, numbers, texts, lists and dicts."""

    def find_class(self, module: str, name: str) -> Any:
        """The allowed class or function of that name; raises `UnpicklingError` for any other."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no array needs")
        return ALLOWED[module, name]


def table(path: Path) -> dict[str, Any]:
    """The dict in a pickle file, its keys as text.

    Raises:
        ValueError: The file holds something else, is damaged, or would run code.
    """
    try:
        with path.open("rb") as file:
            read = ArraysOnly(file, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    except (AttributeError, IndexError, KeyError, TypeError, ImportError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(read, dict):
        raise ValueError(f"{path} holds a {type(read).__name__}, expected a dict")
    return read


def images(path: Path, label: str) -> tuple[Any, Any, list[str]]:
    """Pixels [N, 32, 32, 3], labels and file names of a CIFAR batch."""
    batch = table(path)
    try:
        rows, labels, files = np.asarray(batch["data"]), batch[label], batch.get("filenames", [])
    except KeyError as error:
        raise ValueError(f"{path} has no {error}; it holds {', '.join(batch)}") from None
    if rows.dtype != np.uint8 or rows.shape != (len(labels), 3072):
        raise ValueError(
            f"{path}: data must be {len(labels)} rows of 3072 bytes, got {rows.dtype} {rows.shape}"
        )
    planes = rows.reshape(-1, 3, 32, 32)  # 1024 red, 1024 green, 1024 blue, each row by row
    return planes.transpose(0, 2, 3, 1), np.asarray(labels, np.int64), [str(f) for f in files]
