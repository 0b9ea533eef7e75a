import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.report.pages import Page, read

from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir
from masquerade.report import comparison, page
from masquerade.report.groups import differences, group_names, grouped
from masquerade.report.read import Series, story
from masquerade.report.spread import over_cpu_time, over_seeds, spread
from masquerade.report.standing import DASH, leader, measures, strip
from masquerade.report.troubles import findings

WriteRun = Callable[..., RunDir]


@pytest.fixture
def runs(write_run: WriteRun) -> list[RunDir]:
    """Three seeds of sequential, two of simclr, one of erase."""
    found = []
    for seed, value in enumerate((0.412, 0.402, 0.452)):
        scores = {"trained": {"test/top1": value, "seen/top1": 0.5}}
        dead = 2 if seed < 2 else None
        found.append(write_run(f"s{seed}", title="sequential", seed=seed, scores=scores, dead=dead))
    for seed, value in enumerate((0.30, 0.32)):
        scores = {"trained": {"test/top1": value, "seen/top1": 0.4}}
        scores |= {"untrained": {"test/top1": 0.2, "seen/top1": 0.21}}
        found.append(write_run(f"c{seed}", title="simclr", seed=seed, maskers=0, scores=scores))
    erase = [{"kind": "erase", "patch": 8}]
    found.append(write_run("e0", title="erase", maskers=1, scores=None, objective=erase))
    return found


def test_seeds_are_one_group_with_mean_and_range(runs: list[RunDir]) -> None:
    found = read(comparison.write(runs))
    assert "3 ways of training, side by side, 6 runs" in found.text
    assert "sequential 3 seeds" in found.text
    assert f"42.2 % 40.2{DASH}45.2" in found.text  # of 41.2, 40.2 and 45.2
    assert f"31.0 % 30.0{DASH}32.0" in found.text
    assert "Same network, untrained 20.0 %" in found.text
    assert "every seed of the one beats every seed of the other" in found.text
    assert "“sequential” is ahead of “simclr” by 11.2 points" in found.text


def test_the_page_is_well_formed_and_loads_nothing(runs: list[RunDir]) -> None:
    path = page.write(runs[0], runs[1:])
    assert path.name == "comparison.html"
    assert path.stat().st_size < 2_000_000
    text = path.read_text(encoding="utf-8")
    found = Page(text)
    assert all(attrs["alt"] for attrs in found.named("img"))
    assert len(found.named("table")) == len(found.named("caption"))
    for _, attrs in found.tags:
        for name in ("src", "href"):
            value = attrs.get(name)
            assert value is None or value.startswith(("data:image/", "#")), value
    assert not re.search(r"https?://|@import|url\(", text)
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_verdicts_say_in_how_many_seeds(runs: list[RunDir]) -> None:
    found = read(comparison.write(runs))
    assert "Mask 3 hides nothing since step 105 (1.0% of the image)" in found.text
    assert "2 of 3 seeds (0, 1)" in found.text
    sayings = findings([story(run) for run in runs[:3]])
    assert [(f.mood, f.runs.partition(";")[0]) for f in sayings] == [
        ("good", "all 3 seeds"),
        ("bad", "2 of 3 seeds (0, 1)"),
        ("good", "1 of 3 seeds (2)"),
    ]


def test_the_gallery_has_a_row_for_each_that_hides(runs: list[RunDir]) -> None:
    found = read(comparison.write(runs))
    assert "Without masks: simclr." in found.text
    words = [attrs["alt"] or "" for attrs in found.named("img")]
    assert sum("sequential, mask 4" in w for w in words) == 2
    assert sum("erase, mask 1" in w for w in words) == 2
    assert sum("sequential, seed 2: the strongest" in w for w in words) == 3
    assert not any("erase, seed 0: the strongest" in w for w in words)


def test_masks_and_cost_are_compared(runs: list[RunDir]) -> None:
    groups = grouped([story(run) for run in runs])
    heads = [m.head for m in measures(groups)]
    assert heads[:2] == ["kNN, test", "kNN, seen"]
    assert heads[-4:] == ["Mask IoU, test", "Mask ARI, test", "CPU time", "Steps"]
    names = group_names(groups)
    drawn = strip(measures(groups)[heads.index("Mask ARI, test")], groups, names)
    assert drawn is not None
    assert [d.name for d in drawn.dots] == ["sequential"]
    linear = strip(measures(groups)[heads.index("Linear, test")], groups, names)
    assert linear is not None
    one = linear.dots[0]
    assert min(one.each) == one.low < one.mean < one.high == max(one.each)


