"""Does hiding by an adversary pay? Every masker on SimCLR, over seeds and data sets.

SimCLR, random erase, ADIOS, ADIOS-s and Sequential (budget as printed, and held) train for equal
steps, with the settings of the recipes at small scale. Then SimCLR trains once more for the
CPU-seconds that each of them took. Measured are kNN and a linear probe on images that no training
saw, and masks against exact ones where there are any. A run that is done already under `--out` is
not run again, so the script may be cut and repeated; hours on two cores.

    python benchmarks/adversaries.py --data toybox:3 fashion_mnist:3
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks.machine import ROOT, Goal, machine, table, write

from masquerade.core.rundir import RunDir
from masquerade.engine.runtime import Runtime

METHODS: dict[str, list[str]] = {
    "SimCLR": ["simclr"],
    "random erase": ["erase"],
    "ADIOS": ["adios"],
    "ADIOS-s": ["adios_s"],
    "Sequential, budget as printed": ["sequential", "maskers.0.budget_weight=1"],
    "Sequential, budget held": ["held"],
}
IMAGES: dict[str, list[str]] = {
    "toybox": ["data=toybox"],
    "fashion_mnist": ["data=fashion_mnist", "limit=10000"],
}
EPOCHS = {"toybox": 8, "fashion_mnist": 3}  # about 500 steps of 64 images each
COLUMNS = {
    "knn": "kNN test",
    "linear": "linear test",
    "same_time": "SimCLR, same CPU: linear test",
    "steps": "steps",
    "cpu": "CPU-seconds",
    "iou": "mask IoU",
    "ari": "mask ARI",
}


class Case(NamedTuple):
    """One run: which images, which method, which seed, for how long."""

    data: str
    method: str
    seed: int
    epochs: int

    def place(self, out: Path) -> Path:
        """Its folder."""
        words = "".join(c if c.isalnum() else "-" for c in self.method.lower())
        return out / self.data / f"{words}-{self.epochs}-epochs-seed-{self.seed}"

    def run(self, out: Path, extra: Sequence[str]) -> None:
        """Train and measure what is not done."""
        place = self.place(out)
        recipe, *changes = METHODS[self.method]
        told = [f"seed={self.seed}", f"epochs={self.epochs}", "runtime.threads=1", *extra]
        if not (place / "summary.json").exists():
            verb = ["pretrain", recipe, f"out={place}", *IMAGES[self.data], *changes, *told]
            masquerade(verb, place)
        if not (place / "eval" / "linear.json").exists():
            masquerade(["evaluate", str(place), "baselines=false", "runtime.threads=1"], place)

    def found(self, out: Path) -> dict[str, float]:
        """What it ended with."""
        run = RunDir(self.place(out))
        summary = run.read_json("summary.json")
        rows = {n: run.read_json(f"eval/{n}.json")["rows"]["trained"] for n in ("knn", "linear")}
        found = {n: row["test/top1"] for n, row in rows.items()}
        found |= {"steps": summary["steps"], "cpu": summary["cpu_seconds"]}
        if run.has("eval/masks.json"):
            masks = run.read_json("eval/masks.json")
            found |= {"iou": masks["test/iou"], "square": masks["test/square"]}
            found |= {"ari": masks["test/ari"], "square_ari": masks["test/square_ari"]}
        return found


def masquerade(words: list[str], place: Path) -> None:
    """Run a verb in a process of its own; its words go to a file beside the run."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".log").open("a", encoding="utf-8") as log:
        verb = [sys.executable, "-m", "masquerade", *words]
        subprocess.run(verb, check=True, stdout=log, stderr=log)


def longer(data: str, seed: int, epochs: int, method: str, out: Path) -> Case:
    """SimCLR for as many CPU-seconds as a method took."""
    base = Case(data, "SimCLR", seed, epochs).found(out)["cpu"]
    took = Case(data, method, seed, epochs).found(out)["cpu"]
    return Case(data, "SimCLR", seed, max(epochs, round(epochs * took / base)))


