"""How fast SimCLR trains from a folder of JPEGs: beside its bare model, and beside lightly.

The real program, `masquerade pretrain simclr data=FOLDER` with full ResNet-18 (small stem, 32 px,
batch 256, one thread) and everything it does by default: probe, metrics, health, checkpoints.
Beside it the same model on one fixed batch, and lightly's documented example as it runs by default
and with bf16 autocast. All take turns of an epoch; figures are images per CPU-second, workers
included.

    python benchmarks/pretrain.py
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks.machine import Goal, Spread, machine, table, write
from benchmarks.turns import Contender, Turn

from masquerade.core.rundir import RunDir
from masquerade.data.sources import toybox
from masquerade.engine.runtime import Runtime
from masquerade.recipes.base import recipe

HERE = Path(__file__).resolve().parent
BATCH = 256
PIXELS = 96
OURS, ALONE, DEFAULT, BF16 = "masquerade", "model alone", "lightly", "lightly, bf16"


class Setting(NamedTuple):
    """What is measured.

    Attributes:
        device: "cpu" counts images per CPU-second, "cuda" per second.
        threads: Compute threads of every program.
        images: In the folder; a multiple of the batch.
        peer_images: Of them, those that lightly trains on; a multiple of the batch.
        rounds: Turns of each program after its first.
    """

    device: str
    threads: int
    images: int
    peer_images: int
    rounds: int

    def of(self, name: str) -> int:
        """Images of a program's turn."""
        return self.peer_images if name in (DEFAULT, BF16) else self.images

    def rate(self, name: str, turn: Turn) -> float:
        """Images per CPU-second, or per second on a GPU."""
        return self.of(name) / (turn.wall if self.device == "cuda" else turn.cpu)


