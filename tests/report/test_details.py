"""Tables of every number, and the curve of accuracy against budget."""

from pathlib import Path

import pytest

from masquerade.core.rundir import RunDir
from masquerade.report.details import budgets, details, said
from masquerade.report.read import Story, story

ATTACKED = {
    "test/clean_top1": 0.8,
    "test/linf_0.5_top1": 0.6,
    "test/linf_8_top1": 0.1,
    "test/noise_linf_0.5_top1": 0.8,
    "test/noise_linf_8_top1": 0.7,
    "test/median_linf_budget": 0.5,
    "test/top1": 0.35,
    "imagenet_a/top1": 0.04,
}


@pytest.fixture
def told(tmp_path: Path) -> Story:
    """A run of which only the results are known."""
    run = RunDir(tmp_path)
    run.write_json("config.json", {"title": "mine"})
    rows = {"trained": ATTACKED, "pixels": {"test/clean_top1": 0.4, "test/top1": 0.01}}
    run.write_json("eval/robustness.json", {"rows": rows, "notes": []})
    plain = {"trained": {"test/top1": 0.5, "test/balanced": 0.5, "test/grid_top1": 0.6}}
    run.write_json("eval/knn.json", {"rows": plain, "notes": []})
    return story(run)


def test_a_set_with_more_than_a_probes_numbers_has_a_table_of_its_own(told: Story) -> None:
    (table,) = details(told)
    assert (table.caption, table.heads) == ("Robustness, test", ["mine", "Raw pixels, no network"])
    cells = {row.name: [cell.text.replace("\xa0", " ") for cell in row.cells] for row in table.rows}
    assert cells["clean"] == ["80.0 %", "40.0 %"]
    assert cells["linf 0.5"] == ["60.0 %", "\N{EN DASH}"]
    assert cells["median linf budget"] == ["0.5", "\N{EN DASH}"]
    assert [row.name for row in table.rows if row.main] == ["mean"]


def test_the_chart_runs_from_the_clean_accuracy_through_every_budget(told: Story) -> None:
    (drawn,) = budgets(told)
    assert drawn.title == "Accuracy under attack, test"
    assert [line.label for line in drawn.lines] == ["attacked", "random noise"]  # none unlabelled
    assert "attacked: from 80.0\xa0% to 10.0\xa0%" in drawn.words
    assert "random noise: from 80.0\xa0% to 70.0\xa0%" in drawn.words
    assert len(drawn.lines[0].path.split()) == 3


def test_a_run_without_attacks_has_neither(tmp_path: Path) -> None:
    RunDir(tmp_path).write_json("config.json", {"title": "mine"})
    bare = story(RunDir(tmp_path))
    assert details(bare) == [] == budgets(bare)


@pytest.mark.parametrize(
    ("metric", "words"),
    [("top1", "mean"), ("gaussian_noise_top1", "gaussian noise"), ("relative_mce", "relative mce")],
)
def test_metrics_are_said_in_words(metric: str, words: str) -> None:
    assert said(metric) == words
