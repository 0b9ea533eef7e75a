"""The demo: no masks, an adversary's masks, and no masks for the same computing time, side by side.

On a CPU with two cores or more, Sequential trains in a process of its own while SimCLR trains
here, each with half of the cores: threads that wait for each other at every operation are slow
where anything else runs.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from masquerade.api import Run, settled
from masquerade.core.cores import cores
from masquerade.core.errors import Interrupted, MasqueradeError
from masquerade.core.rundir import RunDir
from masquerade.jobs import evaluate as evaluating
from masquerade.jobs import masks as mask_quality
from masquerade.jobs import pretrain as training
from masquerade.jobs.settings import Pretrain
from masquerade.recipes.base import recipe
from masquerade.report import page

Say = Callable[[str], None]
Check = Callable[[], None]
LIMIT = 10_000  # at most so many images of a split, so that the demo ends in minutes
USUAL = 4_000  # images of the embedded set; others are seen for about as many steps


def demo(
    data: str = "toybox",
    out: str | Path = "runs/demo",
    seed: int = 0,
    settings: Sequence[str] = (),
    say: Say = print,
) -> RunDir:
    """SimCLR and Sequential at equal steps, SimCLR at Sequential's CPU-seconds, measured and shown.

    Every part that is done already is not done again, so a demo that was cut goes on. Every set
    is seen for about as many steps as the embedded one; of large sets 10,000 images are used.

    Args:
        data: A source, or a folder with one sub-folder per class.
        out: Where the runs, the table (`demo.json`) and the page (`report.html`) go.
        seed: Of everything.
        settings: `key=value` changes to all runs.
        say: Takes lines for the user.
    """
    folder = RunDir(out)
    changes = [f"data={data}", f"seed={seed}", f"limit={LIMIT}", *settings]
    if not any(text.startswith("epochs=") for text in settings):
        usual = recipe("simclr")
        count = len(usual.override(changes).images())
        changes.append(f"epochs={max(1, round(usual.epochs * USUAL / count))}")
    plain = settled("simclr", "small", changes, say)
    masked = settled("sequential", "small", changes, training.silent)
    together = plain.runtime.device().type == "cpu" and cores() > 1
    if together and plain.runtime.threads == 0:
        plain, masked = (c.override([f"runtime.threads={cores() // 2}"]) for c in (plain, masked))
    places = {n: folder.path / n for n in ("simclr", "sequential", "simclr-same-cpu")}

    with beside(masked, places["sequential"], say) if together else alone() as check:
        say("SimCLR, no masks")
        training.run(plain, places["simclr"], say)
        if not together:
            say("Sequential: SimCLR against an adversary that hides, equal steps")
            training.run(masked, places["sequential"], say)
        epochs = same_cost(plain, places, check)
        say(f"SimCLR for as many CPU-seconds as Sequential takes, {epochs} epochs")
        longer = plain.replace(epochs=epochs, title="SimCLR, same CPU time")
        training.run(longer, places["simclr-same-cpu"], say)

    names = ("SimCLR", "Sequential", longer.title)
    runs = {name: Run(place) for name, place in zip(names, places.values(), strict=True)}
    folder.write_json("demo.json", demo_table(runs, say))
    page.write_demo(folder)
    return folder


@contextmanager
def alone() -> Iterator[Check]:
    """Nothing trains beside."""
    yield lambda: None


@contextmanager
def beside(config: Pretrain, place: Path, say: Say) -> Iterator[Check]:
    """Trains in another process meanwhile, and waits for it at the end.

    Its lines go to `train.log` of its folder. An end by a signal or an error here ends it too;
    it saves itself first. What is yielded raises as soon as the process has failed.

    Raises:
        Interrupted: It was stopped by a signal.
        MasqueradeError: It failed; the text is its own.
    """
    run = RunDir(place)
    with run.locked():
        run.start(config.tree())
    if run.has("summary.json"):
        yield lambda: None
        return
    say(f"Sequential, SimCLR against an adversary that hides, trains beside: {place}/train.log")
    words = [sys.executable, "-m", "masquerade", "pretrain", str(place)]
    with run.file("train.log").open("ab") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            with ended_in_order():
                yield lambda: failed(process.poll(), run)
                waited(process, run, say)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    failed(process.returncode, run)


@contextmanager
def ended_in_order() -> Iterator[None]:
    """A SIGTERM becomes an `Interrupted`, so that what trains beside is ended, too."""

    def stop(number: int, frame: object) -> None:
        raise Interrupted("stopped; the runs are saved. Repeat the command to go on", number)

    try:
        old = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread: signals belong to whoever is
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


def failed(code: int | None, run: RunDir) -> None:
    """Raises what became of a training process; nothing while it runs or where it succeeded."""
    if code in (130, 143):
        raise Interrupted("stopped; the runs are saved. Repeat the command to go on", code - 128)
    if code:
        last = run.file("train.log").read_text(errors="replace").strip().splitlines()[-1:]
        raise MasqueradeError(f"training in {run.path} failed: {' '.join(last)}")


def waited(process: "subprocess.Popen[bytes]", run: RunDir, say: Say) -> None:
    """Until it ends, with a word every half minute."""
    spoken = time.monotonic()
    while process.poll() is None:
        time.sleep(0.2)
        if time.monotonic() - spoken > 30:
            spoken = time.monotonic()
            done = run.lines()[-1]["step"] + 1 if run.lines() else 0
            say(f"waiting for Sequential, step {done}")


def same_cost(plain: Pretrain, places: dict[str, Path], check: Check) -> int:
    """Epochs of SimCLR that cost as many CPU-seconds as all of Sequential.

    While Sequential still trains, from what its steps cost so far. A demo that was cut keeps the
    number it began with.
    """
    begun = RunDir(places["simclr-same-cpu"])
    if begun.has("config.json"):
        return int(begun.read_json("config.json")["epochs"])
    masked = RunDir(places["sequential"])
    while not (masked.has("summary.json") or any(row["step"] for row in masked.lines())):
        check()  # it may be slower to start than SimCLR to end
        time.sleep(0.2)
    cost = {n: per_step(RunDir(places[n])) for n in ("simclr", "sequential")}
    return max(1, round(plain.epochs * cost["sequential"] / cost["simclr"]))


def per_step(run: RunDir) -> float:
    """CPU-seconds of a step, the start of the program left out."""
    rows = [row for row in run.lines() if "cpu_seconds" in row]
    first, last = rows[0], rows[-1]
    steps = max(1, int(last["step"]) - int(first["step"]))
    return max(1e-9, float(last["cpu_seconds"] - first["cpu_seconds"])) / steps


def demo_table(runs: dict[str, Run], say: Say) -> dict[str, Any]:
    """Every run measured, the untrained encoder and raw pixels beside them."""
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    masks: dict[str, Any] = {}
    for name, run in runs.items():
        wanted = ["knn", "linear", "embedding"] if name == "Sequential" else ["knn", "linear"]
        config = evaluating.Evaluate.of(run.folder, wanted, {}).replace(baselines=name == "SimCLR")
        found = evaluating.run(config, run.folder, say)
        scores = {p: found[p]["rows"] for p in ("knn", "linear")}
        if name == "SimCLR":
            notes += [n for p in ("knn", "linear") for n in found[p]["notes"]]
            rows += [{"name": "raw pixels", **flat(scores, "pixels")}]
            rows += [{"name": "untrained encoder", **flat(scores, "untrained")}]
        summary = run.summary
        cost = {"steps": summary["steps"], "cpu_seconds": summary["cpu_seconds"]}
        rows.append({"name": name, **cost, **flat(scores, "trained")})
        if mask_quality.has_masks(run.folder, config):
            masks = mask_quality.run(run.folder, config)
    names = list(dict.fromkeys(key for row in rows for key in row))
    return {
        "table": {"columns": names, "rows": rows},
        "main": "sequential",
        "notes": list(dict.fromkeys(notes)),
        "masks": masks,
    }


def flat(scores: dict[str, Any], who: str) -> dict[str, float]:
    """`knn_test`, `linear_seen` and so on: top-1 of one encoder."""
    return {
        f"{protocol}_{key.removesuffix('/top1')}": value
        for protocol, rows in scores.items()
        for key, value in rows.get(who, {}).items()
        if key.endswith("/top1") and "_" not in key
    }
