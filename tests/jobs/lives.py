"""Runs in processes of their own, forked from one that has imported everything, to be killed."""

import io
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from masquerade.core.rundir import RunDir
from masquerade.jobs import pretrain
from masquerade.jobs.settings import Pretrain

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["masquerade.jobs.pretrain", "masquerade.maskers.sequential", "torch.optim.adamw"]
)
TIMES = ("cpu_seconds", "images_per_s")
FILES = ("encoder.safetensors", "heads.safetensors", "encoder.json", "digests.txt", "config.json")


def life(tree: dict[str, Any], folder: str, dies: str = "", at: int = 0) -> None:
    """One process of a run.

    Args:
        tree: The settings.
        folder: The run's.
        dies: Where it kills itself: `checkpoint` is in the middle of writing one, any other name
            is just before that file of the run is moved to its place. Empty: nowhere.
        at: The how many-th of these writes it is, from 0.
    """
    torch.set_num_threads(1)
    save, replace = torch.save, Path.replace
    left = [at]

    def half(content: object, out: Any) -> None:
        if left[0]:
            left[0] -= 1
            return save(content, out)
        whole = io.BytesIO()
        save(content, whole)
        out.write(whole.getvalue()[: whole.tell() // 2])
        out.flush()
        return os.kill(os.getpid(), signal.SIGKILL)

    def never(self: Path, target: Path) -> Path:
        if target.name == dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(self, target)

    if dies == "checkpoint":
        torch.save = half  # type: ignore[assignment]  # it ends with this process
    elif dies:
        Path.replace = never  # type: ignore[method-assign, assignment]  # so does this
    pretrain.run(Pretrain.parse(tree), folder, quiet=True)


def start(config: Pretrain, folder: Path, dies: str = "", at: int = 0) -> Any:
    """A process that runs `life`."""
    process = FORKS.Process(target=life, args=(config.tree(), str(folder), dies, at))
    process.start()
    return process


def killed_by_itself(config: Pretrain, folder: Path, dies: str, at: int = 0) -> None:
    """A life that must end where it was told to."""
    process = start(config, folder, dies, at)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL, f"it did not come to write {dies}"


def killed_after_step(config: Pretrain, folder: Path, step: int, seconds: float) -> None:
    """A life that is killed from outside, so many seconds after metrics.jsonl had a step."""
    process = start(config, folder)
    while process.is_alive() and not any(row["step"] >= step for row in RunDir(folder).lines()):
        time.sleep(0.002)
    time.sleep(seconds)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "it ended before it was killed"


def lived(config: Pretrain, folder: Path) -> None:
    """A life that ends well."""
    process = start(config, folder)
    process.join(300)
    assert process.exitcode == 0


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Encoder, heads and maskers."""
    return {n: t for f in FILES[:2] for n, t in load_file(folder / f).items()}


def rows(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without times."""
    return [
        {k: v for k, v in row.items() if k not in TIMES and not k.startswith("time/")}
        for row in RunDir(folder).lines()
    ]


def assert_same(one: Path, two: Path) -> None:
    """Two finished runs agree in everything but times; nothing half-written is left."""
    a, b = weights(one), weights(two)
    assert a.keys() == b.keys()
    assert [n for n in a if not torch.equal(a[n], b[n])] == []
    assert rows(one) == rows(two)
    for name in FILES:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    pictures = sorted(p.name for p in (one / "masks").glob("*.npz"))
    assert pictures == sorted(p.name for p in (two / "masks").glob("*.npz"))
    for name in pictures:
        with np.load(one / "masks" / name) as a1, np.load(two / "masks" / name) as a2:
            assert a1.files == a2.files
            assert all(np.array_equal(a1[key], a2[key]) for key in a1.files), name
    summaries = [RunDir(folder).read_json("summary.json") for folder in (one, two)]
    timed = {"cpu_seconds", "images_per_cpu_second", "checkpoint_share"}
    assert len({str({k: v for k, v in s.items() if k not in timed}) for s in summaries}) == 1
    assert list(two.rglob(".*.part")) == []
