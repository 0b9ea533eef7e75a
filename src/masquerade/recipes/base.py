"""Recipes and tables by name, one file per paper.

A recipe is a function from a scale to the settings of a run, a table one to the cells of a
paper's table: what was published beside the settings that give ours.
"""

import importlib
import inspect
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple, get_args

from masquerade.core import plugins
from masquerade.data.sources.base import SourceConfig
from masquerade.evaluate.base import ProtocolConfig
from masquerade.jobs.settings import Pretrain
from masquerade.jobs.tickets import Tickets

FAMILY = "masquerade.recipes"
Scale = Literal["paper", "small", "smoke"]
SCALES: tuple[Scale, ...] = get_args(Scale)


class Published(NamedTuple):
    """A number of a paper, in percent; None where no deviation is given."""

    mean: float
    sd: float | None = None


class Cell(NamedTuple):
    """One number of a table and how ours comes about.

    Attributes:
        row: The method.
        column: The images and how the encoder is measured on them.
        settings: Of the run, but for the seed.
        protocols: How its encoder is measured, by name; the first gives the number that stands
            beside the paper's.
        split: The part of the images that is measured on.
        published: The paper's number, None where it has none or where we could not read it.
        paper_column: The images of the paper's number, where ours stand in for them.
        trained: What the folder of its run is called beside the row, where several columns measure
            one run; "" gives each cell a run of its own. Such cells have protocols of other names.
        data: What is measured on, where it is not the images of the run.
        fitted: The split that protocols fit on; `auto` is `train`, or the first.
        metric: Of the results, after the split: `top1`, `top5`, `miou`, `ap`, ...; one with a
            slash is the whole name, as `imagenet_a/top1`.
    """

    row: str
    column: str
    settings: Pretrain
    protocols: Mapping[str, ProtocolConfig]
    split: str = "test"
    published: Published | None = None
    paper_column: str = ""
    trained: str = ""
    data: SourceConfig | None = None
    fitted: str = "auto"
    metric: str = "top1"


class Table(NamedTuple):
    """A table of a paper.

    Attributes:
        title: What it shows.
        paper: Where it was published.
        cells: Row by row.
        notes: What a reader must know to compare: other images, other protocols.
    """

    title: str
    paper: str
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()


Recipe = Callable[[Scale], Pretrain]
Tabled = Callable[[Scale], Table]


def recipes() -> dict[str, Recipe]:
    """Every recipe by its full name, `adversarial_masking.sequential`."""
    return functions(Pretrain)


def searches() -> dict[str, Callable[[Scale], Tickets]]:
    """Every recipe of a search for tickets by its full name, `evolution_tickets.digits`."""
    return functions(Tickets)


def tables() -> dict[str, Tabled]:
    """Every table by its full name, `adversarial_masking.linear`."""
    return functions(Table)


def recipe(name: str, scale: str = "small") -> Pretrain:
    """The settings of a recipe; the file may be left out where the name is unique.

    Raises:
        ValueError: There is no such recipe or scale.
    """
    found = recipes()
    return found[one(name, found, "recipe or run", "Recipes")](known(scale))


def search(name: str, scale: str = "small") -> Tickets:
    """The settings of a search for tickets; the file may be left out where the name is unique.

    Raises:
        ValueError: There is no such recipe or scale.
    """
    found = searches()
    return found[one(name, found, "recipe of tickets or run", "Recipes")](known(scale))


def table(name: str, scale: str = "small") -> Table:
    """A table; the file may be left out where the name is unique.

    Raises:
        ValueError: There is no such table or scale.
    """
    return tables()[full(name)](known(scale))


def full(name: str) -> str:
    """The full name of a table; raises `ValueError` where there is none or more than one."""
    return one(name, tables(), "table", "Tables")


def known(scale: str) -> Scale:
    """The scale; raises `ValueError` for any other word."""
    for one in SCALES:
        if scale == one:
            return one
    raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}")


def functions(result: type) -> dict[str, Any]:
    """The functions of this folder that take a scale and give this, by full name."""
    found = {}
    for file in plugins.folder(FAMILY).glob("[!_]*.py"):
        module = importlib.import_module(f"{FAMILY}.{file.stem}")
        for name, value in inspect.getmembers(module, inspect.isfunction):
            ours = value.__module__ == module.__name__ and not name.startswith("_")
            takes = list(inspect.signature(value).parameters) == ["scale"]
            if ours and takes and inspect.signature(value).return_annotation is result:
                found[f"{file.stem}.{name}"] = value
    return dict(sorted(found.items()))


def one(name: str, named: Collection[str], noun: str, plural: str) -> str:
    """The full name of what is called so, in full or without its file.

    Raises:
        ValueError: Nothing is, or several are; the text names the nearest.
    """
    matches = [n for n in named if n == name or n.rpartition(".")[2] == name]
    if len(matches) == 1:
        return matches[0]
    short = [n.rpartition(".")[2] for n in named]
    near = get_close_matches(name, [*named, *short], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    problem = f"{name!r} is not unique" if matches else f"no {noun} is called {name!r}"
    raise ValueError(f"{problem}.{hint} {plural}: {', '.join(matches or named)}")
