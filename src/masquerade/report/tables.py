"""Tables of what was measured: the best of each column is marked, spread and cost beside it."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any, NamedTuple

from masquerade.report.read import Story
from masquerade.report.words import NONE, Score, doubt, percent, points, span

PROTOCOLS = {
    "knn": "kNN",
    "linear": "Linear",
    "finetune": "Fine-tuned",
    "finetune_sgd": "Fine-tuned (SGD)",
    "semi": "Few labels",
    "semi10": "Few labels (10 %)",
    "segment": "Segmentation",
    "detect": "Detection",
    "retrieval": "Retrieval",
    "clustering": "Clustering",
    "backgrounds": "Backgrounds",
    "corruptions": "Corruptions",
    "robustness": "Robustness",
}
BASES = {"untrained": "Same network, untrained", "pixels": "Raw pixels, no network"}


class Cell(NamedTuple):
    """A number of a table, as text; `note` stands small behind it."""

    text: str
    note: str = ""
    best: bool = False


class Row(NamedTuple):
    """A line of a table; `main` is the run the page is about."""

    name: str
    note: str
    cells: list[Cell]
    main: bool = False


class Table(NamedTuple):
    """A table with what it shows in words."""

    caption: str
    heads: list[str]
    rows: list[Row]
    note: str


class Column(NamedTuple):
    """One number of one protocol: `knn`, `test/top1`."""

    protocol: str
    metric: str

    @property
    def head(self) -> str:
        """What stands above the column."""
        return f"{PROTOCOLS.get(self.protocol, self.protocol)}, {self.metric.partition('/')[0]}"


def columns(stories: Sequence[Story], kind: str = "top1") -> list[Column]:
    """Every column that some run has, kNN and linear first, `test` before the other splits."""
    found = {
        Column(protocol, metric)
        for story in stories
        for protocol, result in story.results.items()
        for row in result["rows"].values()
        if isinstance(row, dict)
        for metric, value in row.items()
        if metric.rpartition("/")[2] == kind and isinstance(value, int | float)
    }
    order = list(PROTOCOLS)
    return sorted(
        found,
        key=lambda c: (
            order.index(c.protocol) if c.protocol in order else len(order),
            c.protocol,
            not c.metric.startswith("test"),
            c.metric,
        ),
    )


def score(story: Story, column: Column, row: str = "trained") -> Score | None:
    """How often a row of a protocol is right, None if it was not measured."""
    found = story.results.get(column.protocol, {}).get("rows", {}).get(row)
    value = found.get(column.metric) if isinstance(found, dict) else None
    if not isinstance(value, int | float):
        return None
    counts = story.confusion.get(column.protocol)
    tested = counts is not None and column.metric.startswith("test/")
    return Score(float(value), int(counts.sum()) if counts is not None and tested else 0)


def pooled(group: Sequence[Story], column: Column, row: str = "trained") -> list[Score]:
    """The scores of runs that differ only in their seed."""
    return [s for story in group if (s := score(story, column, row)) is not None]


def chance(story: Story, column: Column) -> float | None:
    """How often guessing is right when classes are equally frequent."""
    counts = story.confusion.get(column.protocol)
    return None if counts is None else 1 / len(counts)


def results(groups: Sequence[Sequence[Story]]) -> Table | None:
    """The runs against an untrained network and raw pixels; None if nothing was measured.

    Args:
        groups: Runs that differ only in their seed are one group; the first is the page's own.
    """
    stories = [s for group in groups for s in group]
    cols = columns(stories)
    if not cols:
        return None
    several = len(stories) > 1
    lines: list[tuple[str, str, list[list[Score]], list[Cell]]] = []
    for group in groups:
        found = [pooled(group, c) for c in cols]
        seeds = f"{len(group)} seeds" if len(group) > 1 else ""
        lines.append((group[0].name, seeds, found, cost(group) if several else []))
    first = groups[0]
    blank = [Cell(NONE), Cell(NONE)] if several else []
    for row in row_names(first):
        found = [pooled(first, c, row) for c in cols]
        lines.append((BASES.get(row, row), "", found, blank))
    guesses = [chance(first[0], c) for c in cols]
    best = [
        max((mean_of(s) for _, _, f, _ in lines if (s := f[k])), default=0.0)
        for k in range(len(cols))
    ]
    rows = [
        Row(
            name,
            seeds,
            [cell(s, b) for s, b in zip(found, best, strict=True)] + costs,
            main=k == 0,
        )
        for k, (name, seeds, found, costs) in enumerate(lines)
    ]
    if any(guesses):
        cells = [Cell(NONE) if g is None else Cell(percent(g)) for g in guesses]
        rows.append(Row("Guessing at random", "", cells + blank))
    heads = [c.head for c in cols] + (["Steps", "CPU time"] if several else [])
    return Table(
        "Share of images named right. Bold: the best of its column.",
        heads,
        rows,
        doubts(groups, cols),
    )


def row_names(group: Sequence[Story]) -> list[str]:
    """What a group's encoder is measured beside: the known baselines first, then what else."""
    extra = {row for s in group for r in s.results.values() for row in r["rows"]} - {"trained"}
    return [*(b for b in BASES if b in extra), *sorted(extra - set(BASES))]


