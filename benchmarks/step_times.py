"""Seconds of a step of several tasks that take turns, and their quotients within each turn."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.flops import Seconds, took
from benchmarks.machine import Spread

from masquerade.core.types import Views
from masquerade.engine.runtime import Runtime
from masquerade.engine.task import Task

Times = dict[str, list[Seconds]]


class Timed(NamedTuple):
    """Repeated times of a row.

    Attributes:
        wall: Seconds of a step.
        cpu: CPU-seconds of a step.
        wall_ratio: Times the base's wall seconds of the same turn.
        cpu_ratio: Times the base's CPU-seconds of the same turn.
    """

    wall: Spread
    cpu: Spread
    wall_ratio: Spread
    cpu_ratio: Spread


class Runner(NamedTuple):
    """A task to be timed: its name, and over how many steps a turn is the mean."""

    name: str
    task: Task
    steps: int = 1


def times_of(runners: Sequence[Runner], views: Views, repeats: int, runtime: Runtime) -> Times:
    """Seconds of a step, the tasks taking turns; a first turn warms up and does not count."""
    times: Times = defaultdict(list)
    for turn in range(repeats + 1):
        for name, task, steps in runners:
            seconds = took(task, views, runtime, steps)
            task.zero_grad(set_to_none=True)  # or all tasks' gradients are kept at once
            if turn:
                times[name].append(seconds)
    return times


def ratio(own: list[Seconds], base: list[Seconds], clock: str) -> Spread:
    """The quotients within each turn, of `wall` or `cpu` seconds."""
    pairs = zip(own, base, strict=True)
    return Spread.of([o._asdict()[clock] / b._asdict()[clock] for o, b in pairs])


def summarised(times: Times, bases: Mapping[str, str]) -> dict[str, Timed]:
    """Spreads over the turns, beside the base of each name."""
    return {
        name: Timed(
            Spread.of([t.wall for t in own]),
            Spread.of([t.cpu for t in own]),
            ratio(own, times[bases[name]], "wall"),
            ratio(own, times[bases[name]], "cpu"),
        )
        for name, own in times.items()
    }
