"""`masquerade table NAME`: published numbers, ours beside them; or what that would cost."""

from collections.abc import Callable
from typing import Any

from masquerade import sheets, tables
from masquerade.cli import show
from masquerade.cli.words import Words, most, sorted_out
from masquerade.core.rundir import RunDir
from masquerade.engine.meter import duration
from masquerade.jobs.certify_settings import Certify
from masquerade.jobs.settings import Pretrain
from masquerade.jobs.tablefolder import CONTENT
from masquerade.recipes import base
from masquerade.recipes import sheets as certified
from masquerade.report import paper_table, sheet
from masquerade.report.grid import Grid

OWN = ("out", "scale", "seeds", "only", "dry_run", "devices", "seed")
USAGE = "masquerade table NAME scale=small seeds=3"
REFUSED = {  # by tables of certificates
    "seeds": "certificates have no seed: a model follows from its images",
    "devices": "runtime.accelerator= says where models are computed, workers= how many at once",
    "dry_run": "what networks cost follows from learner.epochs=, parts= and the images",
}


def run(words: list[str], as_json: bool) -> None:
    """Run what is missing of a table and print it."""
    told = sorted_out(words, OWN, (*Pretrain.model_fields, *Certify.model_fields))
    certificates = certified.sheets()
    if not told.targets:
        names = [*base.tables(), *certificates]
        raise ValueError(f"name a table: {USAGE}. Tables: {', '.join(names)}")
    most(told.targets, 1, USAGE)
    if told.targets[0] in {n for full in certificates for n in (full, full.rpartition(".")[2])}:
        of_certificates(told, as_json)
    else:
        of_paper(told, as_json)


def of_paper(told: Words, as_json: bool) -> None:
    """A paper's table of trained encoders, or its price."""
    given = told.reserved
    if "seed" in given:
        raise ValueError("a table takes seeds=, how many runs each cell has; they count from 0")
    devices = [f"runtime.devices={given['devices']}"] if "devices" in given else []
    wanted = tables.Wanted(
        name=base.full(told.targets[0]),
        scale=given.get("scale", "small"),
        seeds=told.whole("seeds", 3),
        only=given.get("only", ""),
        settings=(*devices, *told.settings),
    )
    if told.flag("dry_run"):
        show_prices(wanted, as_json)
        return
    done = tables.run(wanted, place(told, wanted.name, wanted.scale), show.say)
    printed(done, paper_table.grid, as_json)


def of_certificates(told: Words, as_json: bool) -> None:
    """A table of certificates."""
    for key, text in REFUSED.items():
        if key in told.reserved:
            raise ValueError(f"a table of certificates takes no {key}=: {text}")
    given = told.reserved
    wanted = sheets.Wanted(
        name=certified.full(told.targets[0]),
        scale=given.get("scale", "small"),
        only=given.get("only", ""),
        settings=tuple(told.settings),
    )
    done = sheets.run(wanted, place(told, wanted.name, wanted.scale), show.say)
    printed(done, sheet.grid, as_json)


def place(told: Words, name: str, scale: str) -> str:
    """The folder of a table: out=, or one that is called as it is."""
    short = name if scale == "small" else f"{name}-{scale}"
    return told.reserved.get("out", f"runs/tables/{short}")


def printed(done: RunDir, grid_of: Callable[[dict[str, Any]], Grid], as_json: bool) -> None:
    """Print a table that is run."""
    content = done.read_json(CONTENT)
    if as_json:
        show.as_json(content)
        return
    grid = grid_of(content)
    show.heading(content["title"])
    show.table(grid.heads, grid.rows)
    for text in grid.said:
        show.result(text)
    show.result(done.path / "table.html")


def show_prices(wanted: tables.Wanted, as_json: bool) -> None:
    """What the table would take, by cell and in all."""
    found = tables.prices(wanted, show.say)
    if as_json:
        cells = [{"row": p.cell.row, "column": p.cell.column, **p.cost._asdict()} for p in found]
        show.as_json({"seeds": wanted.seeds, "cells": cells})
        return
    rows = [
        [f"{p.cell.row}, {p.cell.column}", f"{p.cost.steps:,}", duration(p.cost.seconds)]
        for p in found
    ]
    total = wanted.seeds * sum(p.cost.seconds for p in found)
    show.table(("one seed", "steps", "time"), rows)
    seeds = f"{wanted.seeds} seed{'s' * (wanted.seeds > 1)}"
    show.result(f"{seeds}: {duration(total)} of training here; measuring comes on top")
