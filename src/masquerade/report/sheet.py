"""A table of certificates in words and as files."""

from typing import Any

from masquerade.core.rundir import RunDir
from masquerade.report import grid as grids
from masquerade.report.grid import NONE, Grid


def grid(content: dict[str, Any]) -> Grid:
    """Certified accuracy in percent at each budget; a published line stands above ours.

    Args:
        content: Of table.json.
    """
    heads = ["", *(f"B = {b}" for b in content["budgets"])]
    rows = []
    for line in content["lines"]:
        if line["published"]:
            rows.append([f"{line['name']}, paper", *(f"{v:.2f}" for v in line["published"])])
        ours = line["ours"] or [None] * len(content["budgets"])
        rows.append(
            [f"{line['name']}, ours", *(f"{v:.2f}" if v is not None else NONE for v in ours)]
        )
    return Grid(heads, rows, said(content))


def said(content: dict[str, Any]) -> list[str]:
    """What the numbers mean and what is missing, as sentences."""
    lines = [
        "B: partitions that are poisoned; B = 0 is the accuracy without poisons.",
        *content["notes"],
    ]
    sentences: dict[str, list[str]] = {}
    for line in content["lines"]:
        if line["sentence"]:
            sentences.setdefault(line["sentence"], []).append(line["name"])
    lines += [f"{', '.join(names)}: {sentence}" for sentence, names in sentences.items()]
    if content["settings"]:
        lines.append(f"Changed in every certificate: {' '.join(content['settings'])}.")
    return lines + [f"{who} was left out: {why}" for who, why in content["missing"].items()]


def write(place: RunDir, content: dict[str, Any]) -> None:
    """table.json, and the same for people as Markdown and as a page."""
    grids.write(place, content, grid(content), "sheet.html.jinja")
