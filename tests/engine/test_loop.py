import os
import signal
import threading

import pytest
import torch
from torch import nn

from masquerade.core.errors import Diverged, Interrupted
from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.engine import checkpoint, gather
from masquerade.engine.loop import Plan, caught, choose, length, train
from masquerade.engine.optimizers import adamw, lars, sgd
from masquerade.engine.runtime import Runtime
from masquerade.engine.schedule import Schedule
from masquerade.engine.task import Carry, Group, Progress, Task, Terms

ALONE = Runtime(accelerator="cpu", threads=1, precision="float32")
FLAT = Schedule(warmup=0, shape="constant")


class Tug(Task):
    """Two players pull at a number: the encoder wants a * b small, the masker wants it large."""

    def __init__(self, together=False):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor([2.0])), nn.Parameter(torch.tensor([3.0]))
        self.together = together
        self.seen = []
        self.steps = []
        self.poison = -1
        self.parts = None

    def players(self):
        return {"encoder": [Group("a", [self.a])], "masker": [Group("b", [self.b])]}

    def rounds(self, progress):
        return (("encoder", "masker"),) if self.together else (("encoder",), ("masker",))

    def before_step(self, progress):
        self.steps.append(("before", progress.step))

    def after_step(self, progress):
        self.steps.append(("after", progress.step))

    def forward(self, batch, players, seed, progress, carry):
        grads = {n: p.requires_grad for n, p in (("encoder", self.a), ("masker", self.b))}
        self.seen.append((progress, players, grads, seed, torch.rand(()).item(), batch))
        carry.values["last"] = players
        if players == ("encoder",) and self.parts is not None:
            return Terms(self.parts, {"encoder/loss": self.a.detach().sum()})
        sign = 1 if "encoder" in players else -1
        loss = sign * (self.a * self.b).sum()
        if progress.step == self.poison:
            loss = loss * torch.nan
        return Terms(loss, {f"{players[-1]}/loss": loss.detach()})

    def encoder(self):
        return self


def trained(task, run, steps=4, watch=None, optimizer=None, **changes):
    one = optimizer or sgd.Config(lr=0.1, momentum=0, schedule=FLAT)
    plan = Plan(steps, 2, 8, {"encoder": one, "masker": one}, log_every=1, quiet=True, **changes)
    return train(
        ALONE.fabric(), task, lambda s, clock: torch.tensor(s), plan, Seed(5), RunDir(run), watch
    )


def test_players_step_in_turn_and_the_frozen_one_takes_no_gradient(tmp_path):
    task = Tug()
    trained(task, tmp_path, steps=1)
    assert [players for _, players, *_ in task.seen] == [("encoder",), ("masker",)]
    assert [grads for _, _, grads, *_ in task.seen] == [
        {"encoder": True, "masker": False},
        {"encoder": False, "masker": True},
    ]
    a = 2.0 - 0.1 * 3.0  # the encoder moved against b = 3
    assert task.a.item() == pytest.approx(a)
    assert task.b.item() == pytest.approx(3.0 + 0.1 * a)  # the masker saw the moved encoder
    assert task.a.requires_grad
    assert task.b.requires_grad


def test_players_of_one_round_step_from_the_same_weights(tmp_path):
    task = Tug(together=True)
    trained(task, tmp_path, steps=1)
    assert task.a.item() == pytest.approx(2.0 - 0.1 * 3.0)
    assert task.b.item() == pytest.approx(3.0 - 0.1 * 2.0)


def test_a_frozen_player_keeps_no_gradient_of_anothers_round():
    task = Tug()
    choose(task.players(), ("encoder",))
    (task.a * task.b).sum().backward()
    assert task.a.grad is not None
    assert task.b.grad is None


