"""A search for tickets as one HTML page: scores by what is left, masks, deviations, transfers."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from masquerade.core.rundir import RunDir
from masquerade.jobs import tickets
from masquerade.jobs.landscape import shelf
from masquerade.jobs.tickets import CONTENT, Tickets
from masquerade.report.figures import Chart, Curve, chart
from masquerade.report.intervals import Interval, interval
from masquerade.report.levels import ground, marked, scores
from masquerade.report.pictures import Cell, uri
from masquerade.report.read import Series
from masquerade.report.template import rendered

PAGE = "report.html"
BINS = 24


class Shown(NamedTuple):
    """A method's input masks: its name and one picture a level."""

    name: str
    cells: list[Cell]


def write(folder: RunDir, transfers: Sequence[RunDir] = ()) -> Path:
    """Write `report.html` into a search's folder and say where it lies.

    Args:
        folder: A finished search, or a transfer.
        transfers: Transfers that are shown below it.

    Raises:
        MissingData: One of them is not finished.
    """
    return folder.write_text(PAGE, rendered("tickets.html.jinja", content(folder, transfers)))


def content(folder: RunDir, transfers: Sequence[RunDir]) -> dict[str, Any]:
    """What the template is filled with."""
    found = folder.read_json(CONTENT)
    others = [(t.path.name, t.read_json(CONTENT)) for t in transfers]
    searched = "source" not in found
    return {
        "title": found["title"],
        "path": str(folder.path),
        "about": (
            f"{found['problem']}: {found['weights']:,} weights, {found['prunable']:,} of them "
            "prunable; biases always stay."
        ),
        "budget": budget(tickets.settings(folder)) if searched else "",
        "charts": [c for c in (scores(found), *ground(folder)) if c],
        "levels": table(found),
        "against": against(found),
        "notes": reached(found),
        "masks": masks(folder, found) if searched and found["problem"] == "images" else [],
        "spreads": [c for c in [spreads(folder, found)] if c] if searched else [],
        "transfers": [(name, scores(other, name)) for name, other in others],
        "matrix": matrix(others),
    }


def budget(config: Tickets) -> str:
    """How much was searched, in words."""
    parts = []
    for train in dict.fromkeys(method.train for method in config.methods.values()):
        names = [name for name, method in config.methods.items() if method.train == train]
        tree = train.tree()
        if "strategy" in tree:
            strategy = tree["strategy"]
            how = f"{strategy['kind']}, population {strategy['population']}, "
            how += f"{tree['generations']} generations a round"
        else:
            how = f"{tree['optimizer']['kind']}, {tree['epochs']} epochs a round"
        parts.append(f"{', '.join(names)}: {how}")
    problem, seeds = config.problem.tree(), len(config.seeds)
    if "horizon" in problem:
        parts.append(f"{problem['episodes']} episodes of at most {problem['horizon']} steps")
    parts.append(f"{config.rounds} rounds, {seeds} seed{'s' * (seeds > 1)}")
    return "; ".join(parts) + "."


def table(found: dict[str, Any]) -> dict[str, Any]:
    """The same as a table: heads, and a row for each level."""
    heads = list(found["scores"])
    rows = []
    columns = [list(seeds.values()) for seeds in found["scores"].values()]
    for k, level in enumerate(columns[0][0]):
        cells = []
        for runs in columns:
            one = interval([rows[k]["final"] for rows in runs])
            around = f" ({one.low:.4g} to {one.high:.4g})" if len(runs) > 1 else ""
            cells.append(f"{one.mean:.4g}{around}")
        rows.append((f"{level['remaining']:.1%}", cells))
    return {"heads": heads, "rows": rows}


def gaps(found: dict[str, Any], one: str, other: str, below: float) -> list[float]:
    """One method minus another: of each seed, the mean over levels with less left than `below`."""
    here, there = found["scores"][one], found["scores"][other]
    each = {
        seed: [
            row["final"] - there[seed][k]["final"]
            for k, row in enumerate(rows)
            if row["remaining"] < below
        ]
        for seed, rows in here.items()
    }
    return [sum(values) / len(values) for values in each.values() if values]


def paired(found: dict[str, Any], one: str, other: str) -> list[tuple[float, Interval]]:
    """At each level: what is left, and one method minus another, paired by seed."""
    here, there = found["scores"][one], found["scores"][other]
    return [
        (
            level["remaining"],
            interval([here[seed][k]["final"] - there[seed][k]["final"] for seed in here]),
        )
        for k, level in enumerate(next(iter(here.values())))
    ]


