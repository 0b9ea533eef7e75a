"""`masquerade list settings`: every key of a recipe with its value and what it means."""

import inspect
import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from masquerade.core.config import Plug, Settings
from masquerade.recipes.base import recipe


class Key(NamedTuple):
    """One setting: its dotted key, its value as one would type it, and what it means."""

    key: str
    value: str
    meaning: str


def keys(name: str) -> list[Key]:
    """Every setting of a recipe, in the order of the settings classes.

    Raises:
        ValueError: There is no such recipe.
    """
    return list(walked(recipe(name), ""))


def walked(settings: Settings, prefix: str) -> Iterator[Key]:
    """The settings below some settings, depth first."""
    told = meanings(type(settings))
    for field in type(settings).model_fields:
        value = dict(settings)[field]
        key = f"{prefix}{field}"
        if isinstance(value, Settings):
            if isinstance(value, Plug):
                yield Key(key, value.kind, told.get(field, ""))
            yield from walked(value, f"{key}.")
        elif isinstance(value, tuple) and value and isinstance(value[0], Plug):
            yield Key(key, ",".join(plug.kind for plug in value), told.get(field, ""))
            for place, plug in enumerate(value):
                yield from walked(plug, f"{key}.{place}.")
        else:
            yield Key(key, typed(value), told.get(field, ""))


def typed(value: object) -> str:
    """A value as it is typed on the command line."""
    if value is None:
        return "none"
    if value == ():
        return "()"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def meanings(cls: type[Settings]) -> dict[str, str]:
    """What the Attributes of a class's docstring, and of its bases', say of each field."""
    found: dict[str, str] = {}
    for base in reversed([c for c in cls.__mro__ if issubclass(c, Settings)]):
        text = inspect.getdoc(base) or ""
        part = text.partition("Attributes:\n")[2].partition("\n\n")[0]
        for name, said in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", part, re.MULTILINE):
            found[name] = " ".join(said.split())
    return found
