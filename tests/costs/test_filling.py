"""benchmarks/filling.py: its tables, and the whole of it at a tiny size."""

import json

import pytest
from benchmarks import filled_exact, filling, machine, trials
from benchmarks.filling import COLUMNS, FRAMEWORKS, METHODS, differences, judged, scores, unbeaten
from benchmarks.trials import Case, Study, counts_of, gained, said

CHANCE = 0.1
EXACT = {
    "files": {"masks": {"a": 0.0, "b": 2e-16}, "knn": {"a": 0.0}},
    "shows": {"masks": "bits", "knn": "votes"},
    "identities": {"SimCLR": {"order": 1e-15, "empty": 0.0}},
    "kept": {"centre": 0.803, "corner": 0.156, "draws": 20_000},
}


def rows_of(changes):
    """Two seeds of every method, all equal but for what is changed."""
    plain = {"knn": 0.5, "linear": 0.6, "same_time_knn": 0.5, "same_time": 0.6}
    plain |= {"steps": 100, "cpu": 10.0}
    return {m: [plain | change for change in changes.get(m, [{}, {}])] for m in METHODS}


def test_every_framework_meets_every_kind_of_mixture_and_none():
    assert len(METHODS) == 4 * len(FRAMEWORKS)
    assert {filling.framework(m) for m in METHODS} == set(FRAMEWORKS)


def test_a_method_beats_none_where_each_seed_does():
    rows = rows_of(
        {
            "MoCo + Un-Mix": [{"knn": 0.52}, {"knn": 0.51}],
            "MoCo + MixMask": [{"knn": 0.60}, {"knn": 0.50}],
            "MoCo + MixMask*": [{"knn": 0.52, "same_time_knn": 0.53}, {"knn": 0.52}],
        }
    )
    assert unbeaten(rows, "MoCo", "knn", "knn") == ["MoCo + MixMask"]
    assert unbeaten(rows, "MoCo", "knn", "same_time_knn") == ["MoCo + MixMask", "MoCo + MixMask*"]
    goals = {g.text: g for g in judged("toybox", rows)}
    first = next(g for t, g in goals.items() if "MoCo" in t and "equal epochs" in t)
    assert first.figure.startswith("not MixMask by kNN, +5.0 (+10.0, +0.0); not Un-Mix by linear")
    assert not first.met


def test_tables_have_every_method_and_both_baselines():
    rows = rows_of({"SimCLR + MixMask": [{"linear": 0.625}, {"linear": 0.595}]})
    others = {who: {"knn": 0.1, "linear": 0.2} for who in ("untrained", "pixels")}
    lines = scores(rows, others).splitlines()
    assert len(lines) == 2 + len(METHODS) + 2
    assert all(line.count("|") == len(COLUMNS) + 2 for line in lines)
    assert "| +1.0 (+2.5, -0.5) |" in differences(rows)
    assert "61.0 (59.5 to 62.5)" in scores(rows, others)


def test_numbers_are_said_with_their_spread():
    assert said([0.25, 0.5], 100) == "37.5 (25.0 to 50.0)"
    assert said([3, 3], digits=0) == "3"
    assert said([]) == "-"
    assert gained([1.0, -0.5]) == "+0.2 (+1.0, -0.5)"
    assert counts_of(["toybox:3", "digits"]) == {"toybox": 3, "digits": 1}


def finished(place, seconds):
    """What a run leaves that the tables are made of."""
    (place / "eval").mkdir(parents=True)
    (place / "summary.json").write_text(json.dumps({"steps": 1, "cpu_seconds": seconds}))
    rows = {who: {"test/top1": 0.5} for who in ("trained", "untrained", "pixels")}
    for name in ("knn", "linear"):
        (place / "eval" / f"{name}.json").write_text(json.dumps({"rows": rows}))


def refused(words, place):
    raise AssertionError(f"{words} is done already")