def main() -> int:
    """Run what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--data", nargs="+", default=["toybox:3", "fashion_mnist:3"])
    parser.add_argument("--epochs", nargs="*", default=[], help="toybox:8 fashion_mnist:3")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "adversaries")
    parser.add_argument("--at-once", type=int, default=2, help="runs, each with one thread")
    parser.add_argument("--set", nargs="*", default=[], help="key=value for every run")
    told = parser.parse_args()
    where = machine(Runtime(threads=1).resolved())
    seeds = {name: int(count or 1) for name, _, count in (d.partition(":") for d in told.data)}
    epochs = EPOCHS | {n: int(e) for n, _, e in (d.partition(":") for d in told.epochs)}

    def do(cases: list[Case]) -> None:
        with ThreadPoolExecutor(told.at_once) as pool:
            list(pool.map(lambda case: case.run(told.out, told.set), dict.fromkeys(cases)))

    for seed in range(max(seeds.values())):  # a whole table of one seed first
        wanted = [d for d in seeds if seed < seeds[d]]
        do([Case(d, m, seed, epochs[d]) for d in wanted for m in told.methods])
        do([longer(d, seed, epochs[d], m, told.out) for d in wanted for m in told.methods])
    body: list[str] = []
    figures: dict[str, Any] = {}
    goals: list[Goal] = []
    for data, count in seeds.items():
        rows = {m: measured(data, m, count, epochs[data], told.out) for m in told.methods}
        figures[data] = rows
        body += [f"## {data}", summed(rows), *words(rows, count)]
        for method in told.methods[1:]:
            goals += judged(data, method, rows)
    title = "Hiding by chance and by an adversary, on SimCLR"
    write("adversaries", title, body, figures, goals, where)
    return 0


Rows = list[dict[str, float]]


def measured(data: str, method: str, count: int, epochs: int, out: Path) -> Rows:
    """One row per seed, with what SimCLR reaches in the same CPU-seconds."""
    rows = []
    for seed in range(count):
        row = Case(data, method, seed, epochs).found(out)
        same = longer(data, seed, epochs, method, out).found(out)
        rows.append(row | {"same_time": same["linear"], "same_time_knn": same["knn"]})
    return rows


def summed(rows: dict[str, Rows]) -> str:
    """Mean (lowest to highest seed) of every column."""
    have = [c for c in COLUMNS if any(c in row for found in rows.values() for row in found)]
    lines = [
        [method, *(said(c, [r[c] for r in found if c in r]) for c in have)]
        for method, found in rows.items()
    ]
    return table(("", *(COLUMNS[c] for c in have)), lines)


def said(column: str, values: list[float]) -> str:
    """`29.7 (29.1 to 30.2)`; top-1 in percent, a dash for none."""
    if not values:
        return "-"
    scale = 100 if column in ("knn", "linear", "same_time") else 1
    digits = {"steps": 0, "cpu": 0, "iou": 2, "ari": 2}.get(column, 1)
    low, middle, high = (f"{scale * f(values):.{digits}f}" for f in (min, mean, max))
    return middle if low == high else f"{middle} ({low} to {high})"


def judged(data: str, method: str, rows: dict[str, Rows]) -> list[Goal]:
    """Whether a method is above SimCLR on every seed, at equal steps and at equal time."""
    goals = []
    base = [row["linear"] for row in rows["SimCLR"]]
    for how, rival in (("steps", base), ("CPU-seconds", [r["same_time"] for r in rows[method]])):
        gains = [100 * (r["linear"] - b) for r, b in zip(rows[method], rival, strict=True)]
        shown = ", ".join(f"{g:+.1f}" for g in gains)
        goals.append(
            Goal(
                f"{data}: {method} above SimCLR at equal {how}, linear on test, each seed",
                f"{mean(gains):+.1f} points on average ({shown})",
                min(gains) > 0,
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
