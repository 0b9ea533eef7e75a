"""Tensor environments against gymnasium's steps, and what episodes are."""

import pytest
import torch
from tests.tickets.stored import Stored

from masquerade.core.seed import Seed
from masquerade.tickets.problems import acrobot, cartpole, mountain_car, pendulum
from masquerade.tickets.problems.base import ProblemConfig
from masquerade.tickets.problems.rollout import ControlConfig

CPU = torch.device("cpu")
RULES = {
    "CartPole-v1": cartpole.CartPole(),
    "Pendulum-v1": pendulum.Pendulum(),
    "Acrobot-v1": acrobot.Acrobot(),
    "MountainCar-v0": mountain_car.Car(),
    "MountainCarContinuous-v0": mountain_car.ContinuousCar(),
}


def control(name, **changes):
    """A task with some settings changed."""
    config = ProblemConfig.parse({"kind": name, **changes})
    assert isinstance(config, ControlConfig)
    return config.build(CPU)


TASKS = ["cartpole", "pendulum", "acrobot", "mountain_car"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", RULES)
def test_a_step_is_gymnasiums(name, dtype):
    stored, rules = Stored(f"env_{name}"), RULES[name]
    state, action = stored["state"].to(dtype), stored["action"]
    action = action.to(dtype) if action.dtype.is_floating_point else action
    following, reward, over = rules.step(state, action)
    exact = dtype == torch.float64
    # Acrobot's four slopes at up to 28 radians a second magnify float32's rounding.
    near = 1e-6 if exact else 2e-4 if name == "Acrobot-v1" else 1e-5
    torch.testing.assert_close(following.double(), stored["next_state"], rtol=near, atol=near)
    seen, wide = rules.observe(following).float(), max(near, 1e-5)
    torch.testing.assert_close(seen, stored["next_obs"], rtol=wide, atol=wide)
    torch.testing.assert_close(reward.double(), stored["reward"], rtol=1e-5, atol=1e-5)
    assert torch.equal(over, stored["terminated"])


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("CartPole-v1", [-0.05] * 4, [0.05] * 4),
        ("Pendulum-v1", [-torch.pi, -1], [torch.pi, 1]),
        ("Acrobot-v1", [-0.1] * 4, [0.1] * 4),
        ("MountainCar-v0", [-0.6, 0], [-0.4, 0]),
    ],
)
def test_starts_fill_gymnasiums_ranges(name, low, high):
    rules = RULES[name]
    ends = rules.begin(torch.tensor([[0.0], [1.0]]).expand(2, rules.drawn))
    torch.testing.assert_close(ends, torch.tensor([low, high]).float())


@pytest.mark.parametrize("name", TASKS)
def test_candidates_meet_the_same_episodes_and_do_not_disturb_each_other(name):
    problem = control(name, horizon=30, episodes=4)
    population = torch.stack([problem.start(Seed(k)) for k in range(3)])
    together = problem.played(population, Seed(5), 4)
    for k in range(3):
        alone = problem.played(population[[k, k]], Seed(5), 4)
        torch.testing.assert_close(alone.total[0], together.total[k], rtol=1e-4, atol=1e-4)
        assert torch.equal(alone.total[0], alone.total[1])
    others = problem.played(population, Seed(6), 4)
    assert name in ("acrobot", "mountain_car") or not torch.equal(others.total, together.total)


def test_an_episode_counts_up_to_its_end_and_no_further():
    problem = cartpole.Config(horizon=300, episodes=3).build(CPU)
    weights = torch.zeros(problem.layout.size)  # both outputs are 0: always left
    played = problem.played(weights[None], Seed(0), 3)
    rules, uniform = problem.environment, torch.rand(3, 4, generator=Seed(0).generator())
    for episode in range(3):
        state, steps, over = rules.begin(uniform[episode]), 0, torch.tensor(False)
        while not over:
            state, _, over = rules.step(state, torch.tensor([0]))
            steps += 1
        assert played.total[0, episode] == played.length[0, episode] == steps
    assert float(problem.fitness(weights[None], Seed(0), {}).fitness[0]) == pytest.approx(
        float(played.total.mean())
    )


def test_a_policy_that_pushes_with_the_fall_survives():
    problem = cartpole.Config(network={"hidden": ()}).build(CPU)
    weights = problem.layout.flat(
        {
            "dense_1/bias": torch.zeros(2),
            "dense_1/kernel": torch.tensor([[0.0, 0.1], [0.0, 0.3], [0.0, 3.0], [0.0, 1.0]]),
        }
    )
    assert float(problem.test(weights[None], {})[0]) == 500


def test_sizes_are_those_of_the_paper():
    sizes = {}
    for name in ("cartpole", "pendulum", "acrobot"):
        layout = ProblemConfig.called(name)().build(CPU).layout
        sizes[name] = (layout.size, int(layout.prunable().sum()))
    assert sizes == {"cartpole": (4610, 4480), "pendulum": (4481, 4352), "acrobot": (4803, 4672)}


def test_a_policy_of_numbers_has_no_convolutions():
    with pytest.raises(ValueError, match=r"cartpole gives numbers and no images"):
        cartpole.Config(network={"channels": [8]}).build(CPU)
