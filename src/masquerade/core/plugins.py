"""A method's name is its module: `sequential` is `masquerade.maskers.sequential`.

The file is the registry. A name without a dot is a module of the family's folder; a name with
dots is somebody else's module, found on the Python path or in the current folder; a file of the
current folder needs no dot. Listing a family reads the first docstring line of each file
without importing it.
"""

import ast
import importlib
import importlib.util
import os
import sys
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import NamedTuple


class Plugin(NamedTuple):
    """One module of a family: its short name and the first line of its docstring."""

    name: str
    summary: str


def names(family: str) -> list[str]:
    """The modules in a family's folder (`masquerade.maskers`) that have a `Config`."""
    return [f.stem for f in sorted(folder(family).glob("*.py")) if configures(f)]


def configures(path: Path) -> bool:
    """Whether a Python file defines a class `Config`, read without running it."""
    return "class Config(" in path.read_text(encoding="utf-8")


def listed(family: str, extra: tuple[str, ...] = ()) -> list[Plugin]:
    """Every plug-in of a family with its summary; `extra` are dotted paths of the user's own."""
    ours = [Plugin(n, summary(folder(family) / f"{n}.py")) for n in names(family)]
    theirs = [Plugin(n, summary(Path(imported(n).__file__ or ""))) for n in extra]
    return ours + theirs


def module(family: str, name: object, noun: str) -> ModuleType:
    """The module a name stands for; `noun` is what the family is called in messages.

    Raises:
        ValueError: There is no such module; the text names the nearest one.
    """
    if not isinstance(name, str) or name.startswith("."):
        raise ValueError(f"a {noun} is named by its file or its dotted path, got {name!r}")
    if "." in name:
        return imported(name)
    if name not in names(family):
        if Path(f"{name}.py").is_file():
            return imported(name)
        known = names(family)
        near = get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no {noun} is called {name!r}.{hint} There are: {', '.join(known)}")
    return importlib.import_module(f"{family}.{name}")


def short(family: str, qualified: str) -> str:
    """The name that finds a module again: its file name if it is ours, else its dotted path."""
    package, _, name = qualified.rpartition(".")
    return name if package == family else qualified


def folder(family: str) -> Path:
    """Where the modules of a family lie."""
    spec = importlib.util.find_spec(family)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"{family} is not a package")
    return Path(spec.submodule_search_locations[0])


def summary(path: Path) -> str:
    """The first docstring line of a Python file, read without running it."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def imported(dotted: str) -> ModuleType:
    """Somebody else's module, looked for in the current folder too."""
    here = os.getcwd()  # noqa: PTH109  (sys.path wants a string)
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError as error:
        if error.name and dotted.startswith(error.name):
            raise ValueError(
                f"no module {dotted!r} on the Python path or under {here}; "
                "a plug-in of your own is named by its dotted path, as in my_package.my_masker"
            ) from None
        raise