@pytest.mark.parametrize("together", [False, True])
def test_a_loss_that_is_nan_stops_before_it_moves_a_weight(together, tmp_path):
    whole, poisoned = Tug(together), Tug(together)
    trained(whole, tmp_path / "whole", steps=2)
    poisoned.poison = 2
    with pytest.raises(Diverged, match=r"loss became nan at step 2 \(epoch 1\); last finite"):
        trained(poisoned, tmp_path / "poisoned")
    assert torch.equal(poisoned.a, whole.a)
    assert torch.equal(poisoned.b, whole.b)
    assert not (tmp_path / "poisoned" / checkpoint.NAME).exists()


def test_weights_that_are_not_finite_are_never_saved(tmp_path, monkeypatch):
    """A finite loss may have an infinite gradient; the step after it is too late to notice."""
    monkeypatch.setattr(checkpoint.Checkpoints, "due", lambda self: True)
    task = Tug()

    def spoil(now, carry, meter):
        if now.step == 3:
            with torch.no_grad():
                task.b.fill_(torch.inf)
        return {}

    with pytest.raises(Diverged, match=r"b \(and 0 more\) became nan or infinite by step 4"):
        trained(task, tmp_path, steps=6, watch=spoil)
    state = checkpoint.load(RunDir(tmp_path))
    assert state is not None
    assert (state.step, state.task["b"].isfinite().all()) == (3, True)


def test_an_iterator_of_losses_is_propagated_back_part_by_part(tmp_path):
    task = Tug()
    task.parts = (task.a.sum() for _ in range(5))
    trained(task, tmp_path, steps=1)
    assert task.a.item() == pytest.approx(2.0 - 0.1 * 5)  # five gradients of 1, one step


def test_the_next_part_is_computed_after_the_last_ones_backward(tmp_path):
    task = Tug()
    grads = []

    class Parts:
        left = 3

        def __iter__(self):
            return self

        def __next__(self):
            if self.left == 0:
                raise StopIteration
            self.left -= 1
            grads.append(0.0 if task.a.grad is None else task.a.grad.item())
            return task.a.sum()

    task.parts = Parts()
    trained(task, tmp_path, steps=1)
    assert grads == [0.0, 1.0, 2.0]


def test_hooks_batches_and_progress_follow_the_step(tmp_path):
    task = Tug()
    trained(task, tmp_path, steps=3)
    assert task.steps == [(when, s) for s in range(3) for when in ("before", "after")]
    assert [int(batch) for *_, batch in task.seen] == [0, 0, 1, 1, 2, 2]
    assert [now.step for now, *_ in task.seen] == [0, 0, 1, 1, 2, 2]
    assert {(now.steps, now.epoch_steps) for now, *_ in task.seen} == {(3, 2)}


def test_rates_follow_the_schedule_and_are_logged(tmp_path):
    falling = sgd.Config(lr=0.1, momentum=0, schedule=Schedule(warmup=0, per="step"))
    trained(Tug(), tmp_path, steps=4, optimizer=falling)
    rates = {r["step"]: r["encoder/lr"] for r in RunDir(tmp_path).lines() if "encoder/lr" in r}
    assert rates == {
        s: pytest.approx(falling.schedule.rate(0.1, Progress(s, 4, 2))) for s in range(4)
    }
    assert rates[0] > rates[1] > rates[2] > rates[3]


def test_layers_that_draw_by_themselves_are_seeded_for_each_step_and_round(tmp_path):
    one, two = Tug(), Tug()
    trained(one, tmp_path / "one")
    torch.manual_seed(12345)
    trained(two, tmp_path / "two")
    draws = [draw for *_, draw, _ in one.seen]
    assert draws == [draw for *_, draw, _ in two.seen]
    assert len(set(draws)) == len(draws)
    assert len({seed for _, _, _, seed, *_ in one.seen}) == 4  # the rounds of a step share theirs


