"""`masquerade doctor`: what pretrain will do with every odd file, as a table, and one advice."""

import shlex
from collections import Counter
from pathlib import Path
from typing import get_args

from masquerade.cli import show
from masquerade.cli.words import most, sorted_out
from masquerade.data.doctor import HEADINGS, Report, examine
from masquerade.data.raster import Channels

NAMED = 50  # files of each kind on a terminal


def run(words: list[str], as_json: bool) -> None:
    """Print the report; leaves with 1 unless every image can be used."""
    told = sorted_out(words, ("channels", "most"))
    usage = "masquerade doctor FOLDER"
    if not told.targets:
        raise ValueError(f"name a folder, a list or an image: {usage}")
    most(told.targets, 1, usage)
    known: tuple[Channels, ...] = get_args(Channels)
    asked = told.reserved.get("channels", "rgb")
    channels = next((c for c in known if c == asked), None)
    if channels is None:
        raise ValueError(f"channels is one of {', '.join(known)}, got {asked!r}")
    named = told.whole("most", NAMED if show.results.is_terminal else 0)
    path = Path(told.targets[0])
    report = examine(path, channels)
    if as_json:
        show.as_json(as_tree(report))
    else:
        show_report(report, named, advice(report, path, channels))
    raise SystemExit(0 if report.files and not report.skipped else 1)


def show_report(report: Report, named: int, advised: str) -> None:
    """The report by what pretrain does: sentences, then a table under each heading."""
    total = report.usable + len({f.file for f in report.skipped})
    show.heading(f"{report.path}: {report.usable:,} of {total:,} images can be used")
    for text in report.summary:
        show.result(text)
    for action, heading in HEADINGS.items():
        found = [f for f in report.findings if f.action == action]
        if not found:
            continue
        kinds = ", ".join(f"{n:,} {k}" for k, n in Counter(f.problem for f in found).items())
        shown = found[: named or None]
        show.result("")
        show.heading(f"{heading} {kinds}")
        show.table(("", "", ""), [[f"  {f.file}", f.problem, f.reason] for f in shown])
        if len(found) > len(shown):
            show.result(f"  and {len(found) - len(shown):,} more (most=0 names all)")
    show.result("")
    show.result(advised)


def advice(report: Report, path: Path, channels: str) -> str:
    """What to do now, in a line."""
    where = shlex.quote(str(path))
    keep = "" if channels == "rgb" else f" data.channels={channels}"
    train = f"masquerade pretrain sequential data={where}{keep}"
    if not report.files:
        return "There is no image here: name the folder that holds them."
    if not report.usable:
        return "Not one image can be used: repair or replace these files first."
    if report.skipped:
        count = len({f.file for f in report.skipped})
        lost = f"{count:,} file{'s' * (count > 1)}"
        return f"Repair or remove {lost}, or train without: {train}"
    return f"Every image can be used: {train}"


def as_tree(report: Report) -> dict[str, object]:
    """The report for machines."""
    return {**report._asdict(), "findings": [f._asdict() for f in report.findings]}
