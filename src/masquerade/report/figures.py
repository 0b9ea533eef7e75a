"""Curves as geometry: what a template needs to draw an SVG whose colours follow the page."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from masquerade.report.files import Floats
from masquerade.report.read import Series
from masquerade.report.words import percent, short

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 20, 10, 30
SMOOTHED = 40  # fewer points than this are drawn as they are
DRAWN = 300  # points of a line at most; beyond, the least and the most of each stretch
READ = 60  # points of a line that can be read off by pointing


class Tick(NamedTuple):
    """A mark on an axis: where (in units of the picture) and what stands there."""

    at: float
    text: str


class Line(NamedTuple):
    """One line of a chart.

    Attributes:
        label: What it is.
        mark: One or two letters at its end, so that it can be told without colour.
        slot: Which of the page's colours, from 1.
        raw: Points of every logged value; empty if the line is not smoothed.
        path: Points of the line.
        last: Its last value, with unit.
        end: Where the mark stands.
        read: "x y step value" of some points, separated by "|".
        band: Points around what several runs span; empty for one run.
    """

    label: str
    mark: str
    slot: int
    raw: str
    path: str
    last: str
    end: tuple[float, float]
    read: str
    band: str = ""


class Chart(NamedTuple):
    """A chart: axes, lines, and the same in words."""

    title: str
    about: str
    lines: list[Line]
    across: list[Tick]
    up: list[Tick]
    guides: list[Tick]
    note: str
    words: str
    axis: str


class Curve(NamedTuple):
    """A series with its name and colour; `band` is the lowest and the highest at each step."""

    label: str
    series: Series
    slot: int = 1
    mark: str = ""
    band: tuple[Floats, Floats] | None = None


def chart(
    title: str,
    about: str,
    curves: Sequence[Curve],
    *,
    unit: str = "",
    smooth: bool = True,
    share: bool = False,
    floor: float | None = None,
    ceiling: float | None = None,
    guides: Sequence[tuple[float, str]] = (),
    axis: str = "steps",
) -> Chart | None:
    """A chart of values over steps, None if nothing was logged.

    Args:
        title: A few words.
        about: One sentence on how to read it.
        curves: Those without a value are left out.
        unit: Of the values.
        smooth: Draw a running mean where there are many values, the values thinly behind it.
        share: The values are shares in 0..1, to be written as percent.
        floor: Where the axis begins at the latest; None = where the data do.
        ceiling: Where the axis ends at the earliest.
        guides: Horizontal lines: value and name.
        axis: What is counted from left to right.
    """
    curves = [c for c in curves if len(c.series.steps)]
    if not curves:
        return None
    values = np.concatenate([v for c in curves for v in (c.series.values, *(c.band or ()))])
    edges = [v for v in (floor, ceiling, *(g for g, _ in guides)) if v is not None]
    low, high = min(values.min(), *edges, math.inf), max(values.max(), *edges, -math.inf)
    spread = (high - low) or abs(high) or 1.0
    low = low if floor is not None and low >= floor else low - 0.05 * spread
    high = high if ceiling is not None and high <= ceiling else high + 0.05 * spread
    last = max(float(c.series.steps[-1]) for c in curves)

    def x(step: Floats) -> Floats:
        return np.asarray(LEFT + step / max(last, 1.0) * (WIDTH - LEFT - RIGHT))

    def y(value: Floats) -> Floats:
        return np.asarray(TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM))

    def said(value: float) -> str:
        return percent(value) if share else short(value)

    windows: set[int] = set()
    lines = []
    for c in curves:
        steps, value = c.series.steps, c.series.values
        wide = window(len(value)) if smooth else 1
        windows.add(wide)
        drawn = trailing(value, wide)
        across, up = x(steps), y(drawn)
        some = np.unique(np.linspace(0, len(steps) - 1, min(READ, len(steps))).astype(int))
        read = "|".join(
            f"{across[i]:.1f} {up[i]:.1f} {steps[i]:.0f} {said(drawn[i])}" for i in some
        )
        raw = dots(*thinned(across, y(value))) if wide > 1 else ""
        band = ""
        if c.band:
            around = [thinned(across, y(edge)) for edge in c.band]
            band = f"{dots(*around[0])} {dots(*(a[::-1] for a in around[1]))}"
        lines.append(
            Line(
                c.label,
                c.mark,
                c.slot,
                raw,
                dots(*thinned(across, up)),
                said(float(drawn[-1])),
                (float(across[-1]), float(up[-1])),
                read,
                band,
            )
        )
    lost = sum(c.series.dropped for c in curves)
    return Chart(
        title,
        about,
        apart(lines),
        [Tick(float(x(np.array(t))), f"{t:,.0f}") for t in ticks(0.0, last, 4)],
        [
            Tick(float(y(np.array(t))), percent(t, 0) if share else f"{t:,.10g}")
            for t in ticks(low, high, 5)
        ],
        [Tick(float(y(np.array(v))), name) for v, name in guides],
        note(windows, lost, unit),
        "; ".join(
            f"{c.label}: from {said(c.series.values[0])} to {said(c.series.values[-1])}, "
            f"lowest {said(c.series.values.min())}, highest {said(c.series.values.max())}"
            for c in curves
        ),
        axis,
    )


def window(count: int) -> int:
    """How many logged values a point of a smoothed line averages; 1 = not smoothed."""
    return 1 if count < SMOOTHED else max(2, count // 25)


def trailing(values: Floats, wide: int) -> Floats:
    """The mean of each value and the `wide - 1` before it (fewer at the start)."""
    sums = np.concatenate([[0.0], values.cumsum()])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - wide, 0)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


def thinned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """At most about `DRAWN` points that keep the least and the most of every stretch."""
    if len(x) <= DRAWN:
        return x, y
    kept: list[int] = []
    for part in np.array_split(np.arange(len(x)), DRAWN // 2):
        kept += sorted({int(part[y[part].argmin()]), int(part[y[part].argmax()])})
    return x[kept], y[kept]


def dots(x: Floats, y: Floats) -> str:
    """Points of an SVG polyline."""
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


def ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers between two values."""
    rough = (high - low) / count
    if not rough > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def apart(lines: list[Line]) -> list[Line]:
    """The lines, the marks at their ends moved apart so that each can be read."""
    order = sorted(range(len(lines)), key=lambda k: lines[k].end[1])
    moved = list(lines)
    room, above = 11.0 * len(lines), -math.inf
    for k in order:
        x, y = lines[k].end
        room -= 11.0
        above = max(min(y, HEIGHT - BOTTOM - room), above + 11)
        moved[k] = lines[k]._replace(end=(x, above))
    return moved


def note(windows: set[int], lost: int, unit: str) -> str:
    """How the lines were smoothed, what is missing, and the unit."""
    said = []
    if windows != {1}:
        wide = " to ".join(str(w) for w in sorted(windows - {1})[:: max(1, len(windows) - 1)])
        said.append(f"Thick line: mean of the last {wide} values.")
    if lost:
        said.append(f"{lost} logged values were not finite and are not drawn.")
    if unit:
        said.append(f"Unit: {unit}.")
    return " ".join(said)


class Part(NamedTuple):
    """A piece of a stacked bar: where it begins and how long it is (shares in 0..1)."""

    label: str
    slot: int
    start: float
    share: float


def stacked(shares: Sequence[tuple[str, float]]) -> list[Part]:
    """Shares laid end to end, scaled to fill the bar; empty if they are all 0."""
    total = sum(share for _, share in shares)
    parts, start = [], 0.0
    for slot, (label, share) in enumerate(shares, 1):
        if total and share:
            parts.append(Part(label, slot, start, share / total))
            start += share / total
    return parts
