"""A paper's table, run cell by cell: train, measure, put the paper's number and ours side by side.

Every cell is an ordinary run in a folder of its own, so that what is done is never done again: a
table that was cut goes on, more seeds are added to those there are, and several machines that
share a disk may each take some rows (`only=`).
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir
from masquerade.jobs import dryrun
from masquerade.jobs import evaluate as evaluating
from masquerade.jobs import pretrain as training
from masquerade.jobs.settings import Pretrain, fitting
from masquerade.jobs.tablefolder import claim
from masquerade.recipes.base import Cell, Table, table
from masquerade.report import paper_table

Say = Callable[[str], None]


class Wanted(NamedTuple):
    """Which part of which table, and with what changes.

    Attributes:
        name: Of the table, `adversarial_masking.linear`.
        scale: `paper`, `small` or `smoke`.
        seeds: Runs of each cell, with the seeds 0, 1, ...
        only: Only cells whose row or column holds this text; all where it is empty.
        settings: `key=value` changes to every run.
    """

    name: str
    scale: str = "small"
    seeds: int = 3
    only: str = ""
    settings: tuple[str, ...] = ()

    def cells(self, whole: Table) -> list[Cell]:
        """The cells that are wanted.

        Raises:
            ValueError: There are none, or a change is no setting of theirs.
        """
        word = self.only.lower()
        found = [c for c in whole.cells if word in c.row.lower() or word in c.column.lower()]
        if not found:
            have = ", ".join(dict.fromkeys([c.row for c in whole.cells]))
            raise ValueError(f"no row or column of {self.name} holds {self.only!r}. Rows: {have}")
        for cell in found:
            self.config(cell, 0)
        return found

    def config(self, cell: Cell, seed: int) -> Pretrain:
        """The settings of one run."""
        return cell.settings.override([*self.settings, f"seed={seed}"])


class Price(NamedTuple):
    """What the runs of one cell would take."""

    cell: Cell
    cost: dryrun.Cost


def run(wanted: Wanted, out: str | Path, say: Say = print) -> RunDir:
    """Run what is missing of a table; returns its folder with table.json, .md and .html.

    All cells with one seed come first, then the next seed, and the three files are written after
    every run. A cell whose images are not there is left out, and that is said.

    Raises:
        ValueError: No such table, scale, row or setting.
        MissingData: Nothing could be run: no images are there.
        CannotResume: The folder holds another table, or runs with other settings.
    """
    if wanted.seeds < 1:
        raise ValueError(f"seeds must be 1 or more, got {wanted.seeds}")
    whole = table(wanted.name, wanted.scale)
    cells = wanted.cells(whole)
    folder = RunDir(out)
    begun = any(folder.path.glob("*/seed-*/config.json"))
    claim(folder, wanted.name, wanted.scale, wanted.settings, {"cells": []}, begun)
    missing: dict[str, str] = {}
    for seed in range(wanted.seeds):
        for cell in cells:
            place = folder.path / slug(cell) / f"seed-{seed}"
            said = f"{cell.row}, {cell.column}"
            if said in missing:
                continue
            say(f"{said}: run {seed + 1} of {wanted.seeds}")
            try:
                trained(wanted.config(cell, seed), wanted, place, say)
                measured(cell, RunDir(place), say)
            except MissingData as error:
                missing[said] = str(error)
                say(f"left out: {error}")
                continue
            paper_table.write(folder, collected(wanted, whole, folder, missing))
    if len(missing) == len(cells):
        raise MissingData("\n".join(dict.fromkeys(missing.values())))
    paper_table.write(folder, collected(wanted, whole, folder, missing))
    return folder


def prices(wanted: Wanted, say: Say) -> list[Price]:
    """What each cell would take, measured on a few steps; of one seed.

    Raises:
        ValueError: No such table, scale, row or setting.
        MissingData: The images of a cell are not there.
    """
    cells = wanted.cells(table(wanted.name, wanted.scale))
    alone = {slug(cell): cell for cell in reversed(cells)}  # the first of each run
    return [Price(c, dryrun.run(wanted.config(c, 0), say)) for c in reversed(alone.values())]


def slug(cell: Cell) -> str:
    """The folder of a cell's run: its row, and its column or what it shares, in plain letters."""
    words = f"{cell.row} {cell.trained or cell.column}"
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def trained(config: Pretrain, wanted: Wanted, place: Path, say: Say) -> None:
    """Train one run of a cell, or go on with it."""
    asked = any(text.startswith("batch=") for text in wanted.settings)
    training.run(config if asked else fitting(config, say), place, say)


