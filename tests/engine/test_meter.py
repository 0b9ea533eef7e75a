import io
import json
import math
import sys
import time
from types import ModuleType

import pytest
from rich.console import Console

from masquerade.core.errors import Diverged
from masquerade.core.rundir import RunDir
from masquerade.engine import meter
from masquerade.engine.meter import METRICS, Display, Meter, cut_back, duration
from masquerade.engine.task import Progress


def at(step):
    return Progress(step, 40, 10)


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "run")


def test_a_line_has_step_epoch_values_and_the_cost_so_far(run):
    with Meter(run, at(0), lead=True, quiet=True) as it:
        it.write(at(12), {"encoder/loss": 1.5, "health/state": "healthy"})
        it.write(at(13), {"encoder/loss": 1.25})
    first, second = run.lines()
    assert {k: first[k] for k in ("step", "epoch", "encoder/loss", "health/state")} == {
        "step": 12,
        "epoch": 1,
        "encoder/loss": 1.5,
        "health/state": "healthy",
    }
    assert 0 <= first["cpu_seconds"] <= second["cpu_seconds"]


def test_a_line_is_on_disk_before_the_next_step(run):
    with Meter(run, at(0), lead=True, quiet=True) as it:
        it.write(at(0), {"encoder/loss": 1.0})
        assert len(run.lines()) == 1


def test_only_the_first_process_writes(run):
    with Meter(run, at(0), lead=False, quiet=True) as it:
        it.write(at(0), {"encoder/loss": 1.0})
    assert not (run.path / METRICS).exists()


def test_going_on_drops_what_comes_after_the_checkpoint_and_keeps_the_cost(run):
    rows = [{"step": s, "cpu_seconds": 10.0 * (s + 1)} for s in range(5)]
    run.write_text(METRICS, "".join(json.dumps(r) + "\n" for r in rows) + '{"step": 5, "cut')
    assert cut_back(run, 3) == 30.0
    assert [r["step"] for r in run.lines()] == [0, 1, 2]
    with Meter(run, at(3), lead=True, quiet=True) as it:
        it.write(at(3), {})
    assert [r["step"] for r in run.lines()] == [0, 1, 2, 3]
    assert run.lines()[-1]["cpu_seconds"] >= 30.0


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_with_what_one_needs_to_know(run, loss):
    with Meter(run, at(0), lead=True, quiet=True) as it:
        it.check("masker", 4.8125, 0.1, at(29))
        with pytest.raises(Diverged) as stopped:
            it.check("masker", loss, 0.1, at(30))
    text = str(stopped.value)
    assert f"the masker's loss became {loss} at step 30 (epoch 3); last finite 4.812" in text
    assert "Its learning rate is 0.1: lower optimizers.masker.lr" in text


def test_a_first_loss_that_is_not_finite_has_no_last_finite_one(run):
    with (
        Meter(run, at(0), lead=True, quiet=True) as it,
        pytest.raises(Diverged, match=r"at step 0 \(epoch 0\)\. Its"),
    ):
        it.check("encoder", math.nan, 0.1, at(0))


def shown(monkeypatch, terminal):
    text = io.StringIO()
    monkeypatch.setattr(
        meter, "Console", lambda stderr: Console(file=text, force_terminal=terminal, width=80)
    )
    return text


def test_without_a_terminal_there_are_plain_lines_now_and_then(monkeypatch):
    text, now = shown(monkeypatch, terminal=False), [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Display(Progress(0, 100, 10), shown=True) as it:
        for done in range(1, 11):
            now[0] += 10
            it.move(done, 100, "loss 4.000")
        it.say("epoch 1/10  [half] of it")
    lines = text.getvalue().splitlines()
    assert lines[-1] == "epoch 1/10  [half] of it"
    assert lines[0] == "step 1/100  loss 4.000  about 16 min left"
    assert 3 <= len(lines) <= 5
    assert "\x1b" not in text.getvalue()


def test_on_a_terminal_there_is_one_line_that_moves(monkeypatch):
    text = shown(monkeypatch, terminal=True)
    with Display(Progress(0, 100, 10), shown=True) as it:
        it.move(50, 100, "loss 4.000")
        it.say("epoch 5/10")
    assert "50/100 steps" in text.getvalue()
    assert "epoch 5/10" in text.getvalue()


def test_quiet_says_nothing(monkeypatch):
    text = shown(monkeypatch, terminal=True)
    with Display(Progress(0, 100, 10), shown=False) as it:
        it.move(50, 100, "loss")
        it.say("epoch")
    assert text.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "0 s"), (89.0, "89 s"), (90.0, "2 min"), (5399.0, "90 min"), (9000.0, "2.5 h")],
)
def test_time_spans_are_told_for_people(seconds, said):
    assert duration(seconds) == said


def test_the_line_of_step_0_says_how_many_steps_there_will_be(run):
    with Meter(run, at(0), lead=True, quiet=True) as it:
        it.write(at(0), {})
        it.write(at(1), {})
    assert [row.get("steps") for row in run.lines()] == [40, None]


@pytest.mark.parametrize(("begun", "purged"), [(0, None), (12, 12)])
def test_tensorboard_forgets_the_steps_that_are_done_again(run, monkeypatch, begun, purged):
    told: dict[str, object] = {}
    stub = ModuleType("torch.utils.tensorboard")

    def writer(folder, purge_step):
        told.update(folder=folder, step=purge_step)

    monkeypatch.setattr(stub, "SummaryWriter", writer, raising=False)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stub)
    meter.tensorboard(run, begun)
    assert told == {"folder": run.path / "logs", "step": purged}
