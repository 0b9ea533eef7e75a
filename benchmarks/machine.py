"""The machine that a figure comes from, and the one writer of docs/results."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch

from masquerade.core.rundir import RunDir
from masquerade.engine.runtime import Runtime, environment

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
NO_GPU = "PyTorch sees no CUDA GPU on this machine, so nothing here was measured on one."


class Goal(NamedTuple):
    """Something a benchmark is expected to show.

    Attributes:
        text: What ought to hold, as "at least 0.85 of the model alone".
        figure: What was found, in words and numbers.
        met: Whether it holds.
    """

    text: str
    figure: str
    met: bool


class Spread(NamedTuple):
    """Repeated measurements of one thing, in the unit of the thing."""

    median: float
    lowest: float
    highest: float
    repeats: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The middle and the ends of at least one measurement."""
        return cls(median(values), min(values), max(values), len(values))

    def said(self, digits: int = 2) -> str:
        """`3.10 (2.95 to 3.30)`: the median, and the lowest and highest repeat."""
        middle, low, high = (f"{v:.{digits}f}" for v in self[:3])
        return f"{middle} ({low} to {high})" if self.repeats > 1 else middle


def machine(runtime: Runtime) -> dict[str, Any]:
    """What a figure depends on: processor, cores, threads, versions, commit, what else runs.

    Args:
        runtime: The resolved settings the benchmark runs with.
    """
    return {
        **environment(runtime),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_1_5_15_min": [round(v, 2) for v in os.getloadavg()],
        "utc": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
    }


def command() -> str:
    """The command that repeats this run, from the root of the repository."""
    script = Path(sys.argv[0]).resolve()
    name = script.relative_to(ROOT) if script.is_relative_to(ROOT) else script
    return " ".join(["python", str(name), *sys.argv[1:]])


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; the first column is text, the others are figures."""
    rule = [":--", *["--:"] * (len(columns) - 1)]
    lines = [columns, rule, *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def write(
    name: str,
    title: str,
    body: Sequence[str],
    figures: dict[str, Any],
    goals: Sequence[Goal],
    where: dict[str, Any],
) -> None:
    """Write docs/results/NAME.json and NAME.md, and print the latter.

    Args:
        name: Of the files.
        title: Heading of the page.
        body: Paragraphs and tables between the goals and the machine.
        figures: Everything measured, for the JSON file.
        goals: What ought to hold.
        where: From `machine`, taken before the measurements began.
    """
    verdicts = [(g.text, g.figure, "yes" if g.met else "**no**") for g in goals]
    versions = ", ".join(f"{n} {where[n]}" for n in ("python", "torch", "torchvision", "numpy"))
    load = " / ".join(f"{v:g}" for v in where["load_1_5_15_min"])
    parts = [
        f"# {title}",
        f"Written by `{command()}`.",
        table(("goal", "found", "met"), verdicts),
        *body,
        "## Machine",
        f"{where['device']}; {where['cores']} cores; load before the run {load} (1 / 5 / 15 min); "
        f"{versions}; {where['platform']}; masquerade {where['masquerade']} at {where['commit']}; "
        f"{where['utc']} UTC.",
    ]
    if where["gpu"] is None:
        parts.append(NO_GPU)
    folder = RunDir(RESULTS)
    told = [goal._asdict() for goal in goals]
    content = {"command": command(), "machine": where, "goals": told, **figures}
    folder.write_json(f"{name}.json", content)
    text = "\n\n".join(parts) + "\n"
    folder.write_text(f"{name}.md", text)
    print(text)
