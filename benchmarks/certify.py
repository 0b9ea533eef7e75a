"""Certificates: what they cost, and what they certify on real photographs.

The speed part counts CPU-seconds of one thread on random scores that look like an ensemble's: most
models agree on a class, a second class is close. The part with data fits heads on Fashion-MNIST:
on raw pixels, on the features of an untrained encoder and of one that was trained on other images
of the set (it is trained first, where there is none), for three numbers of partitions.

    python benchmarks/certify.py
"""

import argparse
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks.machine import ROOT, Goal, machine, table, write

from masquerade.certify import dpa, ensemble, fa, roe_dpa, roe_fa
from masquerade.certify.base import Ballots, identity, ring
from masquerade.certify.ensemble import Labelled
from masquerade.certify.learners import ridge
from masquerade.certify.partition import Parts, offsets
from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.data.sources import fashion_mnist
from masquerade.engine.runtime import Runtime
from masquerade.jobs import pretrain, radii
from masquerade.jobs.certify import certified, claim, gathered
from masquerade.jobs.certify_settings import Certify, Extractor
from masquerade.jobs.labelled import Material
from masquerade.recipes.sheets import sheet

ENCODER = ROOT / "runs/certify/encoder"
FEATURES: tuple[Extractor, ...] = ("pixels", "untrained", "trained")
BUDGETS = {50: (5, 10, 15, 20), 250: (10, 20, 40, 60), 1200: (50, 100, 200, 300)}
FEW = 2000  # labelled images of the case with too few of them, and its partitions and budgets
TRAP = {50: (2, 5, 10, 15), 250: (5, 10, 20, 40)}
RUNTIME = Runtime(threads=1, accelerator="cpu")
NAMES = {"dpa": "DPA", "roe_dpa": "DPA + ROE", "fa": "FA", "roe_fa": "FA + ROE"}


class Timed(NamedTuple):
    """One measurement.

    Attributes:
        what: The certificate and its size.
        seconds: CPU-seconds, the least of the repeats.
        goal: What they ought to be at most; None where nothing is asked.
        megabytes: The most that arrays took at once, beyond the scores.
    """

    what: str
    seconds: float
    goal: float | None
    megabytes: float


def scores(images: int, models: int, classes: int) -> Float[Tensor, "T K C"]:
    """Scores of models that agree to different degrees, image by image."""
    draw = Seed(0).fold("scores", images, models, classes).generator()
    logits = torch.randn(images, models, classes, generator=draw)
    first = torch.randint(classes, (images, 1, 1), generator=draw)
    second = (first + torch.randint(1, classes, first.shape, generator=draw)) % classes
    strength = 3 * torch.rand(images, 1, 1, generator=draw)
    for place, share in ((first, 1.0), (second, 0.7)):
        where = place.expand(images, models, 1)
        logits.scatter_add_(2, where, (share * strength).expand(images, models, 1))
    return logits