def test_watch_is_called_after_every_step_and_its_numbers_are_logged(tmp_path):
    calls = []

    def watch(now, carry, meter):
        calls.append((now.step, carry.values["last"]))
        return {"watched": 10.0 * now.step} if now.step % 2 else {}

    trained(Tug(), tmp_path, watch=watch)
    assert calls == [(s, ("masker",)) for s in range(4)]
    logged = {r["step"]: r["watched"] for r in RunDir(tmp_path).lines() if "watched" in r}
    assert logged == {1: 10.0, 3: 30.0}


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_task_goes_on_from_its_checkpoint_with_its_optimizers(cut, tmp_path):
    adam = adamw.Config(lr=0.1, schedule=FLAT)
    whole, resumed = Tug(), Tug()
    trained(whole, tmp_path / "whole", optimizer=adam)

    def stop(now, carry, meter):
        if now.step + 1 == cut:
            os.kill(os.getpid(), signal.SIGTERM)
        return {}

    with pytest.raises(Interrupted, match=f"stopped at step {cut} of 4") as stopped:
        trained(Tug(), tmp_path / "cut", optimizer=adam, watch=stop)
    assert stopped.value.signal == signal.SIGTERM
    trained(resumed, tmp_path / "cut", optimizer=adam)
    assert torch.equal(resumed.a, whole.a)
    assert torch.equal(resumed.b, whole.b)
    assert [now.step for now, *_ in resumed.seen] == [s for s in range(cut, 4) for _ in "ab"]


def test_a_player_without_an_optimizer_is_named(tmp_path):
    plan = Plan(1, 1, 8, {"encoder": sgd.Config()}, quiet=True)
    with pytest.raises(ValueError, match="no optimizer for masker"):
        train(ALONE.fabric(), Tug(), lambda s, c: None, plan, Seed(0), RunDir(tmp_path))


def test_the_second_signal_acts_as_always():
    shell = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background: ignored
    try:
        with pytest.raises(KeyboardInterrupt), caught() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.received == signal.SIGINT
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, shell)


def test_in_another_thread_signals_stay_with_whom_they_belong_to():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work():
        with caught() as stop:
            seen.append((stop.received, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(0, before)]


def test_the_carry_has_a_clock_of_its_own_unless_it_is_given_one():
    assert Carry().clock is not Carry().clock


def test_the_gradient_of_a_player_is_that_of_all_its_parameters():
    encoder, masker = nn.Linear(3, 2), nn.Linear(2, 1)
    encoder(torch.ones(1, 3)).sum().backward()
    groups = [Group(n, [p]) for n, p in encoder.named_parameters()]
    assert float(length(groups)) == pytest.approx(8**0.5)
    assert float(length([Group("all", list(masker.parameters()))])) == 0


def test_in_a_step_that_is_not_logged_processes_exchange_losses_alone(tmp_path, monkeypatch):
    told: list[list[str]] = []
    averaged = gather.averaged

    def noted(values):
        told.append(sorted(values))
        return averaged(values)

    monkeypatch.setattr(gather, "averaged", noted)

    class Talkative(Tug):
        def forward(self, *told):
            loss, logs = super().forward(*told)
            return Terms(loss, {**logs, **{f"masker/size/{k}": torch.ones(()) for k in range(9)}})

    one = sgd.Config(lr=0.01, momentum=0, schedule=FLAT)
    plan = Plan(4, 4, 8, {"encoder": one, "masker": one}, log_every=100, quiet=True)
    train(ALONE.fabric(), Talkative(), lambda s, clock: s, plan, Seed(5), RunDir(tmp_path))
    short = [names for names in told if len(names) == 1]
    assert short == [["encoder/loss"], ["masker/loss"]] * 4
    assert (
        len(told) - len(short) == 3
    )  # the first step and the last are logged, and the epoch is told


def test_a_step_of_lars_is_logged_with_the_share_of_clipped_tensors(tmp_path):
    class Matrices(Tug):
        def __init__(self):
            super().__init__()
            self.a, self.b = (nn.Parameter(torch.ones(1, 1)) for _ in range(2))

    rates = lars.Config(lr=0.1, momentum=0, schedule=FLAT)
    trained(Matrices(), tmp_path, steps=1, optimizer=rates)
    row = RunDir(tmp_path).lines()[0]
    assert (row["encoder/clipped"], row["masker/clipped"]) == (0.0, 0.0)