def against(found: dict[str, Any]) -> dict[str, Any] | None:
    """Signal-to-noise minus magnitude and minus descent at each level, as a table."""
    others = [n for n in ("magnitude", "descent") if n in found["scores"]]
    if "snr" not in found["scores"] or not others:
        return None
    columns = [paired(found, "snr", other) for other in others]
    several = len(found["scores"]["snr"]) > 1
    rows = []
    for k, (level, _) in enumerate(columns[0]):
        gaps = [column[k][1] for column in columns]
        cells = [
            f"{gap.mean:+.4f}" + (f" ({gap.low:+.4f} to {gap.high:+.4f})" if several else "")
            for gap in gaps
        ]
        rows.append((f"{level:.1%}", cells))
    return {"heads": [f"snr - {other}" for other in others], "rows": rows}


def reached(found: dict[str, Any]) -> list[str]:
    """A sentence on what the searches are compared with."""
    other = found.get("baseline")
    if not other:
        return []
    levels = (f"{score:.4g} with {left:.1%} left" for left, score in other["levels"])
    return [f"{other['name']} on the same features: {', '.join(levels)}"]


def masks(folder: RunDir, found: dict[str, Any]) -> list[Shown]:
    """How many weights each pixel keeps in the first layer, by method and level."""
    name, shape = next((n, s) for n, s, prunable in found["layout"] if prunable)
    side = math.isqrt(shape[0])
    if not name.startswith("dense") or side * side != shape[0]:
        return []
    start = sum(math.prod(s) for n, s, _ in found["layout"][: position(found, name)])
    shown = []
    for method, seeds in found["scores"].items():
        first = next(iter(seeds))
        rounds = shelf(folder, method, int(first))
        cells = []
        for number, level in enumerate(seeds[first], 1):
            kept = rounds.tensors(number)["kept"][start : start + math.prod(shape)]
            share = kept.reshape(shape).float().mean(dim=1).reshape(side, side).numpy()
            grey = (255 * share / max(float(share.max()), 1e-9)).astype(np.uint8)
            cells.append(
                Cell(
                    uri(np.kron(grey, np.ones((4, 4), np.uint8))),
                    f"{method}: {level['remaining']:.1%} left",
                )
            )
        shown.append(Shown(method, cells))
    return shown


def position(found: dict[str, Any], name: str) -> int:
    """The place of a leaf in the layout."""
    return [leaf[0] for leaf in found["layout"]].index(name)


def spreads(folder: RunDir, found: dict[str, Any]) -> Chart | None:
    """Histograms of the kept weights' deviations at the first, a middle and the last level."""
    for method, seeds in found["scores"].items():
        first, rows = next(iter(seeds.items()))
        rounds = shelf(folder, method, int(first))
        if "final/spread" not in rounds.tensors(1):
            continue
        logs = {}
        for number in dict.fromkeys((1, (len(rows) + 1) // 2, len(rows))):
            spread = rounds.tensors(number)["final/spread"]
            logs[rows[number - 1]["remaining"]] = spread[spread.isfinite()].log10()
        low, high = (float(f(torch.cat(list(logs.values())))) for f in (torch.min, torch.max))
        if not high > low:
            continue
        curves = []
        for slot, (level, values) in enumerate(logs.items(), 1):
            counts = torch.histc(values, BINS, low, high)
            share = (counts / counts.sum()).double().numpy()
            place = np.arange(BINS, dtype=np.float64)
            curves.append(Curve(f"{level:.1%} left", Series(place, share, 0), slot, str(slot)))
        drawn = chart(
            "Standard deviations",
            f"Of the kept weights after training, {method}, seed {first}; share of weights.",
            curves,
            smooth=False,
            share=True,
            floor=0.0,
            axis="standard deviation",
        )
        if drawn is None:
            return None
        return told(drawn, low, high, [float(values.median()) for values in logs.values()])
    return None


def told(drawn: Chart, low: float, high: float, medians: list[float]) -> Chart:
    """The histograms with deviations below and each median in the legend."""
    ends = [(k / 2, f"{10 ** (low + k / 2 * (high - low)):.2g}") for k in range(3)]
    chart = marked(drawn, ends)
    pairs = zip(chart.lines, medians, strict=True)
    return chart._replace(lines=[n._replace(last=f"median {10**m:.2g}") for n, m in pairs])


def matrix(others: Sequence[tuple[str, dict[str, Any]]]) -> list[tuple[str, list[str]]]:
    """Of each transfer: score of the transferred, native and random tickets at the last level."""
    rows = []
    for name, found in others:
        cells = []
        for row in ("transferred", "native", "random"):
            seeds = found["scores"].get(row)
            last = interval([rows[-1]["final"] for rows in seeds.values()]) if seeds else None
            cells.append(f"{last.mean:.4g}" if last else "-")
        rows.append((name, cells))
    return rows
