"""What a step of each method costs beside its baseline: FLOPs exactly, time in the same run.

`adversaries` is the cost table of papers/adversarial_masking.md, section 14, beside a step of
SimCLR; `filling` that of papers/mixmask.md, section 8, beside each framework without masks; `mim`
that of papers/aemim.md, section 1.6, beside MAE or SimMIM without adversarial twins. Every row is
one step of the product's own training loop. PyTorch counts its FLOPs, forward and backward of
every round, and they are compared with first principles and with what the table prints. Times
are medians over turns in which all rows are run one after the other, so that what else runs on
the machine meets all of them alike.

    python benchmarks/step_cost.py --tables adversaries filling mim
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks import filled_cost, filled_page, mim_cost, mim_cost_page, mim_table
from benchmarks.cells import Cell, Counted, cells
from benchmarks.cost_page import page
from benchmarks.cost_table import NARROW, ROWS, WIDE
from benchmarks.flops import counted, task_of, views_of
from benchmarks.machine import Goal, machine, write
from benchmarks.step_times import Runner, Times, ratio, summarised, times_of

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


def goals(every: list[Cell], times: Times) -> list[Goal]:
    """What ought to hold."""
    held = [cell for cell in every if cell.off() <= TOLERANCE]
    worst = max(cell.off() for cell in every)
    half = ratio(times[REVERSAL], times[OFFICIAL], "wall")
    return [
        Goal(
            "FLOPs of every cell of the paper file's cost table, and first principles, within 3 %",
            f"{len(held)} of {len(every)} figures, the worst {worst:.1%} off",
            worst <= TOLERANCE,
        ),
        Goal(
            "ADIOS, N=4: `reversal` takes at most half the wall time of `official`",
            f"{half.said()} of it",
            half.median <= HALF,
        ),
    ]


def adversaries(batch: int, repeats: int, runtime: Runtime, where: dict[str, Any]) -> None:
    """Write docs/results/step_cost."""
    found = counts(runtime)
    every = cells(found)
    runners = [Runner(row.name, task_of(row, NARROW), row.every) for row in ROWS]
    times = times_of(runners, views_of(batch, runtime.device()), repeats, runtime)
    timed = summarised(times, dict.fromkeys(times, "SimCLR"))
    write(
        "step_cost",
        "What a step costs beside a step of SimCLR",
        page(found, timed, every, batch, runtime),
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
            "batch": batch,
        },
        goals(every, times),
        where,
    )


def filling(batch: int, repeats: int, runtime: Runtime, where: dict[str, Any]) -> None:
    """Write docs/results/filling_cost."""
    priced = filled_cost.counts(runtime)
    every = filled_cost.figures(priced)
    times = filled_cost.timed(batch, repeats, runtime)
    spreads, faster = filled_cost.beside_base(times), filled_cost.saved(times)
    write(
        "filling_cost",
        "What filled masks cost beside their framework without them",
        filled_page.page(priced, every, spreads, faster, batch, runtime),
        {
            "flops_in_encoder_forwards": {
                p.variant.name: {
                    "shared": p.shared._asdict(),
                    "black_box": p.black_box._asdict() if p.black_box else None,
                }
                for p in priced
            },
            "times_base": [{**f._asdict(), "off": f.off()} for f in every],
            "seconds_of_a_step": {
                name: {n: s._asdict() for n, s in time._asdict().items()}
                for name, time in spreads.items()
            },
            "shared_of_black_box": {name: s._asdict() for name, s in faster.items()},
            "batch": batch,
        },
        filled_cost.goals(priced, every, faster),
        where,
    )


def mim(batch: int, repeats: int, runtime: Runtime, where: dict[str, Any]) -> None:
    """Write docs/results/mim_cost."""
    every = mim_cost.all_figures()
    timed = mim_cost.steps(batch, repeats, runtime)
    write(
        "mim_cost",
        "What adversarial twins cost beside the masked image model without them",
        mim_cost_page.page(every, timed, mim_table.SMALL.name, batch, runtime),
        {
            "flops_in_steps_of_the_model_alone": [{**f._asdict(), "off": f.off()} for f in every],
            "steps": {
                s.name: {
                    "flops_of_mae": s.flops,
                    "held_mib": s.held,
                    "seconds": {n: v._asdict() for n, v in s.time._asdict().items()},
                }
                for s in timed
            },
            "batch": batch,
        },
        mim_cost.goals(every, timed),
        where,
    )


TABLES = {"adversaries": adversaries, "filling": filling, "mim": mim}


def main(words: Sequence[str] | None = None) -> None:
    ask = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    ask.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    ask.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    ask.add_argument("--batch", type=int, default=16, help="images of a timed step")
    ask.add_argument("--repeats", type=int, default=3)
    ask.add_argument("--threads", type=int, default=1)
    told = ask.parse_args(words)
    runtime = Runtime.parse({"accelerator": told.device, "threads": told.threads}).resolved()
    where = machine(runtime)
    for name in told.tables:
        TABLES[name](told.batch, told.repeats, runtime, where)


if __name__ == "__main__":
    main()
