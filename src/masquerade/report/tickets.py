"""A search for tickets as one HTML page: scores by what is left, masks, deviations, transfers."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from masquerade.core.rundir import RunDir
from masquerade.jobs.landscape import LANDSCAPE, shelf
from masquerade.jobs.tickets import CONTENT
from masquerade.report.figures import LEFT, RIGHT, WIDTH, Chart, Curve, Tick, chart
from masquerade.report.intervals import Interval, interval
from masquerade.report.pictures import Cell, uri
from masquerade.report.read import Series
from masquerade.report.template import rendered

PAGE = "report.html"
LEVELS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)  # marks of the logarithmic axis
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
        "charts": [c for c in (scores(found), *ground(folder)) if c],
        "levels": table(found),
        "gain": gain(found),
        "masks": masks(folder, found) if searched and found["problem"] == "images" else [],
        "spreads": [c for c in [spreads(folder, found)] if c] if searched else [],
        "transfers": [(name, scores(other, name)) for name, other in others],
        "matrix": matrix(others),
    }


def curve(found: dict[str, Any], name: str, slot: int) -> Curve:
    """A method's mean score over -log10 of what is left, with its interval where there is one."""
    seeds = list(found["scores"][name].values())
    left = np.array([-math.log10(max(row["remaining"], 1e-6)) for row in seeds[0]])
    each = [interval([rows[k]["final"] for rows in seeds]) for k in range(len(left))]
    mean, low, high = (np.array(column) for column in zip(*each, strict=True))
    band = (low, high) if len(seeds) > 1 else None
    return Curve(name, Series(left, mean, 0), slot, name[:2], band)


def scores(found: dict[str, Any], title: str = "Score") -> Chart | None:
    """The chart of all methods."""
    curves = [curve(found, name, slot) for slot, name in enumerate(found["scores"], 1)]
    seeds = len(next(iter(found["scores"].values())))
    said = f"mean of {seeds} seeds, 95 % bootstrap interval" if seeds > 1 else "one seed"
    drawn = chart(
        title,
        f"Test {found['measure']} against the weights left ({said}).",
        curves,
        smooth=False,
        axis="weights left",
    )
    last = max(float(c.series.steps[-1]) for c in curves)
    return drawn and relabelled(drawn, last)


def relabelled(drawn: Chart, last: float) -> Chart:
    """The chart with percentages in the place of logarithms."""
    room = WIDTH - LEFT - RIGHT
    marks = [
        Tick(LEFT - math.log10(level) / max(last, 1.0) * room, f"{level:.0%}")
        for level in LEVELS
        if -math.log10(level) <= last + 1e-9
    ]
    lines = [line._replace(read="") for line in drawn.lines]  # its steps are logarithms
    return drawn._replace(across=marks, lines=lines)


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


def gaps(found: dict[str, Any], one: str, other: str, below: float = 2.0) -> list[float]:
    """Scores of one method minus another's: each seed at each level with less left than `below`."""
    here, there = found["scores"][one], found["scores"][other]
    return [
        row["final"] - there[seed][k]["final"]
        for seed, rows in here.items()
        for k, row in enumerate(rows)
        if row["remaining"] < below
    ]


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


def gain(found: dict[str, Any]) -> list[str]:
    """Sentences: signal-to-noise against magnitude at each level, paired by seed."""
    if not {"snr", "magnitude"} <= set(found["scores"]):
        return []
    return [
        f"{level:.1%} left: SNR minus magnitude {each.mean:+.4g} ({each.low:+.4g} to "
        f"{each.high:+.4g})"
        for level, each in paired(found, "snr", "magnitude")
    ]


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
        room = WIDTH - LEFT - RIGHT
        ends = [
            Tick(LEFT + k / 2 * room, f"{10 ** (low + k / 2 * (high - low)):.2g}") for k in range(3)
        ]
        return drawn._replace(across=ends, lines=[n._replace(read="") for n in drawn.lines])
    return None


def ground(folder: RunDir) -> list[Chart | None]:
    """Barriers and sharpness against what is left, where `masquerade tickets landscape` looked."""
    if not folder.has(LANDSCAPE):
        return []
    found = folder.read_json(LANDSCAPE)
    drawn = []
    for key, title, about in (
        ("barrier", "Barriers", "How far the line to the next level's optimum dips"),
        ("drop", "Sharpness", "What a random step of half the weights' length costs"),
    ):
        curves = []
        for slot, (method, seeds) in enumerate(found["found"].items(), 1):
            runs = [[row for row in rows if key in row] for rows in seeds.values()]
            left = np.array([-math.log10(max(row["remaining"], 1e-6)) for row in runs[0]])
            mean = [sum(run[k][key] for run in runs) / len(runs) for k in range(len(left))]
            curves.append(Curve(method, Series(left, np.array(mean), 0), slot, method[:2]))
        whole = chart(
            title, f"{about}, in {found['measure']}.", curves, smooth=False, axis="weights left"
        )
        last = max((float(c.series.steps[-1]) for c in curves if len(c.series.steps)), default=1.0)
        drawn.append(whole and relabelled(whole, last))
    return drawn


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
