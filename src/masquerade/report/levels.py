"""Charts of a search for tickets against what is left, on a logarithmic axis: scores, landscape."""

import math
from typing import Any

import numpy as np

from masquerade.core.rundir import RunDir
from masquerade.jobs.landscape import LANDSCAPE
from masquerade.report.figures import LEFT, RIGHT, WIDTH, Chart, Curve, Tick, chart
from masquerade.report.intervals import interval
from masquerade.report.read import Series

LEVELS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)  # marks of the logarithmic axis


def curve(found: dict[str, Any], name: str, slot: int) -> Curve:
    """A method's mean score over -log10 of what is left, with its interval where there is one."""
    seeds = list(found["scores"][name].values())
    left = np.array([-math.log10(max(row["remaining"], 1e-6)) for row in seeds[0]])
    each = [interval([rows[k]["final"] for rows in seeds]) for k in range(len(left))]
    mean, low, high = (np.array(column) for column in zip(*each, strict=True))
    band = (low, high) if len(seeds) > 1 else None
    return Curve(name, Series(left, mean, 0), slot, name[:2], band)


def beside(found: dict[str, Any], slot: int) -> list[Curve]:
    """What the searches are compared with, in the range of theirs; a list of one or none."""
    other = found.get("baseline")  # not there in runs of earlier versions
    if not other:
        return []
    least = min(rows[-1]["remaining"] for m in found["scores"].values() for rows in m.values())
    levels = [(left, score) for left, score in other["levels"][::-1] if left >= least]
    left, score = (np.array([level[k] for level in levels]) for k in (0, 1))
    return [Curve(other["name"], Series(-np.log10(left), score, 0), slot, other["name"][:2])]


def scores(found: dict[str, Any], title: str = "Score") -> Chart | None:
    """The chart of all methods."""
    curves = [curve(found, name, slot) for slot, name in enumerate(found["scores"], 1)]
    curves += beside(found, len(curves) + 1)
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
    marks = [
        (-math.log10(level) / max(last, 1.0), f"{level:.0%}")
        for level in LEVELS
        if -math.log10(level) <= last + 1e-9
    ]
    return marked(drawn, marks)


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
    return [*drawn, between(found)]


def between(found: dict[str, Any]) -> Chart | None:
    """Scores on the way from the optimum of the last level but one to that of the last."""
    curves = []
    for slot, (method, seeds) in enumerate(found["found"].items(), 1):
        last = [[row["line"] for row in rows if "line" in row][-1:] for rows in seeds.values()]
        lines = np.array([line[0] for line in last if line])
        if len(lines):
            share = np.linspace(0, 1, lines.shape[1])
            curves.append(Curve(method, Series(share, lines.mean(axis=0), 0), slot, method[:2]))
    drawn = chart(
        "Between the last two levels",
        f"Test {found['measure']} on the straight line from one optimum to the next.",
        curves,
        smooth=False,
        axis="share of the sparser",
    )
    return drawn and marked(drawn, [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")])


def marked(drawn: Chart, marks: list[tuple[float, str]]) -> Chart:
    """A chart with other marks below: how far across, from 0 to 1, and what stands there."""
    room = WIDTH - LEFT - RIGHT
    across = [Tick(LEFT + share * room, text) for share, text in marks]
    # What is read off by pointing has whole numbers across, which these charts do not have.
    return drawn._replace(across=across, lines=[n._replace(read="") for n in drawn.lines])
