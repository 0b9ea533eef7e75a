"""Tables of certificates: the published numbers, the settings beside them, and what is run."""

import json
from pathlib import Path

import pytest

from masquerade import sheets
from masquerade.certify.learners import networks
from masquerade.core.errors import CannotResume, MissingData
from masquerade.recipes import sheets as recipes
from masquerade.recipes.sheets import sheet

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
NETWORKS = ("mnist_1200", "cifar10_50", "cifar10_250", "gtsrb_50", "gtsrb_100")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_published_table_has_a_number_for_each_budget_and_the_official_schedule(name):
    found = sheet(name, "paper")
    config = found.settings
    assert all(len(line.published) == len(config.budgets) for line in found.lines)
    for line in found.lines:  # certified accuracy never grows with the budget
        assert list(line.published) == sorted(line.published, reverse=True), line.name
    assert config.parts == int(name.rpartition("_")[2])
    learner = config.learner
    assert isinstance(learner, networks.Config)
    assert (learner.network.kind, learner.epochs, learner.batch) == ("nin", 200, 128)
    assert (learner.lr, learner.decay, learner.pad) == (0.1, 5e-4, 4)
    assert learner.flip == name.startswith("cifar10")
    assert (config.assign, config.features) == ("pixel_sum", "pixels")
    assert all(not rule.tight for rule in config.rules.values())


def test_differences_are_added_to_the_numbers_of_dpa():
    lines = {line.name: line.published for line in sheet("gtsrb_100", "paper").lines}
    assert lines["FA+ROE d=32"][4] == pytest.approx(23.0 + 7.01)
    lines = {line.name: line.published for line in sheet("mnist_1200", "paper").lines}
    assert lines["DPA+ROE"][5] == pytest.approx(32.4 + 4.78)


def test_lines_of_the_same_models_share_a_certificate():
    jobs = sheet("cifar10_50", "paper").jobs()
    assert {name: list(config.rules) for name, config in jobs.items()} == {
        "pixels-1": ["dpa", "roe_dpa"],
        "pixels-8": ["fa", "roe_fa"],
        "pixels-16": ["fa", "roe_fa"],
        "pixels-32": ["fa", "roe_fa"],
    }
    assert jobs["pixels-16"].divided("fa").models == 800
    jobs = sheet("things10").jobs()
    assert list(jobs) == [f"{f}-{d}" for f in ("pixels", "untrained", "trained") for d in (1, 4)]


def test_nobody_published_tables_of_heads():
    with pytest.raises(ValueError, match="nobody published"):
        sheet("things10", "paper")


def test_every_table_of_certificates_stands_in_the_documents_with_its_sentence():
    part = TEXT[TEXT.index("| certificates |") :].partition("\n\n")[0]
    rows = [[c.strip(" `") for c in line.split("|")[1:-1]] for line in part.splitlines()[2:]]
    assert dict(rows) == {
        name: (function.__doc__ or "").partition("\n")[0]
        for name, function in recipes.sheets().items()
    }


@pytest.mark.slow
def test_a_table_is_computed_once_and_says_what_each_line_is_entitled_to(tmp_path: Path):
    said: list[str] = []
    wanted = sheets.Wanted("certified_poisoning.things10", "smoke", only="DPA")
    wanted = wanted._replace(settings=("parts=3",))
    place = sheets.run(wanted, tmp_path / "t", said.append)
    content = json.loads((place.path / "table.json").read_text())
    names = [line["name"] for line in content["lines"]]
    assert names == [
        f"{w}: {r}"
        for w in ("raw pixels", "untrained encoder", "trained encoder")
        for r in ("DPA", "DPA+ROE")
    ]
    for line in content["lines"]:
        assert len(line["ours"]) == 2 and line["ours"][0] >= line["ours"][1]
        trained = line["name"].startswith("trained")
        assert ("changed labels;" in line["sentence"]) == trained
    text = (place.path / "table.md").read_text()
    assert "| raw pixels: DPA, ours |" in text and "inserted or removed images" in text
    assert "raw pixels: DPA, ours" in (place.path / "table.html").read_text()
    times = {p: p.stat().st_mtime_ns for p in place.path.glob("*/certify/*")}
    sheets.run(wanted, tmp_path / "t", said.append)
    assert {p: p.stat().st_mtime_ns for p in times} == times
    assert said.count("is finished already") == 3
    with pytest.raises(CannotResume, match="holds a table with settings"):
        sheets.run(wanted._replace(settings=()), tmp_path / "t", said.append)


def test_tables_without_their_images_say_where_to_get_them(tmp_path: Path):
    wanted = sheets.Wanted("certified_poisoning.gtsrb_50", "paper", only="ROE d=32")
    wanted = wanted._replace(settings=(f"data.root={tmp_path}/none",))
    with pytest.raises(MissingData, match=r"benchmark\.ini\.rub\.de"):
        sheets.run(wanted, tmp_path / "t", lambda text: None)
