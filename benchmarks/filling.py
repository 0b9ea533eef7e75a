"""Does filling what is hidden pay? Un-Mix, MixMask and MixMask* on MoCo and SimCLR.

Each framework trains without masks and with each kind of mixture for equal epochs; then without
masks once more for the CPU-seconds that each of them took, as a step with mixtures costs 1.4 to 2
times as much. Measured are kNN and a linear probe on images that no training saw. MixMask's paper
compares equal epochs only, and one run each. The CNN has 0.3 million parameters and sees 32-pixel
images for 300 to 400 steps: this says what comes out here, not what 1000 epochs would give. A run
that is done already under `--out` is not run again, so the script may be cut and repeated. On the
same page, measured anew each time in seconds: how far filled masks are from the official code's
arrays, and identities (`filled_exact.py`); and what step_cost.py and mutations.py have found.

    python benchmarks/filling.py --data toybox:3 fashion_mnist:3
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks import filled_exact, machine
from benchmarks.machine import ROOT, Goal, table, write
from benchmarks.trials import CNN, EPOCHS, Case, Rows, Study, counts_of, gained, gains, said

from masquerade.core.rundir import RunDir
from masquerade.engine.runtime import Runtime

FRAMEWORKS = {"MoCo": ["moco", *CNN], "SimCLR": ["simclr", *CNN]}
UNMIX = ["maskers=unmix"]
MIXMASK = ["maskers=mixmask", "maskers.0.pattern=discrete", "maskers.0.grid=2"]
STAR = [
    "maskers=unmix,mixmask",
    "maskers.1.pattern=discrete",
    "maskers.1.grid=2",
    "maskers.1.partners=random",
]
HIDING: dict[str, list[str]] = {"": [], "Un-Mix": UNMIX, "MixMask": MIXMASK, "MixMask*": STAR}
METHODS = {
    name if not how else f"{name} + {how}": [*recipe, *changes]
    for name, recipe in FRAMEWORKS.items()
    for how, changes in HIDING.items()
}
COLUMNS = {
    "knn": "kNN",
    "linear": "linear",
    "same_time_knn": "without masks, same CPU: kNN",
    "same_time": "linear",
    "steps": "steps",
    "cpu": "CPU-seconds",
}
OTHERS = {  # other pages on filled masks: heading, what they are, the command that writes them
    "filling_cost": (
        "What a step costs",
        "FLOPs and time of each framework with filled and erased copies, beside the framework "
        "without them and beside the black box",
        "python benchmarks/step_cost.py --tables filling",
    ),
    "mutations": (
        "Mistakes made on purpose",
        "The six mistakes that the paper file names, each made in a copy of the source",
        "python benchmarks/mutations.py",
    ),
}
COMPARED = (  # title of the column, what is measured, what it is compared with
    ("kNN, equal epochs", "knn", "knn"),
    ("linear, equal epochs", "linear", "linear"),
    ("kNN, equal CPU", "knn", "same_time_knn"),
    ("linear, equal CPU", "linear", "same_time"),
)


def main(words: Sequence[str] | None = None) -> int:
    """Run what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--data", nargs="+", default=["toybox:3", "fashion_mnist:3"])
    parser.add_argument("--epochs", nargs="*", default=[], help="toybox:6 fashion_mnist:2")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "filling")
    parser.add_argument("--at-once", type=int, default=1, help="runs, each with one thread")
    parser.add_argument("--set", nargs="*", default=[], help="key=value for every run")
    told = parser.parse_args(words)
    where = machine.machine(Runtime(threads=1).resolved())
    seeds, epochs = counts_of(told.data), EPOCHS | counts_of(told.epochs)
    baseline = {data: Case(data, "SimCLR", 0, epochs[data]) for data in seeds}

    def evaluate(case: Case) -> list[str]:
        with_baselines = str(case in baseline.values()).lower()
        return ["knn", "linear", f"baselines={with_baselines}"]

    study = Study(METHODS, framework, told.out, told.set, evaluate)
    study.run_tables(list(METHODS), seeds, epochs, told.at_once)
    body: list[str] = []
    figures: dict[str, Any] = {}
    goals: list[Goal] = []
    for data, count in seeds.items():
        rows = {m: study.measured(data, m, count, epochs[data]) for m in METHODS}
        others = untrained(study.place(baseline[data]))
        figures[data] = {"methods": rows, "baselines": others}
        body += [
            f"### {data}",
            scores(rows, others),
            differences(rows),
            *said_of(rows, others, count),
        ]
        goals += judged(data, rows)
    figures["exactness"] = exact = filled_exact.figures()
    goals += filled_exact.goals(exact)
    elsewhere = [text for other in OTHERS for text in beside(other)]
    trained = "## Un-Mix, MixMask and MixMask* against no masks"
    body = [trained, READING, *body, *filled_exact.page(exact), *elsewhere]
    write("filling", "Filled masks", body, figures, goals, where)
    return 0


