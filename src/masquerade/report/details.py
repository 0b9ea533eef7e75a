"""Every number of a protocol that has many: each corruption, each budget of an attack."""

from masquerade.report.read import Story
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
