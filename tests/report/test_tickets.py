"""The page of a search for tickets, from runs that take a second."""

import re

import pytest

from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir
from masquerade.jobs import landscape, tickets, transfer
from masquerade.jobs.tickets import Method, Tickets
from masquerade.jobs.transfer import Transfer
from masquerade.report import tickets as page
from masquerade.report.intervals import interval
from masquerade.tickets import descend, evolve
from masquerade.tickets.problems import cartpole, features, images
from masquerade.tickets.strategies import snes

TRAIN = evolve.Config(strategy=snes.Config(population=8), generations=4, test_every=4)
SMALL = Tickets(
    title="small",
    problem=images.Config(batch=64, network={"hidden": [8]}),
    methods={"snr": Method(train=TRAIN), "magnitude": Method(train=TRAIN, score="magnitude")},
    rounds=3,
    keep=0.5,
    seeds=(0, 1),
    runtime={"accelerator": "cpu", "threads": 1, "precision": "float32"},
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tickets.run(SMALL, tmp_path_factory.mktemp("tickets") / "small")


def test_the_page_has_scores_gains_masks_and_deviations(run):
    text = page.write(run).read_text(encoding="utf-8")
    assert "610 weights, 592 of them prunable" in text
    assert "mean of 2 seeds, 95 % bootstrap interval" in text
    for share in ("100%", "50%"):
        assert f">{share}</text>" in text
    assert text.count("snr - magnitude") == 1 and "snr - descent" not in text
    assert "snr, magnitude: snes, population 8, 4 generations a round" in text
    assert text.count("data:image/webp") == 2 * 3
    assert "Standard deviations" in text and "Barriers" not in text
    assert not re.search(r"https?://(?!www\.w3\.org)", text)


def test_landscapes_and_transfers_are_shown_once_they_are_there(run, tmp_path):
    found = landscape.run(run, points=3)
    rows = found["found"]["snr"]["1"]
    assert [row["round"] for row in rows] == [1, 2, 3] and "barrier" not in rows[-1]
    assert all(row["barrier"] >= 0 for row in rows[:-1])
    config = Transfer.of(run, "snr").replace(train=descend.Config(epochs=1))
    moved = transfer.run(config, tmp_path / "descent")
    text = page.write(run, [moved]).read_text(encoding="utf-8")
    assert "Barriers" in text and "Sharpness" in text and "Between the last two levels" in text
    assert "Transfers" in text and "descent" in text


def test_a_head_is_drawn_with_logistic_regression(tmp_path):
    problem = features.Config(batch=64)
    run = tickets.run(SMALL.replace(problem=problem, rounds=2, seeds=(0,)), tmp_path)
    text = page.write(run).read_text(encoding="utf-8")
    assert "L1 logistic regression on the same features:" in text
    assert text.count('data-label="L1 logistic regression"') == 1


def test_differences_are_paired_by_seed(run):
    found = run.read_json(tickets.CONTENT)
    one, other = found["scores"]["snr"], found["scores"]["magnitude"]
    level, gap = page.paired(found, "snr", "magnitude")[2]
    each = [one[seed][2]["final"] - other[seed][2]["final"] for seed in ("0", "1")]
    assert level == one["0"][2]["remaining"] and gap.mean == pytest.approx(sum(each) / 2)
    assert page.gaps(found, "snr", "magnitude", below=0.3) == pytest.approx(each)
    more = [one[seed][1]["final"] - other[seed][1]["final"] for seed in ("0", "1")]
    mean = [(a + b) / 2 for a, b in zip(each, more, strict=True)]
    assert page.gaps(found, "snr", "magnitude", below=0.6) == pytest.approx(mean)


def test_a_search_without_images_has_no_mask_pictures(tmp_path):
    config = SMALL.replace(problem=cartpole.Config(horizon=10), rounds=2, seeds=(0,))
    text = page.write(tickets.run(config, tmp_path)).read_text(encoding="utf-8")
    assert "Input masks" not in text and "one seed" in text


def test_an_interval_holds_the_mean_and_is_a_point_for_one_run():
    assert interval([0.5]) == (0.5, 0.5, 0.5)
    found = interval([0.1, 0.2, 0.6])
    assert found.mean == pytest.approx(0.3)
    assert 0.1 <= found.low < 0.3 < found.high <= 0.6
    assert found == interval([0.1, 0.2, 0.6])


def test_an_unfinished_search_has_no_landscape(tmp_path):
    folder = RunDir(tmp_path)
    folder.write_json("config.json", SMALL.tree())
    with pytest.raises(MissingData, match="is not finished"):
        landscape.run(folder)
