"""The folder of a table: whose it is stands in table.json from the start."""

from collections.abc import Sequence
from typing import Any

from masquerade.core.errors import CannotResume
from masquerade.core.rundir import RunDir

CONTENT = "table.json"


def claim(
    place: RunDir,
    name: str,
    scale: str,
    settings: Sequence[str],
    empty: dict[str, Any],
    begun: bool,
) -> None:
    """Claim a folder for a table, or find that it is of this one already.

    Args:
        place: The folder.
        name: Of the table.
        scale: `paper`, `small` or `smoke`.
        settings: `key=value` changes to everything in it.
        empty: What else stands in table.json before there is a number.
        begun: Whether a table.json that is there counts; one without a run can be replaced.

    Raises:
        CannotResume: The folder holds another table, or something else.
    """
    asked = {"name": name, "scale": scale, "settings": list(settings)}
    if begun and place.has(CONTENT):
        old = place.read_json(CONTENT)
        for key, value in asked.items():
            if old.get(key) != value:
                raise CannotResume(
                    f"{place.path} holds a table with {key} {old.get(key)!r}, now {value!r}. "
                    "Name another folder with out=..."
                )
        return
    if place.path.is_file() or any(p.name != CONTENT for p in place.path.glob("*")):
        raise CannotResume(f"{place.path} is not empty and holds no table. Name another with out=")
    place.write_json(CONTENT, {**asked, **empty})
