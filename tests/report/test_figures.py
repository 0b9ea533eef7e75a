import numpy as np
import pytest
from numpy.typing import ArrayLike

from masquerade.report.figures import (
    BOTTOM,
    DRAWN,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Curve,
    chart,
    stacked,
    thinned,
    ticks,
    trailing,
)
from masquerade.report.read import Series


def series(values: ArrayLike, dropped: int = 0) -> Series:
    found = np.asarray(values, np.float64)
    return Series(np.arange(1, len(found) + 1, dtype=np.float64), found, dropped)


def spots(points: str) -> list[tuple[float, float]]:
    pairs = (p.split(",") for p in points.split())
    return [(float(x), float(y)) for x, y in pairs]


def test_a_smoothed_value_is_the_mean_of_those_before_it() -> None:
    values = np.array([1.0, 5.0, 3.0, 7.0])
    assert trailing(values, 2) == pytest.approx([1, 3, 4, 5])
    assert trailing(values, 1) == pytest.approx(values)


def test_thinning_keeps_the_highest_and_the_lowest_value() -> None:
    y = np.random.default_rng(0).normal(size=5000)
    x, kept = thinned(np.arange(5000.0), y)
    assert len(x) <= DRAWN
    assert kept.max() == y.max()
    assert kept.min() == y.min()
    assert (np.diff(x) > 0).all()


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0.0, 1.0, 5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(-3.2, -2.0, 5) == pytest.approx([-3, -2.75, -2.5, -2.25, -2])
    assert ticks(2.0, 2.0, 5) == [2]


def test_the_highest_value_is_the_highest_point_and_all_lie_inside() -> None:
    drawn = chart("t", "a", [Curve("c", series([1, 4, 2, 3]))])
    assert drawn is not None
    found = spots(drawn.lines[0].path)
    assert min(found, key=lambda p: p[1]) == found[1]
    assert all(LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT - BOTTOM for x, y in found)
    assert drawn.lines[0].raw == ""
    assert "lowest 1.00, highest 4.00" in drawn.words


def test_many_values_are_smoothed_and_the_page_says_so() -> None:
    drawn = chart("t", "a", [Curve("c", series(np.arange(100) % 7))])
    assert drawn is not None
    assert "mean of the last 4 values" in drawn.note
    assert len(spots(drawn.lines[0].raw)) == 100
    plain = chart("t", "a", [Curve("c", series(np.arange(100) % 7))], smooth=False)
    assert plain is not None
    assert plain.note == ""


def test_values_that_are_not_finite_are_counted_not_drawn() -> None:
    drawn = chart("t", "a", [Curve("c", series([1, 2], dropped=3))])
    assert drawn is not None
    assert "3 logged values were not finite" in drawn.note


def test_nothing_logged_gives_no_chart_and_one_value_gives_one() -> None:
    assert chart("t", "a", [Curve("c", series([]))]) is None
    single = chart("t", "a", [Curve("c", series([2.0]))])
    assert single is not None
    assert len(spots(single.lines[0].path)) == 1


def test_marks_at_the_ends_of_equal_lines_do_not_overlap() -> None:
    drawn = chart("t", "a", [Curve(str(k), series([1, 2]), k, str(k)) for k in range(1, 5)])
    assert drawn is not None
    ends = sorted(line.end[1] for line in drawn.lines)
    assert min(np.diff(ends)) >= 11


def test_stacked_parts_fill_the_bar() -> None:
    parts = stacked([("a", 0.2), ("b", 0.0), ("c", 0.3)])
    assert [p.label for p in parts] == ["a", "c"]
    assert [p.slot for p in parts] == [1, 3]
    assert sum(p.share for p in parts) == pytest.approx(1)
    assert stacked([("a", 0.0)]) == []
