"""What a run would take: steps, time, memory and disk, measured on a few real steps."""

import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch

from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.data.loader import Loader
from masquerade.engine.loop import Plan, train
from masquerade.engine.meter import duration
from masquerade.engine.task import Carry, Progress
from masquerade.jobs.pretrain import batches
from masquerade.jobs.settings import Pretrain, length

TRIED = 4


class Cost(NamedTuple):
    """What a run would take on this machine.

    Attributes:
        images: Images that are trained on.
        steps: Steps in all.
        step_seconds: Median wall time of a step, the first left out.
        seconds: Wall time of the whole run.
        memory_bytes: The most memory the process held (on CUDA: the device's).
        run_bytes: What the run's folder will take on disk.
        cache_bytes: What the decoded images take in the cache.
        free_bytes: What is free on the disk of the current folder.
    """

    images: int
    steps: int
    step_seconds: float
    seconds: float
    memory_bytes: int
    run_bytes: int
    cache_bytes: int
    free_bytes: int

    def rows(self) -> list[list[str]]:
        """The same for people."""
        return [
            ["images", f"{self.images:,}"],
            ["steps", f"{self.steps:,}"],
            ["time", f"{duration(self.seconds)} ({self.step_seconds:.3g} s a step)"],
            ["memory", size(self.memory_bytes)],
            ["run folder", f"{size(self.run_bytes)} of {size(self.free_bytes)} free"],
            ["image cache", size(self.cache_bytes)],
        ]


def run(config: Pretrain, say: Callable[[str], None]) -> Cost:
    """Train a few steps in a folder that is thrown away; the image cache is built and stays.

    On several devices one process is tried, with its share of the batch.
    """
    images = config.images()
    for note in images.notes:
        say(note)
    size_ = length(config, images)
    share = config.batch // config.runtime.devices
    alone = config.runtime.resolved().replace(devices=1)
    single = config.replace(batch=share, runtime=alone.tree())
    runtime = single.runtime.resolved()
    say(f"{images.name}: {len(images)} images; {config.backbone.said(config.size)}")
    say(f"trying {TRIED} steps on {runtime.said()}")
    task = single.task(images)
    times: list[float] = []

    def tick(now: Progress, carry: Carry, meter: Any) -> dict[str, float | str]:
        times.append(time.perf_counter())
        return {}

    with tempfile.TemporaryDirectory(prefix="masquerade-dry-") as place:
        fabric = runtime.fabric()
        if fabric.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        plan = Plan(TRIED, TRIED, share, single.optimizers.by_player(), quiet=True)
        with Loader(images, share, Seed(config.seed), fabric.device) as loader:
            augmenter = single.augmenter(images)
            at = batches(loader, augmenter, Seed(config.seed), views=single.views)
            train(fabric, task, at, plan, Seed(config.seed), RunDir(place), tick)
        stored = sum(f.stat().st_size for f in Path(place).rglob("*") if f.is_file())
        used = peak(fabric.device)
    step = statistics.median(b - a for a, b in pairwise(times))
    weights = sum(p.numel() * p.element_size() for p in task.encoder().parameters())
    return Cost(
        len(images),
        size_.steps,
        step,
        step * size_.steps,
        used,
        stored + weights,
        len(images) * images.read([0]).nbytes,
        shutil.disk_usage(Path()).free,
    )


def peak(device: torch.device) -> int:
    """The most memory held so far, in bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def size(bytes_: int) -> str:
    """A number of bytes for people: `350 MB`."""
    value = float(bytes_)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
