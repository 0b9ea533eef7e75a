"""`masquerade table NAME`: a paper's table, ours beside it; or what that would cost."""

from masquerade import tables
from masquerade.cli import sheeting, show
from masquerade.cli.words import most, sorted_out
from masquerade.engine.meter import duration
from masquerade.jobs.certify_settings import Certify
from masquerade.jobs.settings import Pretrain
from masquerade.recipes import base
from masquerade.recipes.sheets import sheets
from masquerade.report import paper_table

OWN = ("out", "scale", "seeds", "only", "dry_run", "devices", "seed")
USAGE = "masquerade table NAME scale=small seeds=3"


def run(words: list[str], as_json: bool) -> None:
    """Run what is missing of a table and print it."""
    told = sorted_out(words, OWN, (*Pretrain.model_fields, *Certify.model_fields))
    if not told.targets:
        names = [*base.tables(), *sheets()]
        raise ValueError(f"name a table: {USAGE}. Tables: {', '.join(names)}")
    most(told.targets, 1, USAGE)
    if told.targets[0] in {n for full in sheets() for n in (full, full.rpartition(".")[2])}:
        sheeting.run(told, as_json)
        return
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
    short = wanted.name if wanted.scale == "small" else f"{wanted.name}-{wanted.scale}"
    done = tables.run(wanted, given.get("out", f"runs/tables/{short}"), show.say)
    content = done.read_json(tables.CONTENT)
    if as_json:
        show.as_json(content)
        return
    grid = paper_table.grid(content)
    show.heading(content["title"])
    show.table(grid.heads, grid.rows)
    for text in paper_table.said(content):
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
