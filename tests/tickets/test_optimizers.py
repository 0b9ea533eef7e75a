"""How the mean moves: each optimizer against its definition, step by step."""

import json

import pytest
import torch

from masquerade.core import plugins
from masquerade.core.seed import Seed
from masquerade.tickets.optimizers import clipup, sgd
from masquerade.tickets.optimizers.base import MeanOptimizerConfig
from masquerade.tickets.strategies import open_es, pgpe

NAMES = plugins.names("masquerade.tickets.optimizers")


def moves(config, gradients):
    """What is subtracted from the mean, gradient by gradient."""
    state, found = config.start(torch.zeros_like(gradients[0])), []
    for gradient in gradients:
        move, state = config.step(state, gradient)
        found.append(move)
    return found


def test_sgd_adds_up_gradients_with_momentum():
    config = sgd.Config(lr=0.5, decay=0.1, least=0.0, momentum=0.5)
    found = moves(config, [torch.tensor([2.0, -4.0]), torch.tensor([20.0, 0.0])])
    assert found[0].tolist() == [1.0, -2.0]
    assert found[1].tolist() == pytest.approx([0.5 * 1.0 + 0.05 * 20.0, -1.0])


def test_the_rate_falls_no_lower_than_told():
    found = moves(sgd.Config(lr=1.0, decay=0.1, least=0.05), [torch.ones(1)] * 4)
    assert [float(m) for m in found] == pytest.approx([1.0, 0.1, 0.05, 0.05])


def test_clipup_takes_steps_of_one_length_and_clips_the_velocity():
    config = clipup.Config(lr=0.1, momentum=0.9, speed=2.0)
    gradients = [s * torch.tensor([3.0, 4.0]) for s in (1.0, 100.0, 1e-3)]
    found = moves(config, gradients)
    length = 0.0
    for move in found:  # the length of a gradient plays no part
        length = min(0.9 * length + 0.1, 0.2)
        torch.testing.assert_close(move, length * torch.tensor([0.6, 0.8]))
    assert float(found[-1].norm()) == pytest.approx(0.2)


def test_a_gradient_of_zero_moves_nothing():
    for name in NAMES:
        found = moves(MeanOptimizerConfig.called(name)(), [torch.zeros(3)])
        assert found[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strategy", [pgpe, open_es], ids=["pgpe", "open_es"])
def test_every_optimizer_takes_a_strategy_down_a_bowl(strategy, name):
    # A plain gradient grows with the deviation in PGPE and shrinks with it in OpenES.
    plain = 3.0 if strategy is pgpe else 0.03
    optimizer = MeanOptimizerConfig.called(name)(lr=plain if name == "sgd" else 0.03)
    built = strategy.Config(population=32, sigma=0.1, optimizer=optimizer).build()
    state = built.start(torch.full((10,), 0.5))
    for generation in range(150):
        population = built.ask(state, Seed(5).fold(generation))
        state = built.tell(state, population, -population.square().sum(dim=1))
    assert float(built.mean(state).norm()) < 0.4 < float(torch.full((10,), 0.5).norm()) / 3


@pytest.mark.parametrize("name", NAMES)
def test_settings_survive_json(name):
    config = MeanOptimizerConfig.called(name)(lr=0.25)
    assert MeanOptimizerConfig.parse(json.loads(json.dumps(config.tree()))) == config