def mean_of(scores: Sequence[Score]) -> float:
    """The mean over seeds."""
    return mean(s.value for s in scores)


def cell(scores: Sequence[Score], best: float) -> Cell:
    """The mean, with the standard deviation over seeds where there are several."""
    if not scores:
        return Cell(NONE)
    value = mean_of(scores)
    spread = f"± {100 * stdev(s.value for s in scores):.1f}" if len(scores) > 1 else ""
    return Cell(percent(value), spread, round(value, 3) >= round(best, 3))


def cost(group: Sequence[Story]) -> list[Cell]:
    """Steps and CPU time of a group's runs, the mean over them."""
    spent = [s.cpu_seconds for s in group if s.cpu_seconds is not None]
    return [Cell(f"{group[0].steps:,}"), Cell(span(mean(spent)) if spent else NONE)]


def doubts(groups: Sequence[Sequence[Story]], cols: Sequence[Column]) -> str:
    """What the numbers can and cannot tell apart."""
    said = []
    for column in cols:
        first = score(groups[0][0], column)
        if first and first.images:
            said.append(
                f"With {first.images:,} test images, differences below about "
                f"{points(doubt(first, first))} may be chance."
            )
            break
    if any(len(g) > 1 for g in groups):
        said.append("±: standard deviation over runs that differ only in their seed.")
    else:
        said.append(
            "Each row is one run with one seed; how much seeds differ is not in this table."
        )
    return " ".join(said)


class Confusion(NamedTuple):
    """Of the images of each class, the share given each class.

    Attributes:
        protocol: Whose answers.
        names: Of the classes.
        rows: A class and, for each answer, its share in 0..1 and whether it is right.
    """

    protocol: str
    names: list[str]
    rows: list[tuple[str, list[tuple[float, bool]]]]


def confusion(story: Story, most: int = 20) -> Confusion | None:
    """What the encoder mixes up on test images, None with more than `most` classes."""
    protocol = next((p for p in ("linear", "knn") if p in story.confusion), None)
    if protocol is None or len(story.confusion[protocol]) > most:
        return None
    counts = story.confusion[protocol]
    known = story.classes
    names = [known[k] if k < len(known) else f"class {k}" for k in range(len(counts))]
    rows = [
        (name, [(n / max(int(line.sum()), 1), j == k) for j, n in enumerate(line.tolist())])
        for k, (name, line) in enumerate(zip(names, counts, strict=True))
    ]
    return Confusion(PROTOCOLS.get(protocol, protocol), names, rows)


HEADS = {
    "name": "",
    "steps": "Steps",
    "cpu_seconds": "CPU time",
    "knn_test": "kNN, test",
    "knn_seen": "kNN, seen",
    "linear_test": "Linear, test",
    "linear_seen": "Linear, seen",
}


def demo(content: dict[str, Any], main: Sequence[str]) -> Table | None:
    """The table of a demo: every encoder at equal steps and at equal CPU time."""
    lines = [r for r in content.get("rows", []) if isinstance(r, dict) and "name" in r]
    if not lines:
        return None
    keys = [k for k in lines[0] if k != "name"]
    keys += [k for line in lines for k in line if k not in keys and k != "name"]
    keys = list(dict.fromkeys(keys))
    keys.sort(key=lambda k: k in ("steps", "cpu_seconds"))
    tops = {
        k: max((n for line in lines if (n := number(line.get(k))) is not None), default=0.0)
        for k in keys
    }
    rows = [
        Row(
            str(line["name"]),
            "",
            [demo_cell(k, line.get(k), tops[k]) for k in keys],
            main=str(line["name"]).casefold() in {m.casefold() for m in main},
        )
        for line in lines
    ]
    caption = "Share of images named right, and what it cost. Bold: the best of its column."
    return Table(caption, [HEADS.get(k, k.replace("_", " ")) for k in keys], rows, "")


def number(value: Any) -> float | None:
    """A number of a table, None for anything else."""
    return float(value) if isinstance(value, int | float) else None


def demo_cell(key: str, value: Any, top: float) -> Cell:
    """A cell of the demo's table."""
    n = number(value)
    if n is None:
        return Cell(NONE if value is None else str(value))
    if key == "steps":
        return Cell(f"{n:,.0f}" if n else NONE)
    if key == "cpu_seconds":
        return Cell(span(n) if n else NONE)
    return Cell(percent(n), "", round(n, 3) >= round(top, 3))
