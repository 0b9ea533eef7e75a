"""Published numbers and ours as a table: rows of text, Markdown and one HTML page."""

from typing import Any, NamedTuple

from masquerade.core.rundir import RunDir
from masquerade.jobs.tablefolder import CONTENT
from masquerade.report.template import rendered

NONE = "-"


class Grid(NamedTuple):
    """A table in words.

    Attributes:
        heads: Headings; the first, over the names of the rows, is empty.
        rows: Each begins with its name.
        said: What the numbers mean and what is missing, as sentences.
    """

    heads: list[str]
    rows: list[list[str]]
    said: list[str]


def write(place: RunDir, content: dict[str, Any], grid: Grid, template: str) -> None:
    """table.json, and the same for people as Markdown and as a page of a template.

    Args:
        place: The folder of the table.
        content: Of table.json.
        grid: The same in words.
        template: Of the page.
    """
    place.write_json(CONTENT, content)
    place.write_text("table.md", markdown(content, grid))
    place.write_text("table.html", page(content, grid, template))


def markdown(content: dict[str, Any], grid: Grid) -> str:
    """The table and its sentences as Markdown."""
    lines = [f"# {content['title']}", ""]
    if content["paper"]:
        lines += [f"{content['paper']}.", ""]
    lines += [
        f"`masquerade table {content['name']} scale={content['scale']}`",
        "",
        row(grid.heads),
        row([":--", *["--:"] * (len(grid.heads) - 1)]),
        *(row(cells) for cells in grid.rows),
        "",
        *(f"- {text}" for text in grid.said),
    ]
    return "\n".join(lines) + "\n"


def row(cells: list[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(text.replace('|', '/') for text in cells)} |"


def page(content: dict[str, Any], grid: Grid, template: str) -> str:
    """The table and its sentences as one page that loads nothing; every text is escaped."""
    return rendered(template, {**content, "grid": grid})
