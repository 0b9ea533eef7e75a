"""kill -9 at three moments of a real run: is what comes out the same, bit for bit?

One kill falls in the middle of writing a checkpoint, the others at random moments after one. The
settings are the small recipes, SimCLR and Sequential, at batch 256, on one thread, with the
default checkpoint interval; the share of time that checkpoints take is measured beside.
"""

import argparse
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks.machine import Goal, machine, table, write

from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.engine import checkpoint
from masquerade.engine.runtime import Runtime
from masquerade.jobs import pretrain
from masquerade.jobs.settings import Pretrain
from masquerade.recipes import adversarial_masking

RECIPES = {"simclr": adversarial_masking.simclr, "sequential": adversarial_masking.sequential}
EPOCHS = {"simclr": 3, "sequential": 2}  # about a minute and a half on one free core
LATER = 5.0  # seconds: a random kill falls at most so long after a checkpoint
TIMED = ("cpu_seconds", "images_per_s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--life", nargs=3, metavar=("NAME", "FOLDER", "DIES"), help="internal")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    told = parser.parse_args()
    if told.life:
        live(*told.life)
        return 0
    runtime = settings("simclr").runtime.resolved()
    where = machine(runtime)
    found = {name: measured(name, Seed(told.seed)) for name in RECIPES}
    report(found, where)
    return 0


def settings(name: str) -> Pretrain:
    """A small recipe on one thread of the CPU, with everything else as it comes."""
    runtime = Runtime(accelerator="cpu", threads=1)
    recipe = RECIPES[name]()
    return recipe.replace(epochs=EPOCHS[name], batch=256, runtime=runtime.tree())


