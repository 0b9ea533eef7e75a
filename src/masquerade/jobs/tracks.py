"""The numbers of metrics.jsonl as tracks over the training, and since when something holds."""

from collections.abc import Callable, Sequence
from statistics import fmean, median
from typing import Any, NamedTuple

Rows = Sequence[dict[str, Any]]

HELD = 200  # steps that something must hold, or the last quarter of a run that is shorter
STEADY = 5  # logged values whose median stands for each of them: one odd batch is no change


class Track(NamedTuple):
    """A logged number over the training: steps from 1, and the value at each."""

    steps: list[int]
    values: list[float]

    @property
    def last(self) -> float:
        """The median of the last few values."""
        return median(self.values[-STEADY:])

    def since(self, holds: Callable[[float], bool]) -> int | None:
        """The step since which something holds, None if it does not hold long enough.

        Each value is judged by the median of it and the few before it.
        """
        steady = [
            median(self.values[max(0, k + 1 - STEADY) : k + 1]) for k in range(len(self.values))
        ]
        first = len(steady)
        if first < STEADY:
            return None
        while first and holds(steady[first - 1]):
            first -= 1
        if first == len(steady):
            return None
        last, begun = self.steps[-1], self.steps[first]
        enough = min(HELD, last / 4)
        return begun if last - begun + 1 >= enough else None


def by_step(rows: Rows) -> list[dict[str, Any]]:
    """Rows in the order of their steps, those of one step joined."""
    joined: dict[int, dict[str, Any]] = {}
    for row in rows:
        if isinstance(row.get("step"), int):
            joined.setdefault(row["step"], {}).update(row)
    return [joined[step] for step in sorted(joined)]


def track(rows: Rows, key: str) -> Track:
    """A number where it was logged and finite; empty if it never was."""
    found = [(row["step"] + 1, row[key]) for row in rows if isinstance(row.get(key), int | float)]
    fine = [(step, float(v)) for step, v in found if abs(v) < float("inf")]  # false for nan too
    return Track([step for step, _ in fine], [v for _, v in fine])


def numbered(rows: Rows, name: str) -> dict[int, Track]:
    """`NAME/0`, `NAME/1`, ...: the numbers of each mask that has some."""
    start = f"{name}/"
    keys = {k for row in rows for k in row if k.startswith(start)}
    slots = sorted(int(k.removeprefix(start)) for k in keys if k.removeprefix(start).isdigit())
    return {k: track(rows, f"{name}/{k}") for k in slots}


def together(
    tracks: Sequence[Track], joined: Callable[[list[float]], float] = fmean
) -> dict[int, float]:
    """One number of several tracks, by default their mean, at the steps that all of them have."""
    values = [dict(zip(t.steps, t.values, strict=True)) for t in tracks]
    steps = set.intersection(*(set(v) for v in values)) if values else set()
    return {step: joined([v[step] for v in values]) for step in sorted(steps)}
