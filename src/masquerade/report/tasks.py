"""What protocols measure that is no top-1: segmentation, detection, retrieval, clusters, gaps."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import NamedTuple

from masquerade.report.read import Story
from masquerade.report.tables import BASES, PROTOCOLS, Cell, Row, Table, row_names
from masquerade.report.words import NONE, percent


class Figure(NamedTuple):
    """A main figure of a protocol.

    Attributes:
        name: What the field calls it.
        lower: Whether less is better.
    """

    name: str
    lower: bool = False


FIGURES = {
    "miou": Figure("mIoU"),
    "pixels": Figure("pixel accuracy"),
    "ap": Figure("AP"),
    "ap50": Figure("AP50"),
    "ap75": Figure("AP75"),
    "mask_ap": Figure("mask AP"),
    "mask_ap50": Figure("mask AP50"),
    "map": Figure("mAP"),
    "recall1": Figure("recall at 1"),
    "nmi": Figure("NMI"),
    "ari": Figure("ARI"),
    "acc": Figure("accuracy"),
    "gap": Figure("gap", lower=True),
    "mce": Figure("mCE", lower=True),
    "relative_mce": Figure("relative mCE", lower=True),
}


class Task(NamedTuple):
    """One figure of one protocol on one set of images: `segment`, `test`, `miou`."""

    protocol: str
    split: str
    metric: str

    @property
    def figure(self) -> Figure:
        """What it measures."""
        return FIGURES[self.metric]

    @property
    def head(self) -> str:
        """`Segmentation, test: mIoU`."""
        name = PROTOCOLS.get(self.protocol, self.protocol)
        return f"{name}, {self.split}: {self.figure.name}"

    def of(self, story: Story, row: str = "trained") -> float | None:
        """The figure of an encoder, None if it was not measured."""
        found = story.results.get(self.protocol, {}).get("rows", {}).get(row)
        value = found.get(f"{self.split}/{self.metric}") if isinstance(found, dict) else None
        return float(value) if isinstance(value, int | float) else None

    def best(self, values: Sequence[float]) -> float:
        """The best of some figures."""
        return min(values) if self.figure.lower else max(values)


def tasks(stories: Sequence[Story]) -> list[Task]:
    """Every figure that some encoder of some run has, those of one protocol together."""
    found = {
        Task(protocol, split, metric)
        for story in stories
        for protocol, result in story.results.items()
        for row in result["rows"].values()
        if isinstance(row, dict)
        for key, value in row.items()
        for split, _, metric in [key.partition("/")]
        if metric in FIGURES and isinstance(value, int | float)
    }
    protocols, figures = list(PROTOCOLS), list(FIGURES)
    return sorted(
        found,
        key=lambda t: (
            protocols.index(t.protocol) if t.protocol in protocols else len(protocols),
            t.protocol,
            t.split != "test",
            t.split,
            figures.index(t.metric),
        ),
    )


def results(groups: Sequence[Sequence[Story]]) -> Table | None:
    """A line for each figure, runs and baselines beside each other; None if there is none.

    Args:
        groups: Runs that differ only in their seed are one group; the first is the page's own,
            and the baselines are its.
    """
    wanted = tasks([story for group in groups for story in group])
    if not wanted:
        return None
    sides = [(group[0].name, group, "trained") for group in groups]
    sides += [(BASES.get(row, row), groups[0], row) for row in row_names(groups[0])]
    lines = [
        [[v for s in group if (v := task.of(s, row)) is not None] for _, group, row in sides]
        for task in wanted
    ]
    kept = [k for k in range(len(sides)) if any(line[k] for line in lines)]
    rows = [
        Row(task.head, "lower is better" if task.figure.lower else "", cells(task, line, kept))
        for task, line in zip(wanted, lines, strict=True)
    ]
    note = "\N{PLUS-MINUS SIGN}: standard deviation over runs that differ only in their seed."
    return Table(
        "What other tasks measure, in %. Bold: the best of its line.",
        [sides[k][0] for k in kept],
        rows,
        note if any(len(group) > 1 for group in groups) else "",
    )


def cells(task: Task, line: Sequence[Sequence[float]], kept: Sequence[int]) -> list[Cell]:
    """The means of a line, the best of them marked where there are several."""
    means = {k: mean(line[k]) for k in kept if line[k]}
    top = percent(task.best(list(means.values())))
    made = []
    for k in kept:
        if k not in means:
            made.append(Cell(NONE))
            continue
        spread = f"± {100 * stdev(line[k]):.1f}" if len(line[k]) > 1 else ""
        text = percent(means[k])
        made.append(Cell(text, spread, len(means) > 1 and text == top))
    return made


def sentence(group: Sequence[Story]) -> str:
    """`Segmentation, test: mIoU 31.0 %`, beside the untrained network; empty without a figure."""
    for task in tasks(group):
        values = [v for story in group if (v := task.of(story)) is not None]
        if values:
            fresh = [v for s in group if (v := task.of(s, "untrained")) is not None]
            beside = f"; the same network untrained: {percent(mean(fresh))}" if fresh else ""
            return f"{task.head} {percent(mean(values))}{beside}."
    return ""
