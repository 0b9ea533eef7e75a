"""benchmarks/mim.py and the table of costs: what they say of figures, and small ones measured."""

import json

import pytest
import torch
from benchmarks import machine, mim, mim_cost
from benchmarks.flops import Seconds
from benchmarks.mim import COLUMNS, Damages, Rows, goals, page, reading
from benchmarks.mim_cost import Figure, Held, Step
from benchmarks.mim_damage import ARMS, Damage
from benchmarks.mim_runs import BUDGETS, LONGER, evaluation
from benchmarks.mim_table import FORMS, SMALL
from benchmarks.step_times import summarised

from masquerade.data.sources import fashion_mnist
from masquerade.engine.runtime import Runtime
from masquerade.evaluate.base import ProtocolConfig
from masquerade.evaluate.judged import JudgedConfig
from masquerade.jobs.evaluate import Evaluate


def damages(aemim, noise) -> Damages:
    """Two seeds; MAE's loss rises by 0.02 and 0.03, the others' by shares of that."""
    shares = {"MAE": 1.0, "MAE + sign noise": noise, "AEMIM": aemim}
    return {arm: [Damage(0.5, shares[arm] * r, 0.1) for r in (0.02, 0.03)] for arm in ARMS}


def rows(**ours) -> Rows:
    """Two equal seeds of every arm; AEMIM with some other numbers."""
    plain = dict.fromkeys(COLUMNS, 0.5) | {"epochs": 6, "cpu": 9.0}
    arms = [*ARMS, LONGER]
    return {arm: [plain | (ours if arm == "AEMIM" else {})] * 2 for arm in arms}


def test_a_gain_of_fifteen_percent_is_asked_of_aemim_and_of_noise_none():
    first, second, third = goals(damages(0.7, 0.95), rows())
    assert first.met and first.figure == "+30.0 (+30.0, +30.0) % lower"
    assert second.met and second.figure == "+5.0 (+5.0, +5.0) % lower"
    assert not third.met and third.figure == "2 seeds"
    first, second, _ = goals(damages(0.9, 0.8), rows())
    assert not first.met and not second.met


def test_what_is_better_is_said_and_a_lower_corruption_error_is_better():
    text = reading(rows(clean=0.6, corrupted=0.4, linf_8=0.3))
    assert text.count("- against") == 3
    assert "- against MAE: better in fine-tuned, corruption error; worse in attacked, 8/255" in text
    assert "better in nothing; worse in fine-tuned" in reading(rows(clean=0.4))


def test_the_page_has_every_arm_and_every_budget():
    text = "\n".join(page(damages(0.7, 0.95), rows(clean=0.6)))
    for arm in (*ARMS, LONGER):
        assert f"| {arm} |" in text
    for level in BUDGETS:
        assert f"attacked, {level:g}/255" in text
    assert "| 60.0 |" in text and "+10.0 (+10.0, +10.0)" in text


def test_one_network_is_fine_tuned_and_all_three_protocols_judge_it():
    names = tuple(evaluation()[:3])
    plain = {name: ProtocolConfig.called(name)() for name in names}
    config = Evaluate(data=fashion_mnist.Config(), protocols=plain).with_words(evaluation()[3:])
    tuned = config.protocols["finetune"]
    for name in ("corruptions", "robustness"):
        judged = config.protocols[name]
        assert isinstance(judged, JudgedConfig) and judged.head.tree() == tuned.tree()


@pytest.mark.slow  # half a minute: nine steps of twelve layers are taken apart
def test_flops_of_the_small_network_are_those_of_the_paper_file():
    found = mim_cost.figures([SMALL])
    assert {f.row for f in found if f.printed} == {"K 1, z reused", "K 2, z reused", "K 2, fused"}
    assert max(f.off() for f in found) < 0.01
    for figure in found:
        assert figure.counted == pytest.approx(figure.expected, rel=0.01), figure.row


def test_most_bytes_are_counted_while_tensors_live():
    with Held() as watch:
        first = torch.ones(1000)
        second = first + 1
        view = second.view(10, 100)
        del first
        third = second * 2
        assert watch.now == 8000
        del second, view
        third += 1
    assert (watch.now, watch.most) == (4000, 8000)


def test_a_page_of_costs_has_the_printed_figure_beside_ours():
    times = {n: [Seconds(2.0, 3.0)] for n in ("MAE", "MAE, K 2, sequential")}
    spreads = summarised(times, dict.fromkeys(times, "MAE"))
    steps = [Step(n, 2.99, 100.0, spreads[n]) for n in times]
    every = [Figure(SMALL.name, f.name, 3.0, 2.99, 2.99) for f in FORMS[1:]]
    from benchmarks.mim_cost_page import page as costs

    text = "\n".join(costs(every, steps, SMALL.name, 4, Runtime(threads=1)))
    assert "| K 2, z reused | 3.00 (2.99) |" in text
    assert "| MAE, K 2, sequential | 2.99 | 2.00 | 1.00 | 1.00 | 100 |" in text


@pytest.mark.slow
def test_the_whole_of_it_runs_at_a_tiny_size_and_is_not_done_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    short = [f"{before}.epochs=1" for before in ("finetune", "corruptions.head", "robustness.head")]
    few = ["limit=64", "corruptions.images=4", "robustness.images=4", *short]
    words = ["--seeds", "1", "--out", str(tmp_path / "runs"), "--steps", "1"]
    words += ["--set", "limit=128", "epochs=1", "--measure", *few]
    mim.main(words)
    found = json.loads((tmp_path / "mim.json").read_text())
    assert set(found["fashion_mnist"]) == {*ARMS, LONGER}
    made = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*.json")}
    mim.main(words)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*.json")} == made
