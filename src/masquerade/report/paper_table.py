"""A paper's table beside ours, in words and as files."""

from typing import Any

from masquerade.core.rundir import RunDir
from masquerade.report import grid as grids
from masquerade.report.grid import NONE, Grid

PROTOCOLS = {"knn": "kNN", "linear_110": "crop 96 of 110"}


def grid(content: dict[str, Any]) -> Grid:
    """The rows of the table; of each column the paper's number, ours, and what else was measured.

    Args:
        content: Of table.json.
    """
    cells = content["cells"]
    columns = {c["column"]: list(c["ours"]) for c in cells}
    papers = {c["column"]: c["paper_column"] for c in cells if c["published"]}
    heads = [""]
    for column, protocols in columns.items():
        if column in papers:
            heads.append(f"{papers[column]}, paper")
        heads.append(f"{column}, ours")
        heads += [f"{column}, {PROTOCOLS.get(name, name)}" for name in protocols[1:]]
    rows = []
    for row in dict.fromkeys(c["row"] for c in cells):
        line = [row]
        for column, protocols in columns.items():
            cell = next((c for c in cells if (c["row"], c["column"]) == (row, column)), None)
            if column in papers:
                line.append(number(cell["published"] if cell else None))
            line += [number(cell["ours"][name] if cell else None) for name in protocols]
        rows.append(line)
    return Grid(heads, rows, said(content))


def number(found: dict[str, Any] | None) -> str:
    """`86.40 ± 0.04`, with how many seeds it comes from where it is ours."""
    if not found:
        return NONE
    text = f"{found['mean']:.2f}"
    if found["sd"] is not None:
        text += f" ± {found['sd']:.2f}"
    count = len(found.get("values", ()))
    return f"{text} (1 seed)" if count == 1 else text


def said(content: dict[str, Any]) -> list[str]:
    """What the numbers say, what they mean and what is missing, as sentences."""
    lines = [gained(gain) for gain in content["gains"] if gain["ours"]]
    seeds = sorted({len(v["values"]) for c in content["cells"] for v in c["ours"].values() if v})
    if seeds:
        few = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        lines.append(f"Ours: {few} seed{'s' * (seeds[-1] > 1)}; ± is one standard deviation.")
    changed = f"Changed in every run: {' '.join(content['settings'])}."
    lines += [*content["notes"], *([changed] if content["settings"] else [])]
    lines += [f"{cell} was left out: {why}" for cell, why in content["missing"].items()]
    return lines


def gained(gain: dict[str, Any]) -> str:
    """`STL-10: + ADIOS over SimCLR +0.93 in the paper, +0.2 ± 0.5 here`."""
    ours = gain["ours"]
    here = f"{ours['mean']:+.2f}"
    if ours["sd"] is None:
        here += " (1 seed)"
    else:
        here += f" ± {ours['sd']:.2f}"
        if ours["low"] < 0 < ours["high"]:
            here += ", not of one sign over seeds"
    there = f"{gain['published']:+.2f} in the paper, " if gain["published"] is not None else ""
    return f"{gain['column']}: {gain['row']} against {gain['over']} {there}{here} here."


def write(place: RunDir, content: dict[str, Any]) -> None:
    """table.json, and the same for people as Markdown and as a page."""
    grids.write(place, content, grid(content), "paper_table.html.jinja")
