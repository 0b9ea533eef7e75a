from pathlib import Path

import numpy as np
import pytest
import torch

from masquerade.engine.optimizers import adam, adamw, lars, sgd
from masquerade.engine.schedule import Schedule
from masquerade.engine.task import Group, Progress

ORACLES = Path(__file__).parents[1] / "oracles"


@pytest.mark.parametrize("case", ["clip1_0", "clip1_1", "clip0_0", "clip0_1"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_two_steps_of_lars_equal_the_official_code(case, dtype, tolerance):
    with np.load(ORACLES / "adios_lars.npz") as data:
        o = {k.removeprefix(f"{case}_"): data[k] for k in data if k.startswith(case)}
    w, b = (torch.nn.Parameter(torch.tensor(o[k], dtype=dtype)) for k in ("w0", "b0"))
    config = lars.Config(
        lr=float(o["lr"]), decay=float(o["wd"]), eta=0.02, clip=case.startswith("clip1")
    )
    optimizer = config.over([Group("all", [w, b])])
    w.grad, b.grad = (torch.tensor(o[k], dtype=dtype) for k in ("gw", "gb"))
    optimizer.step()
    np.testing.assert_allclose(w.detach(), o["w1"], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(b.detach(), o["b1"], rtol=tolerance, atol=tolerance)
    w.grad, b.grad = torch.tensor(o["gw2"], dtype=dtype), torch.zeros_like(b)
    optimizer.step()
    np.testing.assert_allclose(w.detach(), o["w2"], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(b.detach(), o["b2"], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_warm_up_cosine_equals_the_official_scheduler_in_every_epoch(name):
    with np.load(ORACLES / "adios_schedules.npz") as data:
        rates, (base, other, warmup, epochs, start, end) = data[f"lr_{name}"], data[f"cfg_{name}"]
    schedule = Schedule(warmup=warmup, start=start, end=end)
    for epoch in range(int(epochs)):
        for step in (0, 6):  # the rate holds for the whole epoch
            now = Progress(7 * epoch + step, 7 * int(epochs), 7)
            got = [schedule.rate(base, now), schedule.rate(other, now)]
            np.testing.assert_allclose(got, rates[epoch], rtol=1e-9, atol=1e-15)


def test_a_schedule_per_step_rises_to_the_base_rate_and_falls_to_the_end():
    schedule = Schedule(warmup=2, start=0.0, end=0.01, per="step")
    rates = [schedule.rate(1.0, Progress(s, 100, 10)) for s in range(100)]
    assert rates[0] == pytest.approx(1 / 20)
    assert max(rates) == rates[19] == 1.0
    assert rates[:20] == sorted(rates[:20])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[-1] < 0.02


def test_a_run_that_is_all_warm_up_trains():
    schedule = Schedule(warmup=1, start=0.0, per="step")
    assert schedule.rate(1.0, Progress(0, 1, 1)) == 1.0
    assert schedule.rate(1.0, Progress(0, 3, 5)) == pytest.approx(1 / 3)


def test_biases_and_norms_are_spared_the_decay_unless_asked():
    layer = torch.nn.Linear(3, 2)
    groups = [Group("all", list(layer.parameters()))]
    spared = sgd.Config(decay=0.1).over(groups)
    assert {p.ndim: g["weight_decay"] for g in spared.param_groups for p in g["params"]} == {
        2: 0.1,
        1: 0.0,
    }
    everything = sgd.Config(decay=0.1, decay_all=True).over(groups)
    assert {g["weight_decay"] for g in everything.param_groups} == {0.1}


def test_a_group_may_scale_its_rate_or_keep_it_constant():
    a, b = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2, 2))
    config = adamw.Config(lr=0.5, schedule=Schedule(warmup=0, start=0, per="step"))
    optimizer = config.over(
        [Group("scaled", [a], lr_scale=0.1), Group("constant", [b], scheduled=False)]
    )
    config.move(optimizer, Progress(50, 100, 10))
    rates = [g["lr"] for g in optimizer.param_groups]
    assert rates[0] == pytest.approx(0.025)
    assert rates[1] == 0.5


def test_adams_decay_is_l2_in_the_gradient_and_adamws_is_not():
    start = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(3, 2)
    slopes = [torch.full((3, 2), x, dtype=torch.float64) for x in (0.3, -0.2)]
    steps = {}
    for module, coupled in ((adam, True), (adamw, False)):
        w, config = torch.nn.Parameter(start.clone()), module.Config(lr=0.01, decay=0.5)
        optimizer = config.over([Group("all", [w])])
        expected, mean, square = start.clone(), torch.zeros(3, 2), torch.zeros(3, 2)
        for t, slope in enumerate(slopes, 1):
            w.grad = slope.clone()
            optimizer.step()
            g = slope + 0.5 * expected if coupled else slope
            mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g * g
            moved = (mean / (1 - 0.9**t)) / ((square / (1 - 0.999**t)).sqrt() + 1e-8)
            shrunk = expected if coupled else expected * (1 - 0.01 * 0.5)
            expected = shrunk - 0.01 * moved
        torch.testing.assert_close(w.detach(), expected, rtol=1e-12, atol=1e-12)
        steps[coupled] = w.detach() - start
    assert (steps[True] - steps[False]).abs().max() > 1e-3


def test_lars_says_of_how_many_tensors_the_clip_held_the_rate():
    large, small, flat = (torch.nn.Parameter(torch.ones(s)) for s in ((4, 4), (2, 2), (3,)))
    config = lars.Config(lr=0.1, eta=0.02)
    optimizer = config.over([Group("all", [large, small, flat])])
    assert config.measured(optimizer) == {}
    for p, slope in ((large, 1e-3), (small, 10.0), (flat, 1.0)):
        p.grad = torch.full_like(p, slope)
    optimizer.step()  # 0.02 |w| / |g| is 20 and 0.002: above and below the rate
    assert float(config.measured(optimizer)["clipped"]) == 0.5
    free = config.replace(clip=False)
    assert free.measured(free.over([Group("all", [large])])) == {}
