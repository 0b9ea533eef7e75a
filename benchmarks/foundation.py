"""The demo's table over several seeds and data sets: docs/results/foundation.md.

Every seed is one whole `masquerade demo`: SimCLR and Sequential at equal steps, SimCLR at
Sequential's CPU-seconds, the untrained encoder and raw pixels, by kNN and linear probe. A demo
that is done already under `--out` is not run again.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks.machine import ROOT, Goal, machine, table, write

from masquerade.core.rundir import RunDir
from masquerade.engine.runtime import Runtime

GOAL = 0.05  # the least that SimCLR must gain over the untrained encoder, linear, on test
Table = list[dict[str, Any]]


def main() -> int:
    """Run what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=["toybox:3", "fashion_mnist:1"])
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "foundation")
    parser.add_argument("--threads", type=int, default=1, help="of each of a demo's two processes")
    told = parser.parse_args()
    runtime = Runtime(threads=told.threads).resolved()
    where = machine(runtime)
    seeds = {name: int(count or 1) for name, _, count in (d.partition(":") for d in told.data)}
    for data, count in seeds.items():
        for seed in range(count):
            run_demo(data, seed, told.out / f"{data}-{seed}", told.threads)
    body: list[str] = []
    goals: list[Goal] = []
    figures: dict[str, Any] = {}
    for data, count in seeds.items():
        demos = [RunDir(told.out / f"{data}-{k}").read_json("demo.json") for k in range(count)]
        body += [f"## {data}", summed(demos), *words(demos)]
        figures[data] = demos
        gains = [gain(d["table"]["rows"]) for d in demos]
        shown = ", ".join(f"{100 * g:+.1f}" for g in gains)
        goals.append(
            Goal(
                f"{data}: linear on test, SimCLR at least 5 points above the untrained encoder",
                f"{100 * mean(gains):+.1f} points on average ({shown})",
                mean(gains) >= GOAL,
            )
        )
    title = "Trained without labels: against pixels, an untrained encoder and the baseline"
    write("foundation", title, body, figures, goals, where)
    return 0


def run_demo(data: str, seed: int, place: Path, threads: int) -> None:
    """Run a demo that is not done."""
    if (place / "demo.json").exists():
        return
    words = [f"data={data}", f"seed={seed}", f"out={place}", f"runtime.threads={threads}"]
    verb = [sys.executable, "-m", "masquerade", "demo", *words]
    print(" ".join(verb), file=sys.stderr, flush=True)
    subprocess.run(verb, check=True, stdout=subprocess.DEVNULL)


def gain(rows: Table) -> float:
    """SimCLR's linear top-1 on test over the untrained encoder's."""
    found = {row["name"]: row for row in rows}
    return float(found["SimCLR"]["linear_test"] - found["untrained encoder"]["linear_test"])


def summed(demos: list[dict[str, Any]]) -> str:
    """Mean (lowest to highest seed) of every column; shares in percent."""
    columns = demos[0]["table"]["columns"]
    rows = []
    for k, first in enumerate(demos[0]["table"]["rows"]):
        cells = [first["name"]]
        for column in columns[1:]:
            values = [d["table"]["rows"][k].get(column) for d in demos]
            cells.append(spread([v for v in values if v is not None]))
        rows.append(cells)
    names = [c.replace("_", " ") for c in columns]
    return table(names, rows)


def spread(values: list[float]) -> str:
    """`29.7 (29.1 to 30.2)`, shares as percent; a dash for none."""
    if not values:
        return "-"
    share = all(isinstance(v, float) and v <= 1 for v in values)
    scale, digits = (100, 1) if share else (1, 0)
    low, middle, high = (scale * f(values) for f in (min, mean, max))
    if low == high:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def words(demos: list[dict[str, Any]]) -> list[str]:
    """What else is to be said of a data set: masks, seeds, notes."""
    seeds = f"Mean over {len(demos)} seeds, lowest and highest in brackets"
    told = [
        f"{seeds if len(demos) > 1 else 'One seed'}; top-1 in percent. Probes are fitted on the "
        "training images and measured on others; test: unseen things, seen: where there is one, "
        "training things on unseen backgrounds.",
    ]
    if all("linear_test" in row for d in demos for row in d["table"]["rows"]):
        told.append(compared(demos))
    if demos[0]["masks"]:
        hits = [d["masks"]["test/iou"] for d in demos]
        squares = [d["masks"]["test/square"] for d in demos]
        told.append(
            f"Masks of Sequential against exact object masks, IoU on test: {spread_iou(hits)}; "
            f"a centred square: {spread_iou(squares)}. Which mask, which threshold and how large "
            "a square was chosen on training images."
        )
    return told


def compared(demos: list[dict[str, Any]]) -> str:
    """Whether the masks, and training at all, beat what they ought to beat, linear on test."""
    by_name: dict[str, list[float]] = {}
    for demo in demos:
        for row in demo["table"]["rows"]:
            by_name.setdefault(row["name"], []).append(100 * row["linear_test"])
    score = {name: mean(values) for name, values in by_name.items()}
    apart = max(max(v) - min(v) for v in by_name.values()) if len(demos) > 1 else 2.0
    masked = score["Sequential"]
    said = []
    for rival, how in (("SimCLR", "at equal steps"), ("SimCLR, same CPU time", "at equal time")):
        gap = masked - score[rival]
        word = "beat" if gap > apart else "lost to" if gap < -apart else "neither beat nor lost to"
        said.append(f"Sequential {word} SimCLR {how} ({masked:.1f} against {score[rival]:.1f})")
    best = max(score[name] for name in by_name if name not in ("raw pixels", "untrained encoder"))
    if best <= score["raw pixels"]:
        said.append(f"no encoder beat raw pixels ({best:.1f} against {score['raw pixels']:.1f})")
    return "Linear, test: " + "; ".join(said) + f". Differences below {apart:.1f} may be chance."


def spread_iou(values: list[float]) -> str:
    """`0.44 (0.42 to 0.47)`."""
    return f"{mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    sys.exit(main())
