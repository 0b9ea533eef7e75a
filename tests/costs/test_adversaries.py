"""benchmarks/adversaries.py: the page that it makes of finished runs, here made-up ones."""

import json
import sys

import pytest
from benchmarks import adversaries, behaviour, exactness, machine
from benchmarks.adversaries import METHODS
from benchmarks.trials import Case, Study
from tests.pretext.paths import BLOCKED, PATHS

PARTS = {"losses": 1e-16, "encoder": 2e-15, "masker": 3e-16, "after": 4e-17}
EXACT = {
    "steps": {
        "official": {"simclr_adios": PARTS},
        "shared": {"simclr_adios": PARTS},
        "reversal": {"simclr_adios": {"encoder": 0.0, "masker": 2e-9}},
    },
    "bases": {"MoCo v2": {"plain": 0.0, "filled": 1e-15, "gradients": 5e-16, "after": 0.0}},
}
LINEAR = {"SimCLR": 0.60, "ADIOS": 0.62, "Sequential, budget held": 0.58}


def sizes(*shares):
    return {
        "smallest": min(shares),
        "largest": max(shares),
        "end": list(shares),
        "last": list(shares),
    }


def behaved():
    """What ought to come out, but for ADIOS's held budget."""
    even, dead = (0.25, 0.25, 0.25, 0.25), (0.5, 0.45, 0.04, 0.01)
    found = {name: sizes(*(dead if "sparsity 0" in name else even)) for name in behaviour.RUNS}
    found["ADIOS, budget held"] = sizes(0.30, 0.20, 0.25, 0.25)
    return {"sizes": found, "gradients": {name: 0.5 * (name not in BLOCKED) for name in PATHS}}


@pytest.fixture
def study(tmp_path):
    """Two seeds of every method, trained and measured, and SimCLR for as many CPU-seconds."""
    made = Study(METHODS, lambda method: "SimCLR", tmp_path, (), lambda case: [])
    for method in METHODS:
        for seed in (0, 1):
            one = Case("toybox", method, seed, 6)
            cpu = 100.0 if method == "SimCLR" else 250.0
            finished(made, one, LINEAR.get(method, 0.55) + 0.01 * seed, cpu)
            finished(made, one._replace(method="SimCLR", epochs=15), 0.61 + 0.01 * seed, 250.0)
    return made


def finished(study, case, linear, cpu):
    folder = study.place(case)
    (folder / "eval").mkdir(parents=True, exist_ok=True)
    numbers = {"rows": {"trained": {"test/top1": linear}}}
    contents = {
        "summary.json": {"steps": 62 * case.epochs, "cpu_seconds": cpu},
        "environment.json": {"device": "a machine, 1 thread, float32"},
        "eval/knn.json": numbers,
        "eval/linear.json": numbers,
    }
    if "Sequential" in case.method:
        masks = {"test/iou": 0.4, "test/square": 0.3, "test/ari": 0.2, "test/square_ari": 0.1}
        contents["eval/masks.json"] = masks
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))


def test_a_method_is_judged_on_every_seed_at_equal_steps_and_at_equal_time(study):
    body, figures, goals = adversaries.trained(study, list(METHODS), {"toybox": 2}, {"toybox": 6})
    steps, time = goals
    assert "; ADIOS +2.0 (+2.0, +2.0); " in steps.figure and not steps.met
    assert "; ADIOS +1.0 (+1.0, +1.0); " in time.figure and not time.met
    ahead = {"SimCLR": figures["toybox"]["SimCLR"], "ADIOS": figures["toybox"]["ADIOS"]}
    assert [g.met for g in adversaries.judged("toybox", ahead)] == [True, True]
    lines = body[1].splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == list(METHODS)
    assert "| 62.5 (62.0 to 63.0) | 61.5 (61.0 to 62.0) | 372 | 250 | - | - |" in lines[4]
    assert lines[-1].endswith("| 0.40 | 0.20 |")
    assert "A centred square has IoU 0.30 and ARI 0.10." in body[3]
    assert body[-1] == "These runs were trained on: a machine, 1 thread, float32."
    assert figures["toybox"]["ADIOS"][1]["same_time"] == pytest.approx(0.62)


def test_errors_are_shown_for_every_part_and_the_bound_is_judged_by_the_worst():
    body = "\n".join(exactness.page(EXACT))
    assert "| simclr_adios, `official` | 1e-16 | 2e-15 | 3e-16 | 4e-17 |" in body
    assert "| simclr_adios, `reversal` | - | 0e+00 | 2e-09 | - |" in body
    assert "| MoCo v2 | 0e+00 | 1e-15 | 5e-16 | 0e+00 |" in body
    assert [g.met for g in exactness.goals(EXACT)] == [True, True, False, True]
    assert exactness.goals(EXACT)[0].figure == "1 of them, at most 2e-15 off"


def test_what_adversaries_do_is_judged_by_the_bounds_of_the_paper_file():
    found = behaved()
    assert [g.met for g in behaviour.goals(found)] == [True, True, False, True]
    assert behaviour.goals(found)[2].figure == "ADIOS 0.050 off, Sequential 0.000 off"
    assert "| ADIOS-s, sparsity 0 | 0.50, 0.45, 0.04, 0.01 |" in "\n".join(behaviour.page(found))
    leaking = {**found, "gradients": found["gradients"] | {BLOCKED[0]: 1e-9}}
    deaf = {**found, "gradients": dict.fromkeys(PATHS, 0.0)}
    assert [behaviour.goals(wrong)[3].met for wrong in (leaking, deaf)] == [False, False]


def test_the_page_is_written_from_finished_runs_alone(study, tmp_path, monkeypatch):
    results = tmp_path / "results"
    for module in (machine, adversaries):
        monkeypatch.setattr(module, "RESULTS", results)
    monkeypatch.setattr(exactness, "figures", lambda: EXACT)
    monkeypatch.setattr(behaviour, "figures", behaved)
    monkeypatch.setattr("benchmarks.trials.masquerade", lambda words, place: pytest.fail("trained"))
    words = ["adversaries.py", "--data", "toybox:2", "--out", str(study.out)]
    monkeypatch.setattr(sys, "argv", words)
    assert adversaries.main() == 0
    page = (results / "adversaries.md").read_text()
    for section in ("toybox", "Whole steps", "What adversaries do", "What a step costs", "Machine"):
        assert f"## {section}" in page
    stored = json.loads((results / "adversaries.json").read_text())
    assert stored["exactness"] == EXACT
    assert len(stored["goals"]) == 2 + 4 + 4
