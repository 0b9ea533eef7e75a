"""What the verbs print: results to stdout, everything else to stderr."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

progress = Console(stderr=True, highlight=False)
results = Console(highlight=False)


def say(text: str) -> None:
    """One line of progress."""
    progress.print(text, markup=False, soft_wrap=True)


def fail(text: str) -> None:
    """What went wrong."""
    progress.print(Text.assemble(("error: ", "bold red"), text), soft_wrap=True)


def following(*commands: str) -> None:
    """What one would do next."""
    for command in commands:
        progress.print(Text(f"next: {command}", style="dim"), soft_wrap=True)


def result(text: object) -> None:
    """One line of the result."""
    results.print(Text(str(text)), soft_wrap=True)


def heading(text: str) -> None:
    """A line of the result above others."""
    results.print(Text(text, style="bold"), soft_wrap=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], best: bool = False) -> None:
    """A table; numbers to the right. Columns are never cut where nobody looks at a terminal.

    Args:
        columns: Headings; no line of headings if all are empty.
        rows: Their cells.
        best: The largest number of each column is printed bold.
    """
    if not results.is_terminal:
        for line in aligned(columns, rows):
            result(line)
        return
    drawn = Table(box=None, pad_edge=False, show_header=any(columns), header_style="dim")
    for k, column in enumerate(columns):
        right = numeric(rows, k)
        drawn.add_column(column, justify="right" if right else "left", overflow="fold")
    top = [max((r[k] for r in rows if is_number(r[k])), default=None) for k in range(len(columns))]
    for row in rows:
        styled = [
            Text(cell(v), "bold" if best and is_number(v) and v == m else "")
            for v, m in zip(row, top, strict=True)
        ]
        drawn.add_row(*styled)
    results.print(drawn)


def lines(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on a terminal; tab-separated lines anywhere else, for grep, cut and spreadsheets."""
    if results.is_terminal:
        table(columns, rows)
        return
    for row in [columns, *rows] if any(columns) else rows:
        sys.stdout.write("\t".join(str(v) for v in row) + "\n")


def aligned(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """The lines of a table in plain text."""
    cells = [list(columns)] if any(columns) else []
    cells += [[cell(v) for v in row] for row in rows]
    widths = [max((len(line[k]) for line in cells), default=0) for k in range(len(columns))]
    right = [numeric(rows, k) for k in range(len(columns))]
    return [
        "  ".join(
            t.rjust(w) if r else t.ljust(w) for t, w, r in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in cells
    ]


def numeric(rows: Sequence[Sequence[Any]], column: int) -> bool:
    """Whether a column holds numbers."""
    return any(is_number(row[column]) for row in rows)


def is_number(value: Any) -> bool:
    """Whether a cell is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def cell(value: Any) -> str:
    """A table cell: shares as percent, other floats short, numbers with commas."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{100 * value:.1f} %" if 0 <= value <= 1 else f"{value:,.0f}"
    return f"{value:,}" if is_number(value) else str(value)


def as_json(content: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document on stdout, for machines."""
    sys.stdout.write(json.dumps(content, indent=2) + "\n")
