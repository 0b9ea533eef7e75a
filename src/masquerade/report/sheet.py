"""A table of certificates as rows of text, as Markdown and as one HTML page."""

from typing import Any

from masquerade.report.paper_table import NONE, Grid, row
from masquerade.report.template import rendered


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
    return Grid(heads, rows)


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


def markdown(content: dict[str, Any]) -> str:
    """The table and its sentences as Markdown."""
    table = grid(content)
    lines = [f"# {content['title']}", ""]
    if content["paper"]:
        lines += [f"{content['paper']}.", ""]
    lines += [
        f"`masquerade table {content['name']} scale={content['scale']}`",
        "",
        row(table.heads),
        row([":--", *["--:"] * (len(table.heads) - 1)]),
        *(row(cells) for cells in table.rows),
        "",
        *(f"- {text}" for text in said(content)),
    ]
    return "\n".join(lines) + "\n"


def page(content: dict[str, Any]) -> str:
    """The table and its sentences as one page that loads nothing; every text is escaped."""
    shown = {**content, "grid": grid(content), "said": said(content)}
    return rendered("sheet.html.jinja", shown)
