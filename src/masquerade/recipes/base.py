"""Recipes by name: functions that return settings, one file per paper."""

import importlib
import inspect
from collections.abc import Callable
from difflib import get_close_matches
from typing import Literal

from masquerade.core import plugins
from masquerade.jobs.settings import Pretrain

FAMILY = "masquerade.recipes"
Scale = Literal["paper", "small", "smoke"]
SCALES = ("paper", "small", "smoke")
Recipe = Callable[[Scale], Pretrain]


def recipes() -> dict[str, Recipe]:
    """Every recipe by its full name, `adversarial_masking.sequential`."""
    found: dict[str, Recipe] = {}
    files = sorted(f.stem for f in plugins.folder(FAMILY).glob("*.py"))
    for file in (f for f in files if f not in ("__init__", "base")):
        module = importlib.import_module(f"{FAMILY}.{file}")
        for name, value in inspect.getmembers(module, inspect.isfunction):
            if value.__module__ == module.__name__ and not name.startswith("_"):
                found[f"{file}.{name}"] = value
    return found


def recipe(name: str, scale: str = "small") -> Pretrain:
    """The settings of a recipe; the file may be left out where the name is unique.

    Raises:
        ValueError: There is no such recipe or scale.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}")
    known = recipes()
    matches = [full for full in known if full == name or full.rpartition(".")[2] == name]
    if len(matches) != 1:
        short = [full.rpartition(".")[2] for full in known]
        near = get_close_matches(name, [*known, *short], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        problem = (
            f"no recipe or run is called {name!r}" if not matches else f"{name!r} is not unique"
        )
        raise ValueError(f"{problem}.{hint} Recipes: {', '.join(matches or short)}")
    return known[matches[0]](scale)  # type: ignore[arg-type]  # checked above
