"""What a step of each method costs beside a step of SimCLR: FLOPs exactly, time in the same run.

Every row of the cost table of the paper file (adversarial_masking.md, section 14) is one step of
the product's own training loop. PyTorch counts its FLOPs, forward and backward of every round,
and they are compared with first principles and with what the table prints. Times are medians over
turns in which all rows are run one after the other, so that what else runs on the machine meets
all of them alike.

    python benchmarks/step_cost.py
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks.cells import Cell, Counted, cells
from benchmarks.cost_page import Timed, page
from benchmarks.cost_table import NARROW, ROWS, WIDE
from benchmarks.flops import Seconds, counted, task_of, took, views_of
from benchmarks.machine import Goal, Spread, machine, write

from masquerade.engine.runtime import Runtime

TOLERANCE = 0.03
COUNTED_BATCH = 2  # FLOPs are proportional to the batch; only NT-Xent's own few are not
OFFICIAL, REVERSAL = "SimCLR-ADIOS, N=4, official", "SimCLR-ADIOS, N=4, reversal"
HALF = 0.5


def counts(runtime: Runtime) -> list[Counted]:
    """The FLOPs of every row."""
    found = []
    for row in ROWS:
        narrow, wide = counted(row, NARROW, COUNTED_BATCH, runtime), None
        if row.printed.wants_wide():
            wide = counted(row, WIDE, COUNTED_BATCH, runtime) if row.learned else narrow
        found.append(Counted(row, narrow, wide))
    return found


Times = dict[str, list[Seconds]]


def times_of(batch: int, repeats: int, runtime: Runtime) -> Times:
    """Seconds of a step, the rows taking turns; a first turn warms up and does not count."""
    views = views_of(batch, runtime.device())
    tasks = [(row, task_of(row, NARROW)) for row in ROWS]
    times: Times = defaultdict(list)
    for turn in range(repeats + 1):
        for row, task in tasks:
            seconds = took(task, views, runtime, row.every)
            task.zero_grad(set_to_none=True)  # or all rows' gradients are kept at once
            if turn:
                times[row.name].append(seconds)
    return times


def ratio(own: list[Seconds], base: list[Seconds], clock: str) -> Spread:
    """The quotients within each turn, of `wall` or `cpu` seconds."""
    pairs = zip(own, base, strict=True)
    return Spread.of([o._asdict()[clock] / b._asdict()[clock] for o, b in pairs])


def summarised(times: Times) -> dict[str, Timed]:
    """Spreads over the turns; ratios are taken within a turn."""
    base = times["SimCLR"]
    return {
        name: Timed(
            Spread.of([t.wall for t in own]),
            Spread.of([t.cpu for t in own]),
            ratio(own, base, "wall"),
            ratio(own, base, "cpu"),
        )
        for name, own in times.items()
    }


def goals(every: list[Cell], times: Times) -> list[Goal]:
    """What ought to hold."""
    held = [cell for cell in every if not cell.excused]
    apart = sorted({c.row for c in every if c.excused and c.off() > TOLERANCE})
    worst = max(cell.off() for cell in held)
    figure = f"{len(held)} of {len(every)} figures, at most {worst:.1%} off"
    if apart:
        figure += f"; the others, with the reason: {', '.join(apart)}"
    half = ratio(times[REVERSAL], times[OFFICIAL], "wall")
    return [
        Goal(
            "FLOPs of every cell of the paper file's cost table, and first principles, within 3 %, "
            "or the reason is said",
            figure,
            worst <= TOLERANCE,
        ),
        Goal(
            "ADIOS, N=4: `reversal` takes at most half the wall time of `official`",
            f"{half.said()} of it",
            half.median <= HALF,
        ),
    ]


def main(words: Sequence[str] | None = None) -> None:
    ask = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    ask.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    ask.add_argument("--batch", type=int, default=16, help="images of a timed step")
    ask.add_argument("--repeats", type=int, default=3)
    ask.add_argument("--threads", type=int, default=1)
    told = ask.parse_args(words)
    runtime = Runtime.parse({"accelerator": told.device, "threads": told.threads}).resolved()
    where = machine(runtime)

    found = counts(runtime)
    every = cells(found)
    times = times_of(told.batch, told.repeats, runtime)
    timed = summarised(times)
    write(
        "step_cost",
        "What a step costs beside a step of SimCLR",
        page(found, timed, every, told.batch, runtime),
        {
            "flops_in_encoder_forwards": {
                c.row.name: {
                    "c8": c.narrow._asdict(),
                    "c32": c.wide._asdict() if c.wide else None,
                    "bill": c.row.bill._asdict(),
                    "printed": c.row.printed._asdict(),
                }
                for c in found
            },
            "cells": [{**cell._asdict(), "off": cell.off()} for cell in every],
            "seconds_of_a_step": {
                name: {n: s._asdict() for n, s in time._asdict().items()}
                for name, time in timed.items()
            },
            "batch": told.batch,
        },
        goals(every, times),
        where,
    )


if __name__ == "__main__":
    main()
