"""Every number of a protocol that has many: each corruption, each budget of an attack."""

import re

import numpy as np

from masquerade.report.figures import Chart, Curve, chart
from masquerade.report.read import Series, Story
from masquerade.report.tables import BASES, PROTOCOLS, Cell, Row, Table
from masquerade.report.words import NONE, percent

OTHERS = ("", "grid", "best")  # before the names of what one more probe of the same kind reaches


def details(story: Story) -> list[Table]:
    """One table for each protocol and set that has more than how often a probe is right."""
    found = []
    for protocol, result in story.results.items():
        rows = {who: row for who, row in result["rows"].items() if isinstance(row, dict)}
        sets: dict[str, dict[str, None]] = {}
        for row in rows.values():
            for key in row:
                name, slash, metric = key.partition("/")
                if slash:
                    sets.setdefault(name, {})[metric] = None
        names = [BASES.get(who, story.name if who == "trained" else who) for who in rows]
        for name, metrics in sets.items():
            if any(metric.rpartition("_")[0] not in OTHERS for metric in metrics):
                lines = [
                    Row(
                        said(metric),
                        "",
                        [cell(metric, row.get(f"{name}/{metric}")) for row in rows.values()],
                        main=metric == "top1",
                    )
                    for metric in metrics
                ]
                caption = f"{PROTOCOLS.get(protocol, protocol)}, {name}"
                found.append(Table(caption, names, lines, ""))
    return found


ATTACKED = re.compile(r"(|noise_|blind_)linf_([0-9.]+)_top1")
LINES = {"": ("attacked", "A"), "noise_": ("random noise", "N"), "blind_": ("without labels", "B")}


def budgets(story: Story) -> list[Chart]:
    """Accuracy against the L-infinity budget of attacks, one chart for each test set."""
    row = story.results.get("robustness", {}).get("rows", {}).get("trained", {})
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for key, value in row.items() if isinstance(row, dict) else ():
        name, _, metric = key.partition("/")
        match = ATTACKED.fullmatch(metric)
        if match and isinstance(value, int | float):
            lines = found.setdefault(name, {kind: [] for kind in LINES})
            lines[match[1]].append((float(match[2]), float(value)))
    charts = []
    for name, lines in found.items():
        clean = row.get(f"{name}/clean_top1")
        start = [(0.0, float(clean))] if isinstance(clean, int | float) else []
        drawn = []
        for slot, (kind, points) in enumerate(lines.items(), start=1):
            if points:
                table = np.array(sorted([*start, *points]))
                series = Series(table[:, 0], table[:, 1], 0)
                drawn.append(Curve(LINES[kind][0], series, slot, LINES[kind][1]))
        made = chart(
            f"Accuracy under attack, {name}",
            "Test images named right after attacks of this size, noise of this size beside them.",
            drawn,
            smooth=False,
            share=True,
            floor=0.0,
            axis="budget in levels of 1/255",
        )
        charts += [made] if made else []
    return charts


def said(metric: str) -> str:
    """A metric in words: `noise_linf_2_top1` is "noise linf 2", `top1` the mean."""
    before, _, last = metric.rpartition("_")
    if metric == "top1":
        return "mean"
    return (before if last == "top1" else metric).replace("_", " ")


def cell(metric: str, value: object) -> Cell:
    """Shares as percent, budgets as they are."""
    if not isinstance(value, int | float):
        return Cell(NONE)
    return Cell(f"{value:g}" if metric.endswith("_budget") else percent(float(value)))
