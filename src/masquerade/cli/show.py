"""What the verbs print: results to stdout, everything else to stderr."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

progress = Console(stderr=True, highlight=False)
results = Console(highlight=False)


def say(text: str) -> None:
    """One line of progress."""
    progress.print(text, markup=False, soft_wrap=True)


def fail(text: str) -> None:
    """What went wrong."""
    progress.print("[bold red]error:[/] ", end="")
    progress.print(text, markup=False, soft_wrap=True)


def following(*commands: str) -> None:
    """What one would do next."""
    for command in commands:
        progress.print(f"  next: {command}", markup=False, soft_wrap=True, style="dim")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on stdout; numbers to the right."""
    if title:
        results.print(title, style="bold", markup=False)
    drawn = Table(box=None, pad_edge=False, show_header=any(columns))
    for k, column in enumerate(columns):
        numeric = any(isinstance(row[k], int | float) for row in rows)
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(cell(value) for value in row))
    results.print(drawn)


def cell(value: Any) -> str:
    """A table cell: shares as percent, other floats short."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1%}" if 0 <= value <= 1 else f"{value:.1f}"
    return str(value).replace("[", r"\[")


def as_json(content: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document on stdout, for machines."""
    sys.stdout.write(json.dumps(content, indent=2) + "\n")