def timed(what: str, goal: float | None, repeats: int, do: Callable[[], object]) -> Timed:
    """CPU-seconds of a piece of work, and what NumPy holds at once while it is done once more."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        do()
        found.append(time.process_time() - start)
    tracemalloc.start()
    do()
    megabytes = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    say(f"{what}: {min(found):.2f} CPU-seconds, {megabytes:.0f} MB")
    return Timed(what, min(found), goal, megabytes)


def speed(images: int, repeats: int) -> list[Timed]:
    """Every certificate at the sizes of the papers, the smaller inputs first."""
    rows = []
    spread = scores(images // 10, 800, 10)
    ballots = Ballots(spread, ring(800, offsets(800, 16)))
    size = f"{len(spread):,} images, k = 50, d = 16, 10 classes"
    rows.append(timed(f"FA, {size}", None, repeats, lambda: fa.certify(ballots, ties="index")))
    for tight, goal in ((False, 0.5), (True, None)):
        rows.append(
            timed(
                f"FA + ROE {'tight' if tight else 'published'}, {size}",
                goal,
                repeats,
                lambda tight=tight: roe_fa.certify(ballots, ties="index", tight=tight),  # type: ignore[misc]  # bound now
            )
        )
    del spread
    for classes, published, exact in ((10, 0.5, 1.0), (43, 2.0, 8.0)):
        one = Ballots(scores(images, 1200, classes), identity(1200))
        size = f"{images:,} images, k = 1,200, {classes} classes"
        rows.append(timed(f"DPA, {size}", None, repeats, lambda: dpa.certify(one, ties="index")))  # noqa: B023  (used at once)
        for tight, goal in ((False, published), (True, exact)):
            rows.append(
                timed(
                    f"DPA + ROE {'tight' if tight else 'published'}, {size}",
                    goal * images / 10000,
                    repeats,
                    lambda tight=tight: roe_dpa.certify(one, ties="index", tight=tight),  # type: ignore[misc]  # noqa: B023
                )
            )
        del one
    return rows


def heads(samples: int) -> Timed:
    """Ridge heads of 1,200 partitions, on two threads."""
    draw = Seed(1).generator()
    features = torch.randn(samples, 512, generator=draw)
    digests = [f"{v:016x}" for v in torch.randint(2**62, (samples,), generator=draw).tolist()]
    parts = Parts(parts=1200)
    training = Labelled(
        features, torch.randint(10, (samples,), generator=draw), digests, parts.named(digests).own
    )
    classes = tuple(str(i) for i in range(10))
    torch.set_num_threads(2)
    what = f"heads: {samples:,} samples of 512 features, 1,200 partitions, 10 classes"
    found = timed(
        what,
        20.0 * samples / 50000,  # 10 seconds of two cores
        1,
        lambda: ensemble.fit(training, classes, parts, ridge.Config()),
    )
    torch.set_num_threads(1)
    return found


def encoder(run: RunDir) -> None:
    """Train a small encoder on 10,000 images of Fashion-MNIST, unless there is one."""
    config = sheet("certified_poisoning.fashion_mnist").encoder
    assert config is not None
    pretrain.run(config.override(["runtime.threads=1"]), run.path, say, quiet=True)


def say(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr)


def materials(run: RunDir, tests: int) -> dict[str, Material]:
    """Fashion-MNIST as pixels, untrained and trained features; the last without its own images."""
    runtime = RUNTIME.resolved()
    found: dict[str, Material] = {}
    for name in FEATURES:
        start = time.process_time()
        overlap = "drop" if name == "trained" else "keep"
        config = settings(name).replace(overlap=overlap, tests=tests)
        found[name] = gathered(config, run, runtime, say)
        if name == "pixels":
            found["few labels"] = few(found[name])
        seconds = time.process_time() - start
        say(f"{name}: {len(found[name].labels):,} images, {seconds:.0f} CPU-s")
    return found


def settings(features: Extractor) -> Certify:
    """The settings of a certificate."""
    return Certify(data=fashion_mnist.Config(), features=features)


def few(whole: Material) -> Material:
    """The first labelled images alone, and fewer test images."""
    tests = whole.tests
    some = tests._replace(
        features=tests.features[:FEW], truth=tests.truth[:FEW], files=tests.files[:FEW], images=None
    )
    return whole._replace(
        features=whole.features[:FEW],
        labels=whole.labels[:FEW],
        digests=whole.digests[:FEW],
        images=None,
        tests=some,
    )


def certificates(
    material: Material, parts: int, spread: int, budgets: tuple[int, ...]
) -> dict[str, Any]:
    """All rules on one set of features."""
    config = settings("pixels").override([f"features={material.origin}"])
    config = config.replace(parts=parts, spread=spread)
    start = time.process_time()
    found: dict[str, radii.Told] = {}
    for rules in (["dpa", "roe_dpa"], ["fa", "roe_fa"]):
        how = config.divided(rules[0])
        fitted = ensemble.fit(material.training(how), material.classes, how, ridge.Config())
        found |= certified(config, rules, fitted, material, lambda text: None)
    seconds = time.process_time() - start
    told = radii.result(config.tree(), budgets, material, claim(config, material, RUNTIME), found)
    say(f"k = {parts}: {seconds:.0f} CPU-seconds")
    return {**told, "cpu_seconds": seconds}


def page(rows: list[Timed], real: dict[str, dict[int, dict[str, Any]]], spread: int) -> list[str]:
    """Paragraphs and tables."""
    body = [
        "## Cost",
        "CPU-seconds of one thread (heads: of two), the least of the repeats; megabytes are the "
        "most that NumPy's arrays took at once, the scores themselves not counted.",
        table(
            ("what", "CPU-s", "MB"),
            [(r.what, f"{r.seconds:.2f}", f"{r.megabytes:.0f}") for r in rows],
        ),
    ]
    if not real:
        return body
    body += [
        "## Fashion-MNIST",
        "Certified accuracy in per cent against the number of poisoned partitions R, on test "
        f"images; ridge heads, FA with d = {spread}. `one model` is the mean accuracy of a single "
        "head. `few labels` are pixels of the first labelled images alone: what partitions that "
        "are too small do to the run-off election. `untrained` and `trained` are the encoder "
        "before and after SimCLR on 10,000 of the training images, without labels; these are left "
        "out of what `trained` is fitted on.",
        "The default strength of ridge, 0.1, was chosen among six powers by certified accuracy on "
        "1,500 of the test images: on this set the figures are that much too good, and the "
        "assumption that the base learner was chosen without these labels does not hold.",
    ]
    for name, sizes in real.items():
        some = next(iter(sizes.values()))
        title = f"{some['images']:,} labelled, {some['tests']:,} test images"
        body.append(f"### {name}: {title}, scope `{some['scope']}`")
        for k, told in sizes.items():
            sized = told["rules"]["dpa"]["health"]
            lines = [
                (
                    NAMES[rule],
                    *(f"{100 * v:.1f}" for v in (r["base"], r["clean"], *r["certified"].values())),
                )
                for rule, r in told["rules"].items()
            ]
            columns = (
                f"k = {k}",
                "one model",
                "R = 0",
                *(f"R = {b}" for b in told["rules"]["dpa"]["certified"]),
            )
            body.append(table(columns, lines))
            body.append(
                f"{sized['mean']:.0f} images per partition ({sized['least']} to {sized['most']}), "
                f"{100 * sized['absent']:.1f} % of its classes absent, {told['cpu_seconds']:.0f} "
                "CPU-seconds for all four."
            )
    return body


def main() -> None:
    """Measure and write docs/results/certify.*."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=10000, help="of the speed part")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--run", type=Path, default=ENCODER, help="the folder of the encoder")
    parser.add_argument("--tests", type=int, default=2000, help="test images of the data part")
    parser.add_argument("--spread", type=int, default=4)
    parser.add_argument("--parts", type=int, nargs="*", default=list(BUDGETS))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    where = machine(RUNTIME.resolved())
    rows = [*speed(asked.images, asked.repeats), heads(5 * asked.images)]
    real: dict[str, dict[int, dict[str, Any]]] = {}
    if asked.parts:
        encoder(RunDir(asked.run))
        for name, material in materials(RunDir(asked.run), asked.tests).items():
            sizes = TRAP if name == "few labels" else {k: BUDGETS[k] for k in asked.parts}
            real[name] = {
                k: certificates(material, k, asked.spread, budgets) for k, budgets in sizes.items()
            }
    goals = [
        Goal(f"{r.what}: at most {r.goal:g} CPU-s", f"{r.seconds:.2f}", r.seconds <= r.goal)
        for r in rows
        if r.goal is not None
    ]
    most = max(r.megabytes for r in rows[:-1])
    goals.append(Goal("certificates: at most 300 MB beyond the scores", f"{most:.0f}", most <= 300))
    figures = {"speed": [r._asdict() for r in rows], "fashion_mnist": real}
    write("certify", "Certificates", page(rows, real, asked.spread), figures, goals, where)


if __name__ == "__main__":
    main()