def beside(name: str) -> list[str]:
    """What another page on filled masks has found, goal by goal."""
    heading, what, command = OTHERS[name]
    path = machine.RESULTS / f"{name}.json"
    told = f"{what}: [{name}.md]({name}.md)"
    if not path.exists():
        return [f"## {heading}", f"{told}, which `{command}` writes."]
    goals = json.loads(path.read_text("utf-8"))["goals"]
    lines = [[g["text"], g["figure"], "yes" if g["met"] else "**no**"] for g in goals]
    return [f"## {heading}", f"{told}.", table(("goal", "found", "met"), lines)]


def framework(method: str) -> str:
    """`MoCo` of `MoCo + MixMask`: the method without masks."""
    return method.partition(" + ")[0]


def untrained(place: Path) -> dict[str, dict[str, float]]:
    """Top-1 of the encoder before training and of raw pixels."""
    run = RunDir(place)
    rows = {name: run.read_json(f"eval/{name}.json")["rows"] for name in ("knn", "linear")}
    return {
        who: {name: found[who]["test/top1"] for name, found in rows.items()}
        for who in ("untrained", "pixels")
    }


def scores(rows: dict[str, Rows], others: dict[str, dict[str, float]]) -> str:
    """Mean (lowest to highest seed) of every column."""
    digits = {"steps": 0, "cpu": 0}
    lines = [
        [
            method,
            *(
                said([row[c] for row in found], 1 if c in digits else 100, digits.get(c, 1))
                for c in COLUMNS
            ),
        ]
        for method, found in rows.items()
    ]
    for who, found in others.items():
        lines.append([who, *(f"{100 * found[c]:.1f}" for c in ("knn", "linear")), *["-"] * 4])
    return table(("top-1 in %", *COLUMNS.values()), lines)


def paired(rows: dict[str, Rows], method: str, own: str, rival: str) -> list[float]:
    """What each seed of a method gains on the same seed of its framework, in points."""
    base = rows[framework(method)] if own == rival else rows[method]
    return gains([row[own] for row in rows[method]], [row[rival] for row in base])


def differences(rows: dict[str, Rows]) -> str:
    """Gains on the framework without masks, seed by seed."""
    lines = [
        [method, *(gained(paired(rows, method, own, rival)) for _, own, rival in COMPARED)]
        for method in rows
        if method != framework(method)
    ]
    return table(("points over no masks", *(title for title, *_ in COMPARED)), lines)


def unbeaten(rows: dict[str, Rows], name: str, own: str, rival: str) -> list[str]:
    """The methods of a framework that are not above it on every seed."""
    methods = [m for m in rows if m != name and framework(m) == name]
    return [m for m in methods if min(paired(rows, m, own, rival)) <= 0]


def judged(data: str, rows: dict[str, Rows]) -> list[Goal]:
    """Whether every mixture beats none by both measures, at equal epochs and at equal time."""
    goals = []
    for name in FRAMEWORKS:
        for how in ("equal epochs", "equal CPU"):
            missed = []
            for title, own, rival in COMPARED:
                if title.endswith(how):
                    missed += [
                        f"not {m.removeprefix(f'{name} + ')} by {title.partition(',')[0]}, "
                        + gained(paired(rows, m, own, rival))
                        for m in unbeaten(rows, name, own, rival)
                    ]
            goals.append(
                Goal(
                    f"{data}, {name}: Un-Mix, MixMask and MixMask* above no masks on every seed "
                    f"at {how}, by kNN and linear",
                    "; ".join(missed) or "all three by both",
                    not missed,
                )
            )
    return goals


def said_of(rows: dict[str, Rows], others: dict[str, dict[str, float]], count: int) -> list[str]:
    """Which methods do not beat their framework without masks, and which beat raw pixels."""
    seeds = f"every one of {count} seeds" if count > 1 else "the one seed"
    told = []
    for title, own, rival in COMPARED:
        short = [m for name in FRAMEWORKS for m in unbeaten(rows, name, own, rival)]
        told.append(f"- {title}: " + (", ".join(short) or "none"))
    above = [
        method
        for method, found in rows.items()
        if all(mean(row[c] for row in found) > others["pixels"][c] for c in ("knn", "linear"))
    ]
    pixels = f"Above raw pixels by kNN and linear, on average: {', '.join(above) or 'none'}."
    return [f"Not above no masks on {seeds}:", "\n".join(told), pixels]


READING = (
    "Top-1 in percent on images that no training saw, by kNN (k = 20) and a linear probe on frozen "
    "features; mean over seeds, lowest and highest in brackets. *Without masks, same CPU*: the "
    "framework alone, trained for as many CPU-seconds as the row's method took; its learning rate "
    "falls over that time. Differences are taken seed by seed: both runs of a pair begin with the "
    "same weights and see the same images in the same order. 10 classes: chance is 10. On 1,000 "
    "test images (toybox) a top-1 of 25 has a standard error of 1.4 points, on 10,000 "
    "(fashion_mnist) one of 75 has 0.4."
)


if __name__ == "__main__":
    sys.exit(main())