def live(name: str, folder: str, dies: str) -> None:
    """One process of a run; with `dies` it kills itself in the middle of its first checkpoint."""
    save = torch.save

    def half(content: object, out: Any) -> None:
        whole = io.BytesIO()
        save(content, whole)
        out.write(whole.getvalue()[: whole.tell() // 2])
        out.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    if dies == "dies":
        torch.save = half  # type: ignore[assignment]  # this process ends with it
    pretrain.run(settings(name), folder, quiet=True)


def started(name: str, folder: Path, dies: str = "") -> subprocess.Popen[bytes]:
    """A process of its own, which can be killed."""
    return subprocess.Popen([sys.executable, __file__, "--life", name, str(folder), dies])


class Kill(NamedTuple):
    """A kill, and what it left.

    Attributes:
        moment: In words.
        saved: The step of the checkpoint that is left.
        half: Bytes of a half-written checkpoint that lie about.
    """

    moment: str
    saved: int
    half: int


def killed(folder: Path, moment: str) -> Kill:
    """What is there after a kill."""
    state = checkpoint.load(RunDir(folder))
    parts = [p.stat().st_size for p in folder.glob(".checkpoint.pt.*.part")]
    return Kill(moment, state.step if state else 0, sum(parts))


def at_random(name: str, folder: Path, seconds: float) -> Kill:
    """A life killed so many seconds after it wrote a checkpoint."""
    place = folder / checkpoint.NAME
    before = place.stat().st_mtime_ns if place.exists() else 0
    process = started(name, folder)
    while not place.exists() or place.stat().st_mtime_ns == before:
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended before it wrote a checkpoint; train longer")
        time.sleep(0.02)
    time.sleep(seconds)
    process.kill()
    if process.wait() != -signal.SIGKILL:
        raise RuntimeError(f"{name} ended before it was killed; train longer")
    return killed(folder, f"{seconds:.2f} s after a checkpoint")


def while_saving(name: str, folder: Path) -> Kill:
    """A life that kills itself with half a checkpoint on the disk."""
    if started(name, folder, "dies").wait() != -signal.SIGKILL:
        raise RuntimeError(f"{name} wrote no checkpoint; train longer")
    return killed(folder, "in the middle of writing a checkpoint")


class Found(NamedTuple):
    """What one recipe showed."""

    steps: int
    epoch_steps: int
    seconds: float
    checkpoint_bytes: int
    share: float
    kills: list[Kill]
    differing: list[str]


def measured(name: str, seed: Seed) -> Found:
    """An uninterrupted run and one that is killed three times, compared."""
    delays = LATER * torch.rand(2, generator=seed.fold("kills", name).generator())
    place = Path(tempfile.mkdtemp(prefix="masquerade-kills-"))
    whole, cut = place / "whole", place / "cut"
    try:
        begun = time.monotonic()
        if started(name, whole).wait() != 0:
            raise RuntimeError(f"{name} did not train")
        seconds = time.monotonic() - begun
        kills = [at_random(name, cut, float(delays[0])), while_saving(name, cut)]
        kills.append(at_random(name, cut, float(delays[1])))
        if started(name, cut).wait() != 0:
            raise RuntimeError(f"{name} did not go on")
        summary = RunDir(whole).read_json("summary.json")
        return Found(
            summary["steps"],
            summary["steps"] // EPOCHS[name],
            seconds,
            (whole / checkpoint.NAME).stat().st_size,
            summary["checkpoint_share"],
            kills,
            differences(whole, cut),
        )
    finally:
        shutil.rmtree(place)


def differences(one: Path, two: Path) -> list[str]:
    """Everything in which two finished runs differ, times left out."""
    wrong = []
    for name in ("encoder.safetensors", "heads.safetensors"):
        a, b = load_file(one / name), load_file(two / name)
        wrong += [f"{name}: {n}" for n in a | b if not (n in a and n in b and a[n].equal(b[n]))]
    if rows(one) != rows(two):
        wrong.append("metrics.jsonl")
    pictures = {p.name for folder in (one, two) for p in folder.glob("masks/*.npz")}
    wrong += [f"masks/{n}" for n in sorted(pictures) if not same(one, two, f"masks/{n}")]
    wrong += [str(p.relative_to(two)) for p in two.rglob(".*.part")]
    return wrong


def rows(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without times."""
    return [
        {k: v for k, v in row.items() if k not in TIMED and not k.startswith("time/")}
        for row in RunDir(folder).lines()
    ]


def same(one: Path, two: Path, name: str) -> bool:
    """Whether both runs have an array file, with equal content."""
    if not ((one / name).exists() and (two / name).exists()):
        return False
    with np.load(one / name) as a, np.load(two / name) as b:
        return set(a) == set(b) and all(np.array_equal(a[key], b[key]) for key in a)


def report(found: dict[str, Found], where: dict[str, Any]) -> None:
    """Write docs/results/kills."""
    wrong = [f"{name} {what}" for name, f in found.items() for what in f.differing]
    shares = ", ".join(f"{name} {f.share:.2%}" for name, f in found.items())
    goals = [
        Goal(
            "final weights, metrics and masks equal bit for bit after three kill -9",
            ", ".join(wrong) or "equal: " + ", ".join(found),
            not wrong,
        ),
        Goal(
            "checkpoints take under 2 % of the time",
            shares,
            max(f.share for f in found.values()) < 0.02,
        ),
    ]
    lines = [
        (name, kill.moment, f"{kill.saved} of {f.steps}", kill.half)
        for name, f in found.items()
        for kill in f.kills
    ]
    runs = [
        (name, f.steps, f.epoch_steps, f"{f.seconds:.0f}", f"{f.checkpoint_bytes / 1e6:.1f}")
        for name, f in found.items()
    ]
    epochs = ", ".join(f"{n} {f.steps // f.epoch_steps}" for n, f in found.items())
    body = [
        f"The small recipes at batch 256 (epochs: {epochs}), in processes of their own that get "
        "SIGKILL, each going on with the folder as the one before left it. Times are left out of "
        "the comparison, everything else in metrics.jsonl is in it.",
        table(("run", "killed", "checkpoint left, step", "half-written bytes"), lines),
        table(("run", "steps", "steps of an epoch", "seconds", "checkpoint, MB"), runs),
    ]
    figures = {
        name: f._asdict() | {"kills": [k._asdict() for k in f.kills]} for name, f in found.items()
    }
    write("kills", "A run that is killed", body, figures, goals, where)


if __name__ == "__main__":
    sys.exit(main())
