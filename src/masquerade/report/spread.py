"""Numbers over seeds: the mean, and from the lowest to the highest."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from masquerade.report.figures import Curve, trailing, window
from masquerade.report.read import Series, Story

POINTS = 120  # of a curve over CPU time, where runs have no steps in common


class Spread(NamedTuple):
    """A number of runs that differ only in their seed.

    Attributes:
        mean: Over the runs that have it.
        low: The lowest.
        high: The highest.
        each: One value per run, in the order of the runs.
    """

    mean: float
    low: float
    high: float
    each: list[float]


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of some values, None of none."""
    if not values:
        return None
    each = [float(v) for v in values]
    return Spread(sum(each) / len(each), min(each), max(each), each)


def over_seeds(label: str, slot: int, series: Sequence[Series], steps: bool = True) -> Curve:
    """A line at the mean of several runs, with a band from the lowest to the highest.

    Each run is smoothed first, as a chart of its own would be. The line ends where the first of
    the runs ends; its values between logged ones are interpolated.

    Args:
        label: Of the line.
        slot: Its colour; also the mark at its end.
        series: One of each run; those without a value are left out.
        steps: Whether the runs were logged at steps, so that those of the first are kept.
    """
    known = [s for s in series if len(s.steps)]
    dropped = sum(s.dropped for s in series)
    if not known:
        return Curve(label, Series(np.zeros(0), np.zeros(0), dropped), slot, str(slot))
    start, end = max(s.steps[0] for s in known), min(s.steps[-1] for s in known)
    first = known[0].steps
    at = first[(first >= start) & (first <= end)] if steps else np.linspace(start, end, POINTS)
    smooth = [trailing(s.values, window(len(s.values))) for s in known]
    values = np.stack([np.interp(at, s.steps, v) for s, v in zip(known, smooth, strict=True)])
    band = (values.min(0), values.max(0)) if len(known) > 1 else None
    return Curve(label, Series(at, values.mean(0), dropped), slot, str(slot), band)


def over_cpu_time(told: Story, key: str) -> Series:
    """A logged number over the CPU-minutes spent until then, instead of over steps."""
    spent, found = told.series("cpu_seconds"), told.series(key)
    if not len(spent.steps):
        return Series(np.zeros(0), np.zeros(0), found.dropped)
    minutes = np.interp(found.steps, spent.steps, spent.values) / 60
    return Series(minutes, found.values, found.dropped)


def averaged(told: Story, name: str) -> Series:
    """The mean over masks of `NAME/0`, `NAME/1`, ..., at the steps that all of them have."""
    numbered = {k for row in told.rows for k in row if k.startswith(f"{name}/")}
    series = [told.series(k) for k in sorted(numbered)]
    if not series or any(not np.array_equal(s.steps, series[0].steps) for s in series):
        return Series(np.zeros(0), np.zeros(0), 0)
    return Series(series[0].steps, np.mean([s.values for s in series], 0), 0)
