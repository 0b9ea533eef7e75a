"""How groups of runs stand beside each other: what is compared, ranges over seeds, who is ahead."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from masquerade.report.read import Story
from masquerade.report.spread import Spread, spread
from masquerade.report.tables import BASES, Cell, Column, Row, Table, columns, score
from masquerade.report.tasks import tasks
from masquerade.report.words import NONE, Score, doubt, gap, percent, points, span

Groups = Sequence[Sequence[Story]]
SAME_IMAGES = ("data", "split", "limit", "size", "normalise", "backbone")
NEVER = -1.0  # a best value that no baseline has, so that none is marked
DASH = "\N{EN DASH}"


class Measure(NamedTuple):
    """A number that every run may have.

    Attributes:
        head: What it is.
        about: How to read it.
        kind: A share in 0..1, one of which less is better, an index, seconds, or a count.
        of: The number of a run, None if it has none.
    """

    head: str
    about: str
    kind: Literal["share", "lower", "index", "time", "count"]
    of: Callable[[Story], float | None]

    def said(self, value: float, digits: int = 1) -> str:
        """A value in words."""
        if self.kind == "time":
            return span(value)
        if self.kind == "count":
            return f"{value:,.0f}"
        return percent(value, digits) if self.kind in ("share", "lower") else f"{value:.2f}"

    def best(self, values: Sequence[float]) -> float:
        """The best of some values; 0 of none."""
        return (min if self.kind == "lower" else max)(values, default=0.0)

    def over(self, group: Sequence[Story]) -> Spread | None:
        """The number over the seeds of a group."""
        return spread([v for told in group if (v := self.of(told)) is not None])


def measures(groups: Groups) -> list[Measure]:
    """What some run of some group was measured by: accuracies, masks, cost."""
    stories = [s for group in groups for s in group]
    found = [
        Measure(column.head, "Share of images named right.", "share", value(column))
        for column in columns(stories)
    ]
    found += [
        Measure(t.head, "", "lower" if t.figure.lower else "share", t.of) for t in tasks(stories)
    ]
    found += [
        Measure(f"Mask {name}, test", about, "index", mask_score(f"test/{key}"))
        for key, name, about in MASKS
    ]
    found.append(Measure("CPU time", "Of the training.", "time", lambda told: told.cpu_seconds))
    found.append(Measure("Steps", "Of the training.", "count", lambda told: float(told.steps)))
    return [m for m in found if any(m.over(group) for group in groups)]


MASKS = (
    ("iou", "IoU", "Overlap of the best mask with the exact outline of the object; 1 is perfect."),
    ("ari", "ARI", "All masks together against object and background; 1 is perfect, 0 chance."),
)


def value(column: Column) -> Callable[..., float | None]:
    """The number of a column, of a run's trained encoder or of another row."""

    def of(told: Story, row: str = "trained") -> float | None:
        found = score(told, column, row)
        return found.value if found else None

    return of


def mask_score(key: str) -> Callable[[Story], float | None]:
    """A number of a run's masks against exact ones."""

    def of(told: Story) -> float | None:
        found = told.mask_scores.get(key)
        return float(found) if isinstance(found, int | float) else None

    return of


def standing(groups: Groups, names: Sequence[str], wanted: Sequence[Measure]) -> Table:
    """Every group's means, from the lowest to the highest of its seeds; baselines below."""
    found = [[measure.over(group) for measure in wanted] for group in groups]
    best = [
        measure.best([s.mean for row in found if (s := row[k])]) for k, measure in enumerate(wanted)
    ]
    rows = []
    for name, group, spreads in zip(names, groups, found, strict=True):
        cells = [
            ranged(measure, s, top) for measure, s, top in zip(wanted, spreads, best, strict=True)
        ]
        rows.append(Row(name, seeds(group), cells))
    rows += baselines(groups, wanted)
    return Table(
        "Mean over seeds; behind it, small, the lowest and the highest. Bold: the best of its "
        "column.",
        [m.head for m in wanted],
        rows,
        " ".join(
            [*cautions(groups), *(f"{m.head}: {m.about}" for m in wanted if m.kind == "index")]
        ),
    )


def seeds(group: Sequence[Story]) -> str:
    """How many runs a group has."""
    return f"{len(group)} seeds" if len(group) > 1 else f"seed {group[0].config.get('seed', '?')}"


def ranged(measure: Measure, found: Spread | None, best: float) -> Cell:
    """A cell: the mean, then from the lowest to the highest."""
    if not found:
        return Cell(NONE)
    text = measure.said(found.mean)
    note = ""
    if len(found.each) > 1:
        low, high = (measure.said(v).replace("\N{NO-BREAK SPACE}%", "") for v in found[1:3])
        note = f"{low}{DASH}{high}" if low != high else ""
    top = measure.kind in ("share", "lower", "index") and text == measure.said(best)
    return Cell(text, note, top)


