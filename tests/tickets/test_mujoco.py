"""MuJoCo tasks: what is said without the simulator, what holds with it."""

import importlib.util

import numpy as np
import pytest
import torch

from masquerade.core.errors import MissingData
from masquerade.core.seed import Seed
from masquerade.tickets.problems import mujoco

CPU = torch.device("cpu")
THERE = importlib.util.find_spec("gymnasium") and importlib.util.find_spec("mujoco")
simulated = pytest.mark.skipif(not THERE, reason="needs the extra control")


def test_without_the_simulator_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingData, match=r"pip install 'masquerade\[control\]'.*cartpole"):
        mujoco.Config().build(CPU)


def test_a_body_without_a_torso_keeps_its_mass():
    with pytest.raises(ValueError, match="Reacher has no torso"):
        mujoco.Config(task="Reacher", mass=1.5)
    with pytest.raises(ValueError, match="inertia=true changes nothing"):
        mujoco.Config(inertia=True)


def test_observations_are_normalised_by_all_that_was_seen():
    drawn = torch.randn(50, 11, generator=Seed(0).generator(), dtype=torch.float64) * 3 + 2
    problem = mujoco.Robots(mujoco.Config(task="Hopper"), CPU)
    memory = problem.memory()
    mean, deviation = mujoco.normaliser(memory)
    assert (mean == 0).all() and (deviation == 1).all()
    for part in drawn.split(25):
        rows = [torch.cat([torch.ones(1), x, x.square()]) for x in part]
        memory = problem.learned(memory, torch.stack(rows))
    mean, deviation = mujoco.normaliser(memory)
    torch.testing.assert_close(torch.from_numpy(mean), drawn.mean(dim=0))
    wanted = drawn.var(dim=0, correction=0) * 50 / 51
    torch.testing.assert_close(torch.from_numpy(deviation), wanted.sqrt())


@pytest.mark.slow  # processes that import the simulator: seconds each
@simulated
@pytest.mark.parametrize("task", mujoco.SIZES)
def test_candidates_are_simulated_alike_in_any_number_of_processes(task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = mujoco.Config(task=task, episodes=2, test_episodes=2, horizon=20, processes=1)
    one, two = config.build(CPU), config.replace(processes=2).build(CPU)
    try:
        population = torch.stack([one.start(Seed(k)) for k in range(3)])
        first, second = (p.fitness(population, Seed(1), p.memory()) for p in (one, two))
        assert torch.equal(first.fitness, second.fitness)
        assert torch.equal(first.statistics, second.statistics)
        assert first.fitness.isfinite().all() and len(set(first.fitness.tolist())) == 3
        learned = one.learned(one.memory(), first.statistics)
        assert float(learned["count"]) == float(first.statistics[:, 0].sum())
        assert not torch.equal(one.test(population, one.memory()), one.test(population, learned))
        assert list(tmp_path.iterdir()) == []  # MuJoCo's log of warnings
    finally:
        one.close()
        two.close()


@pytest.mark.slow
@simulated
def test_a_simulation_that_becomes_unstable_ends_its_episode(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mujoco.prepare("HalfCheetah", 1, False)
    (world,) = mujoco.WORLD
    step, done = world.step, []

    def wild(action):
        done.append(action)
        if len(done) == 3:
            world.unwrapped.data.qvel[:] = 1e12
        return step(action)

    monkeypatch.setattr(world, "step", wild)
    layers = [(np.zeros((17, 6), np.float32), np.zeros(6, np.float32))]
    order = mujoco.Order(layers, [0], np.zeros(17), np.ones(17), 20)
    found = mujoco.play(order)
    assert len(done) == 3 and np.isfinite(found).all()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@simulated
def test_a_heavier_torso_moves_otherwise():
    light = mujoco.Config(task="Ant", episodes=1, horizon=30, processes=1)
    found = []
    for config in (light, light.replace(mass=1.5), light.replace(mass=1.5, inertia=True)):
        problem = config.build(CPU)
        try:
            weights = problem.start(Seed(0))[None]
            found.append(float(problem.fitness(weights, Seed(0), problem.memory()).fitness[0]))
        finally:
            problem.close()
    assert len(set(found)) == 3