def test_runs_alone_are_told_apart_by_chance_not_by_seeds(write_run: WriteRun) -> None:
    def of(*values: float) -> str:
        stories = []
        for k, value in enumerate(values):
            scores = {"trained": {"test/top1": value}}
            title = f"run{k}"
            stories.append(story(write_run(title, scores=scores, epochs=10 * (k + 1))))
        groups = grouped(stories)
        return leader(groups, group_names(groups))[1]

    assert "seeds alone could explain it" in of(0.5, 0.3)
    assert "cannot be told apart" in of(0.5, 0.49)
    assert "nothing to compare" in of(0.5)


def test_groups_of_equal_title_are_named_by_where_they_differ(write_run: WriteRun) -> None:
    runs = [write_run(f"r{b}", title="same", batch=b) for b in (128, 256)]
    groups = grouped([story(run) for run in runs])
    assert group_names(groups) == ["same, batch=128", "same, batch=256"]
    assert differences(groups) == [("batch", ["128", "256"])]


def test_runs_of_equal_cpu_time_are_one_group_and_longer_ones_another(write_run: WriteRun) -> None:
    runs = [write_run(f"r{n}", title="t", seed=n, epochs=n) for n in (15, 16, 30)]
    assert [len(g) for g in grouped([story(run) for run in runs])] == [2, 1]
    other = [write_run(f"o{n}", title=f"t{n}", epochs=n) for n in (15, 16)]
    assert len(grouped([story(run) for run in other])) == 2


def test_what_makes_runs_hard_to_compare_is_said(write_run: WriteRun) -> None:
    found = read(comparison.write([write_run("a"), write_run("b", maskers=0, size=64)]))
    assert "differ in their images or their network" in found.text
    assert "Groups of one seed have no range" in found.text


def test_a_run_named_twice_counts_once(write_run: WriteRun, tmp_path: Path) -> None:
    run = write_run("a")
    assert page.write(run, [RunDir(run.path / ".." / "a")]).name == "report.html"
    found = read(comparison.write([run, run, write_run("b", seed=1, title="a")]))
    assert "a: 2 runs that differ only in their seed" in found.text
    with pytest.raises(MissingData, match=r"config\.json"):
        comparison.write([run, RunDir(tmp_path / "nothing")])


def test_runs_that_have_only_begun_give_a_page(write_run: WriteRun, tmp_path: Path) -> None:
    bare = RunDir(tmp_path / "bare")
    bare.write_json("config.json", write_run("a").read_json("config.json") | {"title": "<bare>"})
    found = read(comparison.write([bare, write_run("b", finished=False)]))
    assert "nothing to compare yet" in found.text
    assert "<bare>" in found.text


def line(values: list[float], every: int = 1) -> Series:
    return Series(
        1.0 + every * np.arange(len(values), dtype=np.float64), np.array(values, np.float64), 0
    )


def test_a_band_spans_the_seeds_and_ends_with_the_shortest() -> None:
    curve = over_seeds("c", 3, [line([1, 2, 3, 4]), line([3, 2, 1])])
    assert curve.series.values.tolist() == [2, 2, 2]
    assert curve.band is not None
    assert [edge.tolist() for edge in curve.band] == [[1, 2, 1], [3, 2, 3]]
    assert over_seeds("c", 3, [line([1, 2])]).band is None
    assert len(over_seeds("c", 3, []).series.steps) == 0


def test_seeds_logged_at_other_steps_are_interpolated() -> None:
    curve = over_seeds("c", 1, [line([0, 2, 4], every=2), line([0, 1, 2, 3, 4])])
    assert curve.series.steps.tolist() == [1, 3, 5]
    assert curve.series.values.tolist() == [0, 2, 4]


def test_over_cpu_time_steps_are_minutes(write_run: WriteRun) -> None:
    told = story(write_run())
    found = over_cpu_time(told, "probe/top1")
    assert found.steps[0] == pytest.approx(3 / 60)
    assert (np.diff(found.steps) > 0).all()
    assert spread([]) is None
