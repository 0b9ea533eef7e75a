"""Trials: methods on images over seeds, each a run of the product in a process of its own.

Every method trains for equal epochs; then its baseline trains once more for the CPU-seconds that
the method took. What is done already is not done again, so a script that is cut goes on.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from masquerade.core.rundir import RunDir

IMAGES: dict[str, list[str]] = {"fashion_mnist": ["data=fashion_mnist", "limit=10000"]}
EPOCHS = {"toybox": 6, "fashion_mnist": 2}  # 372 and 312 steps of 64 images each
CNN = [  # a ResNet-18 of a block per stage and a quarter of the widths, four times fewer pixels
    "backbone.stem=imagenet",
    "backbone.options="
    + json.dumps(
        {
            "layers": [1, 1, 1, 1],
            "channels": [16, 32, 64, 128],
            "stem_type": "deep",
            "stem_width": 16,
        }
    ),
    "optimizers.encoder.lr=0.003",
]


class Case(NamedTuple):
    """One run: which images, which method, which seed, for how long."""

    data: str
    method: str
    seed: int
    epochs: int


class Study(NamedTuple):
    """What is tried.

    Attributes:
        methods: The recipe of each, and what is changed in it.
        base: The name of the method that each is compared with.
        out: Where the runs go.
        extra: `key=value` for every run.
        evaluate: What a case is measured with: words after `masquerade evaluate RUN`.
    """

    methods: dict[str, list[str]]
    base: Callable[[str], str]
    out: Path
    extra: Sequence[str]
    evaluate: Callable[[Case], list[str]]

    def place(self, case: Case) -> Path:
        """The folder of a run."""
        words = "".join(c if c.isalnum() else "-" for c in case.method.lower())
        return self.out / case.data / f"{words}-{case.epochs}-epochs-seed-{case.seed}"

    def run(self, case: Case) -> None:
        """Train and measure what is not done."""
        place = self.place(case)
        recipe, *changes = self.methods[case.method]
        images = IMAGES.get(case.data, [f"data={case.data}"])
        told = [f"seed={case.seed}", f"epochs={case.epochs}", "runtime.threads=1", *self.extra]
        if not (place / "summary.json").exists():
            masquerade(["pretrain", recipe, f"out={place}", *images, *changes, *told], place)
        if not (place / "eval" / "linear.json").exists():
            verb = ["evaluate", str(place), *self.evaluate(case), "runtime.threads=1"]
            masquerade(verb, place)

    def run_all(self, cases: Sequence[Case], at_once: int) -> None:
        """So many at once, each with one thread; a case that is named twice runs once."""
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(self.run, dict.fromkeys(cases)))

    def run_tables(
        self, methods: Sequence[str], seeds: dict[str, int], epochs: dict[str, int], at_once: int
    ) -> None:
        """Every method at equal epochs and its baseline at equal time, a whole seed at a time."""
        for seed in range(max(seeds.values())):
            wanted = [
                Case(data, method, seed, epochs[data])
                for data, count in seeds.items()
                if seed < count
                for method in methods
            ]
            self.run_all(wanted, at_once)
            self.run_all([self.longer(case) for case in wanted], at_once)

    def longer(self, case: Case) -> Case:
        """The baseline for as many CPU-seconds as a case took."""
        base = case._replace(method=self.base(case.method))
        times = self.found(case)["cpu"] / self.found(base)["cpu"]
        return base._replace(epochs=max(case.epochs, round(case.epochs * times)))

    def found(self, case: Case) -> dict[str, float]:
        """What a run ended with."""
        run = RunDir(self.place(case))
        summary = run.read_json("summary.json")
        rows = {n: run.read_json(f"eval/{n}.json")["rows"]["trained"] for n in ("knn", "linear")}
        found = {n: row["test/top1"] for n, row in rows.items()}
        found |= {"steps": summary["steps"], "cpu": summary["cpu_seconds"]}
        if run.has("eval/masks.json"):
            masks = run.read_json("eval/masks.json")
            found |= {"iou": masks["test/iou"], "square": masks["test/square"]}
            found |= {"ari": masks["test/ari"], "square_ari": masks["test/square_ari"]}
        return found

    def measured(self, data: str, method: str, count: int, epochs: int) -> "Rows":
        """One row per seed, with what the baseline reaches in the same CPU-seconds."""
        rows = []
        for seed in range(count):
            case = Case(data, method, seed, epochs)
            same = self.found(self.longer(case))
            more = {"same_time": same["linear"], "same_time_knn": same["knn"]}
            rows.append(self.found(case) | more)
        return rows


Rows = list[dict[str, float]]


def masquerade(words: list[str], place: Path) -> None:
    """Run a verb in a process of its own; its words go to a file beside the run."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".log").open("a", encoding="utf-8") as log:
        verb = [sys.executable, "-m", "masquerade", *words]
        subprocess.run(verb, check=True, stdout=log, stderr=log)


def counts_of(words: Sequence[str]) -> dict[str, int]:
    """`toybox:3 digits` as numbers by name; 1 where none is given."""
    parts = (word.partition(":") for word in words)
    return {name: int(count or 1) for name, _, count in parts}


def said(values: Sequence[float], scale: float = 1, digits: int = 1) -> str:
    """`29.7 (29.1 to 30.2)`: the mean, and the lowest and highest; a dash for none."""
    if not values:
        return "-"
    low, middle, high = (f"{scale * f(values):.{digits}f}" for f in (min, mean, max))
    return middle if low == high else f"{middle} ({low} to {high})"


def gains(values: Sequence[float], rivals: Sequence[float]) -> list[float]:
    """What each seed gains on its rival, in points."""
    return [100 * (own - other) for own, other in zip(values, rivals, strict=True)]


def gained(points: Sequence[float]) -> str:
    """`+1.2 (+0.9, +1.2, +1.6)`: the mean, and each seed."""
    return f"{mean(points):+.1f} ({', '.join(f'{g:+.1f}' for g in points)})"
