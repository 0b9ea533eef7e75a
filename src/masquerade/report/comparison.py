"""Runs side by side: those that differ only in their seed are one, with mean and range."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from masquerade.core.rundir import RunDir
from masquerade.jobs import painting
from masquerade.report import standing
from masquerade.report.figures import Chart, chart
from masquerade.report.gallery import gallery
from masquerade.report.groups import differences, group_names, grouped
from masquerade.report.read import Story, story
from masquerade.report.spread import averaged, over_cpu_time, over_seeds
from masquerade.report.template import rendered
from masquerade.report.troubles import findings, healthy
from masquerade.report.words import NONE, span

PAGE = "comparison.html"
STRIPS = 4  # pictures of ranges; the table has the rest
ORDER = ("Linear, test", "kNN, test", "Mask IoU", "Mask ARI", "CPU time", "Steps")
FEW = 14  # differing settings that are shown without a click


def write(runs: Sequence[RunDir]) -> Path:
    """Write `comparison.html` into the folder of the first run and say where it lies.

    Args:
        runs: In the order in which they are shown. Those that differ in nothing but their seed
            are one group; a folder named twice counts once.

    Raises:
        MissingData: One of the folders holds no run.
    """
    distinct = {run.path.resolve(): run for run in runs}
    stories = [story(run) for run in distinct.values()]
    return runs[0].write_text(PAGE, rendered("comparison.html.jinja", content(stories)))


def content(stories: Sequence[Story]) -> dict[str, Any]:
    """What the template is filled with."""
    groups = grouped(stories)
    names = group_names(groups)
    wanted = best_first(standing.measures(groups))
    mood, sentence, detail = standing.leader(groups, names)
    strips = [s for m in wanted if m.kind != "count" and (s := standing.strip(m, groups, names))]
    differing = differences(groups)
    return {
        "title": titled(groups, names),
        "mood": mood,
        "verdict": sentence,
        "detail": detail,
        "legend": list(enumerate(names, 1)),
        "strips": strips[:STRIPS],
        "standing": standing.standing(groups, names, wanted),
        "health": [(n, findings(g)) for n, g in zip(names, groups, strict=True)],
        "gallery": gallery(groups, names),
        "colours": painting.COLOURS,
        "charts": curves(groups, names),
        "several": any(len(group) > 1 for group in groups),
        "names": names,
        "differences": differing,
        "open": len(differing) <= FEW,
        "runs": [entry(name, told) for name, g in zip(names, groups, strict=True) for told in g],
        "again": " ".join(shlex.quote(str(told.run.path)) for told in stories),
        "troubles": [f"{told.folder}: {text}" for told in stories for text in told.troubles],
    }


def titled(groups: Sequence[Sequence[Story]], names: Sequence[str]) -> str:
    """`5 ways of training side by side, 15 runs`."""
    count = sum(len(group) for group in groups)
    if len(groups) == 1:
        return f"{names[0]}: {count} runs that differ only in their seed"
    runs = "" if count == len(groups) else f", {count} runs"
    return f"{len(groups)} ways of training, side by side{runs}"


def best_first(found: Sequence[standing.Measure]) -> list[standing.Measure]:
    """Measures in the order in which they matter: linear, kNN, masks, cost, then the rest."""

    def rank(measure: standing.Measure) -> int:
        return next((k for k, o in enumerate(ORDER) if measure.head.startswith(o)), len(ORDER))

    return sorted(found, key=rank)


def curves(groups: Sequence[Sequence[Story]], names: Sequence[str]) -> list[Chart]:
    """One line per group, a band from its lowest to its highest seed."""
    lines = list(zip(names, groups, strict=True))
    found = []
    for plot in PLOTS:
        drawn = [
            over_seeds(name, slot, [plot.series(told) for told in group], plot.axis == "steps")
            for slot, (name, group) in enumerate(lines, 1)
        ]
        found.append(
            chart(
                plot.title,
                plot.about,
                drawn,
                smooth=False,
                share=plot.share,
                floor=plot.floor,
                axis=plot.axis,
            )
        )
    return [c for c in found if c is not None]


class Plot(NamedTuple):
    """What a chart of the comparison shows; `mean` averages a number over a run's masks."""

    title: str
    about: str
    key: str
    share: bool = False
    floor: float | None = None
    axis: str = "steps"
    mean: bool = False

    def series(self, told: Story) -> Any:
        """The number of one run."""
        if self.axis != "steps":
            return over_cpu_time(told, self.key)
        return averaged(told, self.key) if self.mean else told.series(self.key)


PLOTS = (
    Plot(
        "Right answers while training",
        "Of a linear classifier trained along on the features, on training images.",
        "probe/top1",
        share=True,
        floor=0.0,
    ),
    Plot(
        "The same for equal CPU time",
        "Who hides more pays more for each step.",
        "probe/top1",
        share=True,
        floor=0.0,
        axis="CPU minutes",
    ),
    Plot(
        "Encoder loss",
        "Those that hide more have a harder task: a lower loss is no better result.",
        "encoder/loss",
    ),
    Plot(
        "Directions in use (RankMe)",
        "How many directions of the embedding carry something.",
        "health/rankme",
        floor=0.0,
    ),
    Plot(
        "How much harder the masks make it",
        "Loss of masked minus whole views, a mean over masks. 0: the masks do nothing.",
        "masker/gain",
        floor=0.0,
        mean=True,
    ),
    Plot(
        "Undecided masks",
        "0 %: parts are cut out. 100 %: every pixel is dimmed alike.",
        "masker/dimming",
        share=True,
        floor=0.0,
    ),
    Plot(
        "Image dependence of the masks",
        "0 %: the same places in every image.",
        "masker/image_dependence",
        share=True,
        floor=0.0,
    ),
    Plot(
        "Overlap of the masks",
        "Cosine of two masks of an image; 1: they are equal.",
        "masker/overlap",
        floor=0.0,
    ),
)


def entry(name: str, told: Story) -> list[str]:
    """One run in a line: group, seed, folder, steps, CPU time, whether it is healthy."""
    known = {None: NONE, True: "yes", False: "no"}
    spent = span(told.cpu_seconds) if told.cpu_seconds else NONE
    steps = f"{told.steps:,}" if told.finished else f"{told.progress.removesuffix(' steps')} so far"
    seed = str(told.config.get("seed", "?"))
    return [name, seed, str(told.run.path), steps, spent, known[healthy(told)]]
