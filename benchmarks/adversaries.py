"""Does hiding by an adversary pay? Every masker on SimCLR, over seeds and data sets.

SimCLR, random erase, ADIOS, ADIOS-s and Sequential (budget as printed, and held) train for equal
steps, with the settings of the recipes at small scale and a CNN of 0.3 million parameters. Then
SimCLR trains once more for the CPU-seconds that each of them took. Measured are kNN and a linear
probe on images that no training saw, and masks against exact ones where there are any. A run that
is done already under `--out` is not run again, so the script may be cut and repeated; some 80
CPU-minutes. On the same page, measured anew each time in three minutes: how far whole steps are
from the published codes (`exactness.py`), and what adversaries do (`behaviour.py`).

    python benchmarks/adversaries.py --data toybox:3 fashion_mnist:3
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks import behaviour, exactness
from benchmarks.machine import RESULTS, ROOT, Goal, machine, table, write
from benchmarks.trials import CNN, EPOCHS, Case, Rows, Study, counts_of, gained, gains, said

from masquerade.core.rundir import RunDir
from masquerade.engine.runtime import Runtime

METHODS: dict[str, list[str]] = {
    "SimCLR": ["simclr", *CNN],
    "random erase": ["erase", *CNN],
    "ADIOS": ["adios", *CNN],
    "ADIOS-s": ["adios_s", *CNN],
    "Sequential, budget as printed": ["sequential", *CNN, "maskers.0.budget_weight=1"],
    "Sequential, budget held": ["held", *CNN],
}
COLUMNS = {
    "knn": "kNN test",
    "linear": "linear test",
    "same_time": "SimCLR, same CPU: linear test",
    "steps": "steps",
    "cpu": "CPU-seconds",
    "iou": "mask IoU",
    "ari": "mask ARI",
}


def main() -> int:
    """Run what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--data", nargs="+", default=["toybox:3", "fashion_mnist:3"])
    parser.add_argument("--epochs", nargs="*", default=[], help="toybox:6 fashion_mnist:2")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "adversaries")
    parser.add_argument("--at-once", type=int, default=2, help="runs, each with one thread")
    parser.add_argument("--set", nargs="*", default=[], help="key=value for every run")
    told = parser.parse_args()
    where = machine(Runtime(threads=1).resolved())
    seeds, epochs = counts_of(told.data), EPOCHS | counts_of(told.epochs)
    study = Study(
        METHODS, lambda method: "SimCLR", told.out, told.set, lambda case: ["baselines=false"]
    )
    study.run_tables(told.methods, seeds, epochs, told.at_once)
    body, figures, goals = trained(study, told.methods, seeds, epochs)
    exact, behaved = exactness.figures(), behaviour.figures()
    body += [*exactness.page(exact), *behaviour.page(behaved), *costs()]
    goals += exactness.goals(exact) + behaviour.goals(behaved)
    figures |= {"exactness": exact, "behaviour": behaved}
    write("adversaries", "Adversaries that hide", body, figures, goals, where)
    return 0


def trained(
    study: Study, methods: list[str], seeds: dict[str, int], epochs: dict[str, int]
) -> tuple[list[str], dict[str, Any], list[Goal]]:
    """Paragraphs, figures and goals of all runs, which are finished."""
    body: list[str] = []
    figures: dict[str, Any] = {}
    goals: list[Goal] = []
    for data, count in seeds.items():
        rows = {m: study.measured(data, m, count, epochs[data]) for m in methods}
        figures[data] = rows
        body += [f"## {data}: SimCLR with what hides", summed(rows), *words(rows, count)]
        goals += judged(data, rows)
    places = {
        study.place(Case(data, method, seed, epochs[data]))
        for data, count in seeds.items()
        for method in methods
        for seed in range(count)
    }
    machines = sorted({RunDir(p).read_json("environment.json")["device"] for p in places})
    return [*body, f"These runs were trained on: {'; '.join(machines)}."], figures, goals


def costs() -> list[str]:
    """What a step costs, as another script has measured it."""
    path = RESULTS / "step_cost.json"
    told = "Every cell of the cost table, in FLOPs and in time: [step_cost.md](step_cost.md)"
    if not path.exists():
        return ["## What a step costs", f"{told}, which `python benchmarks/step_cost.py` writes."]
    goals = json.loads(path.read_text("utf-8"))["goals"]
    lines = [[g["text"], g["figure"], "yes" if g["met"] else "**no**"] for g in goals]
    return ["## What a step costs", f"{told}.", table(("goal", "found", "met"), lines)]


def summed(rows: dict[str, Rows]) -> str:
    """Mean (lowest to highest seed) of every column."""
    have = [c for c in COLUMNS if any(c in row for found in rows.values() for row in found)]
    lines = [
        [method, *(shown(c, [r[c] for r in found if c in r]) for c in have)]
        for method, found in rows.items()
    ]
    return table(("", *(COLUMNS[c] for c in have)), lines)


def shown(column: str, values: list[float]) -> str:
    """`29.7 (29.1 to 30.2)`; top-1 in percent, a dash for none."""
    scale = 100 if column in ("knn", "linear", "same_time") else 1
    return said(values, scale, {"steps": 0, "cpu": 0, "iou": 2, "ari": 2}.get(column, 1))


def judged(data: str, rows: dict[str, Rows]) -> list[Goal]:
    """Whether every way of hiding is above SimCLR on each seed, at equal steps and equal time."""
    goals = []
    base = [row["linear"] for row in rows["SimCLR"]]
    hiding = {m: found for m, found in rows.items() if m != "SimCLR"}
    for how in ("steps", "CPU-seconds"):
        points = {
            m: gains(
                [r["linear"] for r in found],
                base if how == "steps" else [r["same_time"] for r in found],
            )
            for m, found in hiding.items()
        }
        goals.append(
            Goal(
                f"{data}: every way of hiding above SimCLR at equal {how}, linear, on each seed",
                "; ".join(f"{m} {gained(each)}" for m, each in points.items()),
                all(min(each) > 0 for each in points.values()),
            )
        )
    return goals


def words(rows: dict[str, Rows], count: int) -> list[str]:
    """How to read a table."""
    seeds = f"Mean over {count} seeds, lowest and highest in brackets" if count > 1 else "One seed"
    told = [
        f"{seeds}; top-1 in percent on images that no training saw. Column 4: SimCLR without "
        "masks, trained for as many CPU-seconds as the row's method took (its learning rate falls "
        "over that time)."
    ]
    squares = [r for found in rows.values() for r in found if "square" in r]
    if squares:
        told.append(
            "Masks against exact object masks; the mask, its threshold and the square are chosen "
            f"on training images. A centred square has IoU {mean(r['square'] for r in squares):.2f}"
            f" and ARI {mean(r['square_ari'] for r in squares):.2f}."
        )
    return told


if __name__ == "__main__":
    sys.exit(main())
