"""Files of a run folder, read for a page: what cannot be read costs a sentence, never the page."""

import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Arrays = dict[str, NDArray[Any]]


def table(run: RunDir, name: str, troubles: list[str]) -> dict[str, Any]:
    """A JSON object of the run, empty if there is none or it cannot be read."""
    if not run.has(name):
        return {}
    try:
        found = run.read_json(name)
    except (MissingData, OSError):
        found = None
    if not isinstance(found, dict):
        troubles.append(f"{name} cannot be read and is left out.")
        return {}
    return found


def arrays(run: RunDir, name: str, troubles: list[str]) -> Arrays:
    """The arrays of an npz file of the run, empty if there is none or it cannot be read."""
    if not run.has(name):
        return {}
    try:
        with (run.path / name).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        troubles.append(f"{name} cannot be read and is left out.")
        return {}