def test_the_baseline_trains_for_as_many_cpu_seconds(tmp_path):
    study = Study(METHODS, filling.framework, tmp_path, (), lambda case: [])
    for method, seconds in (("MoCo", 10.0), ("MoCo + MixMask", 14.4)):
        finished(study.place(Case("digits", method, 0, 8)), seconds)
    assert study.longer(Case("digits", "MoCo + MixMask", 0, 8)) == Case("digits", "MoCo", 0, 12)
    assert study.longer(Case("digits", "MoCo", 0, 8)) == Case("digits", "MoCo", 0, 8)


def test_what_other_pages_found_is_told_goal_by_goal(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    heading, told = filling.beside("mutations")
    assert heading == "## Mistakes made on purpose"
    assert told.endswith("(mutations.md), which `python benchmarks/mutations.py` writes.")
    goals = [{"text": "each breaks a test", "figure": "5 of 6", "met": False}]
    (tmp_path / "mutations.json").write_text(json.dumps({"goals": goals}))
    *_, table = filling.beside("mutations")
    assert "| each breaks a test | 5 of 6 | **no** |" in table


def test_an_array_or_an_identity_that_is_off_is_a_goal_that_is_missed():
    assert [g.met for g in filled_exact.goals(EXACT)] == [True] * 3
    assert "| masks | bits | 2 | 2e-16 |" in "\n".join(filled_exact.page(EXACT))
    assert "| SimCLR | 1e-15 | - | 0e+00 | - | - |" in "\n".join(filled_exact.page(EXACT))
    wrong = {
        "files": {"masks": {"a": 0.0}, "knn": {"a": 1.0}},
        "identities": {"SimCLR": {"order": 1e-8}},
        "kept": {"centre": 0.803, "corner": 0.25},
    }
    assert [g.met for g in filled_exact.goals(wrong)] == [False] * 3


def test_the_page_is_written_of_finished_runs_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(trials, "masquerade", refused)
    monkeypatch.setattr(filled_exact, "figures", lambda: EXACT)
    study = Study(METHODS, filling.framework, tmp_path / "runs", (), lambda case: [])
    for method in METHODS:
        finished(study.place(Case("digits", method, 0, 2)), 10.0)
    words = ["--data", "digits:1", "--epochs", "digits:2", "--out", str(tmp_path / "runs")]
    assert filling.main(words) == 0
    page = (tmp_path / "results" / "filling.md").read_text()
    at = [page.index(f"## {w}") for w in ("Un-Mix, MixMask", "Every array", "What a step costs")]
    assert at == sorted(at)
    found = json.loads((tmp_path / "results" / "filling.json").read_text())
    assert found["exactness"] == EXACT and set(found["digits"]["methods"]) == set(METHODS)


@pytest.mark.slow  # some 3 minutes: every method and baseline in a process of its own
def test_the_whole_of_it_runs_at_a_tiny_size_and_goes_on_where_it_was(tmp_path, monkeypatch):
    results = tmp_path / "results"
    monkeypatch.setattr(machine, "RESULTS", results)
    words = ["--data", "digits:1", "--epochs", "digits:2", "--out", str(tmp_path / "runs")]
    assert filling.main(words) == 0
    found = json.loads((results / "filling.json").read_text())["digits"]
    assert set(found["methods"]) == set(METHODS)
    for rows in found["methods"].values():
        (row,) = rows
        assert set(row) == set(COLUMNS)
        tops = [row[c] for c in ("knn", "linear", "same_time", "same_time_knn")]
        assert all(CHANCE < top <= 1 for top in tops)
    assert set(found["baselines"]) == {"untrained", "pixels"}
    page = (results / "filling.md").read_text()
    assert all(f"| {m} |" in page for m in METHODS)
    assert "nan" not in page
    assert "## Every array of the official code" in page and "| moco_v2_both |" in page

    monkeypatch.setattr(trials, "masquerade", refused)
    assert filling.main(words) == 0