def baselines(groups: Groups, wanted: Sequence[Measure]) -> list[Row]:
    """Rows that do not depend on how a run was trained, where all runs see the same images."""
    stories = [s for group in groups for s in group]
    if not same_images(groups):
        return []
    by_head = {column.head: value(column) for column in columns(stories)}
    by_head |= {task.head: task.of for task in tasks(stories)}
    rows = []
    for base, name in BASES.items():
        cells = []
        for measure in wanted:
            of = by_head.get(measure.head)
            values = [v for s in stories if of and (v := of(s, base)) is not None]
            cells.append(ranged(measure, spread(list(dict.fromkeys(values))), NEVER))
        if any(cell.text != NONE for cell in cells):
            rows.append(Row(name, "", cells))
    return rows


def same_images(groups: Groups) -> bool:
    """Whether all runs have the same images and the same network."""
    first = groups[0][0].config
    return all(
        told.config.get(key) == first.get(key)
        for group in groups
        for told in group
        for key in SAME_IMAGES
    )


def cautions(groups: Groups) -> list[str]:
    """What makes these runs hard to compare, in sentences."""
    said = []
    if not same_images(groups):
        said.append(
            "These runs differ in their images or their network, not only in how they hide."
        )
    if len({told.steps for group in groups for told in group}) > 1:
        said.append("They were not all trained for as many steps.")
    spent = [
        m for group in groups if (m := spread([t.cpu_seconds for t in group if t.cpu_seconds]))
    ]
    if spent and max(s.mean for s in spent) > 1.3 * min(s.mean for s in spent):
        times = max(s.mean for s in spent) / min(s.mean for s in spent)
        said.append(f"The dearest cost {times:.1f} times the CPU time of the cheapest.")
    alone = [group for group in groups if len(group) == 1]
    if alone:
        said.append("Groups of one seed have no range: how much seeds differ is not known there.")
    return said


class Dot(NamedTuple):
    """A group in a picture of ranges; places are shares of the axis in 0..1."""

    name: str
    slot: int
    low: float
    high: float
    mean: float
    each: list[float]
    text: str


class Strip(NamedTuple):
    """One measure of all groups: every seed a dot, the mean a stroke."""

    head: str
    about: str
    first: str
    last: str
    dots: list[Dot]


def strip(measure: Measure, groups: Groups, names: Sequence[str]) -> Strip | None:
    """The ranges of all groups on one axis, None if nobody has the number."""
    found = [measure.over(group) for group in groups]
    known = [s for s in found if s]
    if not known:
        return None
    low, high = min(s.low for s in known), max(s.high for s in known)
    room = 0.12 * (high - low) or 0.05 * abs(high) or 0.05
    low, high = low - room, high + room
    if measure.kind == "share":  # an adjusted Rand index may be below 0
        low, high = max(low, min(0.0, min(s.low for s in known))), min(high, 1.0)

    def place(value: float) -> float:
        return (value - low) / (high - low)

    dots = []
    for slot, (name, s) in enumerate(zip(names, found, strict=True), 1):
        if s:
            each = [place(v) for v in s.each]
            text = measure.said(s.mean)
            dots.append(Dot(name, slot, place(s.low), place(s.high), place(s.mean), each, text))
    ends = measure.said(low, 0), measure.said(high, 0)
    return Strip(measure.head, measure.about, *ends, dots)


def leader(groups: Groups, names: Sequence[str]) -> tuple[str, str, str]:
    """Who is ahead: a mood, a sentence, and how it was measured."""
    cols = columns([s for group in groups for s in group])
    wanted = sorted(cols, key=lambda c: (c.protocol != "linear", c.protocol != "knn"))
    for column in wanted:
        measure = Measure(column.head, "", "share", value(column))
        ranks = [(s, k) for k, group in enumerate(groups) if (s := measure.over(group))]
        if len(ranks) < 2:
            continue
        ranks.sort(key=lambda r: -r[0].mean)
        (first, a), (second, b) = ranks[:2]
        detail = f"Measured by {column.head}, the mean over the seeds of each."
        shown = f"{percent(first.mean)} against {percent(second.mean)}"
        ahead = (
            f"“{names[a]}” is ahead of “{names[b]}” by {points(first.mean - second.mean)} ({shown})"
        )
        if len(first.each) == 1 or len(second.each) == 1:
            one, two = score(groups[a][0], column), score(groups[b][0], column)
            assert one is not None and two is not None
            clear = gap(Score(first.mean, one.images), Score(second.mean, two.images)) > 0
            if clear:
                return "open", f"{ahead}; with one seed each, seeds alone could explain it.", detail
            near = f"“{names[a]}” and “{names[b]}” cannot be told apart ({shown})"
            return "mixed", f"{near}: up to {points(doubt(one, two))} may be chance.", detail
        if first.low > second.high:
            return "good", f"{ahead}: every seed of the one beats every seed of the other.", detail
        return "mixed", f"{ahead}, but their seeds overlap.", detail
    if tasks([s for group in groups for s in group]):
        return "open", "No classifier was measured on two of these; other figures are below.", ""
    return "open", "There is nothing to compare yet: no two of these were measured alike.", ""