def measured(cell: Cell, run: RunDir, say: Say) -> None:
    """Measure a run as its cell asks; what is measured already stays."""
    found = run.results("eval")
    done = {
        name
        for name, protocol in cell.protocols.items()
        if found.get(name, {}).get("protocol") == protocol.tree() and scores(cell, name, [run])
    }
    todo = {name: p for name, p in cell.protocols.items() if name not in done}
    if todo:
        plain = evaluating.Evaluate.of(run, [], {})
        config = plain.replace(
            data=cell.data or plain.data,
            protocols=todo,
            train=cell.fitted,
            tests=(cell.split,),
            baselines=False,
        )
        evaluating.run(config, run, say)


def collected(
    wanted: Wanted, whole: Table, folder: RunDir, missing: dict[str, str]
) -> dict[str, Any]:
    """The content of table.json: every cell with the paper's number and all of ours there are."""
    cells = []
    for cell in whole.cells:
        runs = [RunDir(p) for p in sorted((folder.path / slug(cell)).glob("seed-*"))]
        runs = [r for r in runs if r.has("summary.json")]
        ours = {name: summed(scores(cell, name, runs)) for name in cell.protocols}
        seconds = [float(r.read_json("summary.json")["cpu_seconds"]) for r in runs]
        cells.append(
            {
                "row": cell.row,
                "column": cell.column,
                "paper_column": cell.paper_column or cell.column,
                "published": cell.published._asdict() if cell.published else None,
                "ours": ours,
                "runs": [str(r.path.relative_to(folder.path)) for r in runs],
                "cpu_seconds": mean(seconds) if seconds else None,
            }
        )
    return {
        "name": wanted.name,
        "scale": wanted.scale,
        "settings": list(wanted.settings),
        "title": whole.title,
        "paper": whole.paper,
        "notes": list(whole.notes),
        "missing": missing,
        "cells": cells,
        "gains": gains(cells),
    }


def scores(cell: Cell, protocol: str, runs: Sequence[RunDir]) -> dict[str, float]:
    """The cell's metric in percent by run, of the runs that are measured."""
    found = {}
    whole = cell.metric if "/" in cell.metric else f"{cell.split}/{cell.metric}"
    for run in runs:
        rows = run.results("eval").get(protocol, {}).get("rows", {})
        value = rows.get("trained", {}).get(whole)
        if value is not None:
            found[run.path.name] = 100 * float(value)
    return found


def summed(values: dict[str, float]) -> dict[str, Any] | None:
    """Mean, standard deviation and range over seeds; None without a value."""
    if not values:
        return None
    each = list(values.values())
    return {
        "mean": mean(each),
        "sd": stdev(each) if len(each) > 1 else None,
        "low": min(each),
        "high": max(each),
        "values": values,
    }


def gains(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each row has over the first of its column, in the paper and here.

    Ours are differences of runs with equal seeds: their mean, and their standard deviation.
    """
    found = []
    for column in dict.fromkeys(cell["column"] for cell in cells):
        first, *rest = [cell for cell in cells if cell["column"] == column]
        for cell in rest:
            both = (cell["published"], first["published"])
            protocol = next(iter(cell["ours"]))
            ours = paired(cell["ours"][protocol], first["ours"].get(protocol))
            if all(both) or ours:
                found.append(
                    {
                        "row": cell["row"],
                        "over": first["row"],
                        "column": column,
                        "published": both[0]["mean"] - both[1]["mean"] if all(both) else None,
                        "ours": ours,
                    }
                )
    return found


def paired(one: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any] | None:
    """The differences of two cells, seed by seed; None where they share none."""
    if not one or not other:
        return None
    shared = sorted(set(one["values"]) & set(other["values"]))
    return summed({seed: one["values"][seed] - other["values"][seed] for seed in shared})
