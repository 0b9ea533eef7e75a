"""What every optimizer keeps."""

import copy
import json

import pytest
import torch

from masquerade.core import plugins
from masquerade.engine.optimizers.base import OptimizerConfig
from masquerade.engine.schedule import Schedule
from masquerade.engine.task import Group, Progress

every_optimizer = pytest.mark.parametrize("name", plugins.names("masquerade.engine.optimizers"))
FLAT = Schedule(warmup=0, shape="constant")
NOW = Progress(0, 10, 5)


def config(name):
    return OptimizerConfig.parse({"kind": name, "lr": 0.01, "schedule": FLAT.tree()})


def bowl():
    """Parameters of two shapes, away from the bottom of a quadratic at 0."""
    return [torch.nn.Parameter(torch.tensor(v)) for v in ([[3.0, -2.0], [1.0, 4.0]], [1.0, -5.0])]


def height(params):
    return sum((p * p).sum() for p in params)


def down(optimizer, params, steps=1):
    for _ in range(steps):
        optimizer.zero_grad()
        height(params).backward()
        optimizer.step()


@every_optimizer
def test_settings_survive_json(name):
    assert OptimizerConfig.parse(json.loads(json.dumps(config(name).tree()))) == config(name)


@every_optimizer
def test_one_step_goes_down_a_quadratic(name):
    params = bowl()
    optimizer = config(name).over([Group("all", params)])
    config(name).move(optimizer, NOW)
    before = [p.detach().clone() for p in params]
    down(optimizer, params)
    for p, old in zip(params, before, strict=True):
        assert (p * p).sum() < (old * old).sum()


@every_optimizer
def test_a_state_that_was_saved_goes_on_with_equal_steps(name, tmp_path):
    params = bowl()
    optimizer = config(name).over([Group("all", params)])
    down(optimizer, params, 3)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    again = copy.deepcopy(params)
    resumed = config(name).over([Group("all", again)])
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    down(optimizer, params, 3)
    down(resumed, again, 3)
    assert all(torch.equal(a, b) for a, b in zip(params, again, strict=True))


@every_optimizer
def test_groups_have_their_own_rates_and_may_leave_the_schedule(name):
    one, two = bowl()
    falling = config(name).replace(schedule=Schedule(warmup=0, end=0.0, per="step").tree())
    groups = [Group("one", [one], lr_scale=0.5), Group("two", [two], scheduled=False)]
    optimizer = falling.over(groups)
    assert falling.move(optimizer, Progress(5, 10, 5)) == pytest.approx(0.005)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.0025, 0.01])