def photographs(folder: Path, count: int) -> None:
    """Write `count` JPEGs of 96 px in class folders below `train`; toybox images, not photos."""
    source = toybox.Config(pixels=PIXELS, per_class=-(-count // 10))
    images = source.load("train", PIXELS)
    labels = images.targets["label"]
    rows = range(len(images))
    first = sorted(rows, key=lambda row: (row % source.per_class, row))[:count]  # all classes
    for row in first:
        place = folder / "train" / images.classes[labels[row]] / f"{row:06d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.pixels[row]).save(place, quality=90)


def subset(folder: Path, count: int, into: Path) -> None:
    """Link `count` of the images, evenly spaced, into a folder of the same shape."""
    files = sorted((folder / "train").rglob("*.jpg"))
    for k in range(count):
        file = files[k * len(files) // count]
        place = into / file.parent.name / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(file)


def lightly_python() -> Path | None:
    """The Python of an environment that has lightly: LIGHTLY_PYTHON, or /opt/lightly-env."""
    python = Path(os.environ.get("LIGHTLY_PYTHON", "/opt/lightly-env/bin/python"))
    return python if python.is_file() else None


def lightly_versions(python: Path) -> dict[str, str]:
    """What runs in lightly's environment."""
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        capture_output=True,
        check=True,
    )
    wanted = ("lightly", "torch", "torchvision", "numpy", "pillow")
    rows = json.loads(listed.stdout)
    return {r["name"].lower(): r["version"] for r in rows if r["name"].lower() in wanted}


def contenders(setting: Setting, folder: Path) -> dict[str, Contender]:
    """The programs, each with a file it adds a line to after an epoch."""
    photographs(folder / "images", setting.images)
    config = recipe("simclr").override(
        [
            f"data={folder / 'images'}",
            "backbone.options={}",  # the recipe's own encoder is smaller
            f"epochs={setting.rounds + 1}",
            f"batch={BATCH}",
            f"runtime.accelerator={setting.device}",
            f"runtime.threads={setting.threads}",
        ]
    )
    run = RunDir(folder / "run")
    place = run.write_json("config.json", config.tree())
    variables = {
        "OMP_NUM_THREADS": str(setting.threads),
        "MASQUERADE_CACHE": str(folder / "cache"),
    }
    python, here = sys.executable, HERE
    alone = [str(place), str(folder / "alone"), f"--rounds={setting.rounds}"]
    alone.append(f"--steps={setting.images // BATCH}")
    found = {
        OURS: Contender(
            [python, "-m", "masquerade", "pretrain", str(run.path)],
            run.path / "metrics.jsonl",
            '"images_per_s"',
            folder / "ours.log",
            variables,
        ),
        ALONE: Contender(
            [python, str(here / "fixed_batch.py"), *alone],
            folder / "alone",
            "round",
            folder / "alone.log",
            variables,
        ),
    }
    peer = lightly_python()
    if peer is None:
        return found
    subset(folder / "images", setting.peer_images, folder / "peer")
    for name, extra in ((DEFAULT, []), (BF16, ["--bf16"])):
        lines = folder / name.replace(", ", "-")
        words = [str(peer), str(here / "lightly_simclr.py"), str(folder / "peer"), str(lines)]
        words += [f"--epochs={setting.rounds}", f"--threads={setting.threads}"]
        words += [f"--device={setting.device}", *extra]
        found[name] = Contender(words, lines, "round", lines.with_suffix(".log"), variables)
    return found


def measured(setting: Setting, folder: Path) -> dict[str, list[Turn]]:
    """All turns of each program, the first one included."""
    with ExitStack() as stack:
        programs = contenders(setting, folder)
        for program in programs.values():
            stack.enter_context(program)
        for number in range(setting.rounds + 1):
            for name, program in programs.items():
                program.turn()
                print(f"{name}: {program.turns[number]}", file=sys.stderr, flush=True)
        programs[OURS].finish()
        return {name: program.turns for name, program in programs.items()}


class Found(NamedTuple):
    """What the turns of a program come to, without its first.

    Attributes:
        cpu: Images per CPU-second.
        wall: Images per second while it ran.
        share: Our rate divided by this program's in the same round.
        user: The same without the kernel's CPU-seconds.
        kernel: The kernel's share of the CPU-seconds, in 0..1.
    """

    cpu: Spread
    wall: Spread
    share: Spread
    user: Spread
    kernel: Spread


def compared(setting: Setting, turns: dict[str, list[Turn]]) -> dict[str, Found]:
    """Every program, beside ours."""
    ours = turns[OURS][1:]
    found = {}
    for name, (_, *own) in turns.items():
        images = setting.of(name)
        pairs = list(zip(ours, own, strict=True))
        found[name] = Found(
            Spread.of([images / t.cpu for t in own]),
            Spread.of([images / t.wall for t in own]),
            Spread.of([setting.rate(OURS, our) / setting.rate(name, t) for our, t in pairs]),
            Spread.of([setting.images / our.user / (images / t.user) for our, t in pairs]),
            Spread.of([t.kernel / t.cpu for t in own]),
        )
    return found


def goals(setting: Setting, found: dict[str, Found]) -> list[Goal]:
    """What ought to hold, on a CPU and on a GPU."""
    least = {ALONE: 0.9} if setting.device == "cuda" else {ALONE: 0.85, DEFAULT: 2.5, BF16: 1.25}
    words = {
        ALONE: "of the same model on one fixed batch",
        DEFAULT: "times lightly's documented example as it runs by default",
        BF16: "times the same with bf16 asked for",
    }
    return [
        Goal(
            f"at least {least[name]:g} {words[name]}",
            found[name].share.said(),
            found[name].share.median >= least[name],
        )
        for name in least
        if name in found
    ]


def page(
    setting: Setting,
    turns: dict[str, list[Turn]],
    found: dict[str, Found],
    versions: dict[str, str],
) -> list[str]:
    """The text between goals and machine."""
    unit = "second" if setting.device == "cuda" else "CPU-second"
    first = turns[OURS][0]
    rows = [
        [
            name,
            f.cpu.said(1),
            f.wall.said(1),
            f"{f.kernel.median:.0%}",
            f.share.said(),
            f.user.said(),
        ]
        for name, f in found.items()
    ]
    return [
        f"SimCLR, ResNet-18 with the small stem at 32 px, batch {BATCH}, {setting.threads} compute "
        f"thread, a folder of {setting.images:,} JPEGs of {PIXELS} px with class folders. "
        "*masquerade* is the real program with its defaults: probe on the labels, metrics, health, "
        "checkpoints; the figures are of its second and later epochs. *model alone* is backbone, "
        "projector, loss and optimizer on one fixed batch in the same precision. Medians, lowest "
        "and highest of the turns; *ours / this* compares within each round of turns, by images "
        f"per {unit}.",
        table(
            (
                "program",
                "images per CPU-second",
                "images per second",
                "kernel",
                "ours / this",
                "by user time",
            ),
            rows,
        ),
        f"First epoch, with start of the program, decoding and caching: {first.cpu:.1f} "
        f"CPU-seconds, workers included ({setting.images / first.cpu:.1f} images per CPU-second); "
        f"a later one: {median(t.cpu for t in turns[OURS][1:]):.1f}. A checkpoint falls into each "
        "turn, because the time a program is stopped counts for its interval of 20 seconds.",
        "Other programs run on this machine: CPU-seconds are the figure to go by, wall seconds "
        "contain the waiting for a core. All programs take turns of an epoch, stopped in between. "
        "*kernel* is the share of CPU-seconds the kernel took for them: memory pages that come and "
        "go with every step, files, workers. It counts in *ours / this*, since whoever runs a "
        "program pays for it, and is left out in *by user time*; for the model alone it changes "
        "from run to run by a few per cent, which is how a ratio to it can pass 1.",
        f"lightly's example (its 8 workers counted, {setting.peer_images:,} of the images an epoch)"
        " in its own environment: " + ", ".join(f"{n} {v}" for n, v in versions.items()) + "."
        if versions
        else "lightly is not installed in an environment of its own (LIGHTLY_PYTHON, or "
        "/opt/lightly-env/bin/python), so nothing was compared with it.",
    ]


def main(words: Sequence[str] | None = None) -> None:
    ask = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    ask.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    ask.add_argument("--threads", type=int, default=1)
    ask.add_argument("--images", type=int, help="1,024, or 51,200 on a GPU")
    ask.add_argument("--peer-images", type=int, help="512, or all on a GPU")
    ask.add_argument("--rounds", type=int, default=3)
    told = ask.parse_args(words)
    gpu = told.device == "cuda"
    images = told.images or (51_200 if gpu else 1_024)
    peer_images = told.peer_images or (images if gpu else 512)
    if images % BATCH or peer_images % BATCH or peer_images > images:
        raise SystemExit(f"images and peer images must be multiples of {BATCH}, peers' not more")
    setting = Setting(told.device, told.threads, images, peer_images, told.rounds)
    runtime = Runtime.parse({"accelerator": told.device, "threads": told.threads}).resolved()
    where = machine(runtime)
    with TemporaryDirectory() as folder:
        turns = measured(setting, Path(folder))
    python = lightly_python()
    versions = lightly_versions(python) if python else {}
    found = compared(setting, turns)
    write(
        "pretrain",
        "How fast SimCLR trains from a folder of JPEGs",
        page(setting, turns, found, versions),
        {
            "setting": setting._asdict(),
            "found": {
                name: {key: s._asdict() for key, s in f._asdict().items()}
                for name, f in found.items()
            },
            "turns": {name: [t._asdict() for t in every] for name, every in turns.items()},
            "lightly": versions,
        },
        goals(setting, found),
        where,
    )


if __name__ == "__main__":
    main()
