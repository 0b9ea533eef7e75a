"""Base networks trained as one computation (`torch.func`) against one after the other.

A step of M networks, forward and backward, on batches of their own: through `learner.together=M`
and through M times `together=1`, in turns. It says where stacking pays on this machine.

    python benchmarks/networks.py
"""

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks.machine import Spread, machine, table, write

from masquerade.certify.learners import networks
from masquerade.certify.nets import nin, resnet
from masquerade.certify.nets.base import NetConfig
from masquerade.certify.school import Machine, Unit
from masquerade.certify.several import Batches, Lesson, Several
from masquerade.core.seed import Seed
from masquerade.engine.clock import Clock
from masquerade.engine.task import Carry, Progress


class Case(NamedTuple):
    """Networks of one shape on images of one shape."""

    what: str
    network: NetConfig
    size: int
    channels: int
    batch: int
    networks: int


CASES = (
    Case("nin, 12 wide, 8 px, batch 16", nin.Config(width=12), 8, 1, 16, 16),
    Case("nin, 48 wide, 16 px, batch 32", nin.Config(width=48), 16, 1, 32, 8),
    Case("nin as published, 32 px, batch 32", nin.Config(), 32, 3, 32, 4),
    Case("resnet, 4 wide, 8 px, batch 16", resnet.Config(width=4), 8, 1, 16, 16),
    Case("resnet, 16 wide, 32 px, batch 32", resnet.Config(), 32, 3, 32, 4),
)


class Timed(NamedTuple):
    """Seconds of a step of all networks, and their ratio round by round."""

    what: str
    networks: int
    alone: Spread
    together: Spread
    gain: Spread


def lessons(case: Case) -> list[Lesson]:
    """Images of noise, a batch for each network."""
    draw = Seed(0).generator()
    shape = (case.batch, case.channels, case.size, case.size)
    return [
        Lesson(
            torch.randint(256, shape, generator=draw).byte(),
            torch.randint(10, (case.batch,), generator=draw),
            model,
            0,
        )
        for model in range(case.networks)
    ]


def step(task: Several, batches: Batches) -> None:
    """One step of all networks of a task, without the optimizer."""
    now = Progress(0, 1, 1)
    players = tuple(task.players())
    task.zero_grad(set_to_none=True)
    terms = task(batches(0, Clock(batches.device)), players, Seed(0), now, Carry())
    terms.loss.backward()


def timed(case: Case, device: torch.device, rounds: int) -> Timed:
    """Both ways in turns; CPU-seconds, on a GPU wall seconds."""
    config = networks.Config(network=case.network, batch=case.batch)
    where = Machine("cuda" if device.type == "cuda" else "cpu", "float32")
    each = lessons(case)

    def made(some: list[Lesson]) -> tuple[Several, Batches]:
        unit = Unit(config, some, 10, where, Path())
        task = Several(unit.nets(), [1] * len(some)).to(device)
        return task, Batches(some, config, device)

    ways = {"alone": [made([lesson]) for lesson in each], "together": [made(each)]}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, tasks in ways.items():
            start = clock(device)
            for task, batches in tasks:
                step(task, batches)
            if turn:  # the first warms up
                found[name].append(clock(device) - start)
    gains = [a / t for a, t in zip(found["alone"], found["together"], strict=True)]
    told = Timed(case.what, case.networks, *map(Spread.of, (*found.values(), gains)))
    print(f"{told.what}: {told.gain.said()} times as fast together", file=sys.stderr)
    return told


def clock(device: torch.device) -> float:
    """Seconds so far."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def main() -> None:
    """Measure and write docs/results/networks.*."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    runtime = Machine("auto", "float32").runtime()
    where = machine(runtime)
    rows = [timed(case, runtime.device(), asked.rounds) for case in CASES]
    unit = "CPU-seconds of one thread" if runtime.accelerator == "cpu" else "Seconds"
    body = [
        f"{unit} for one step, forward and backward, of several networks with batches of "
        "their own; median, lowest and highest of the rounds. Above 1 in the last column, "
        "`learner.together` pays.",
        table(
            ("networks", "how many", "one by one", "together", "gain"),
            [
                (r.what, r.networks, r.alone.said(3), r.together.said(3), r.gain.said())
                for r in rows
            ],
        ),
    ]
    figures = {"steps": [r._asdict() for r in rows]}
    write("networks", "Base networks of certificates, several at once", body, figures, [], where)


if __name__ == "__main__":
    main()
