"""Recipes of searches for tickets at every scale, against the paper's tables."""

import pytest
import torch

from masquerade.jobs.tickets import Tickets
from masquerade.recipes.base import SCALES, search, searches

PAPER = {  # population, generations, episodes or batch, strategy, sigma
    "mnist": (128, 4000, 1024, "sep_cma_es", 0.025),
    "fashion_mnist": (128, 4000, 1024, "snes", 0.025),
    "kmnist": (128, 4000, 1024, "pgpe", 0.05),
    "pendulum": (100, 2000, 8, "sep_cma_es", 0.1),
    "cartpole": (100, 2000, 8, "snes", 0.1),
    "halfcheetah": (256, 3000, 8, "snes", 0.05),
    "hopper": (256, 3000, 8, "snes", 0.075),
    "walker2d": (256, 3000, 8, "pgpe", 0.1),
    "ant": (256, 3000, 8, "sep_cma_es", 0.05),
    "reacher": (256, 3000, 8, "pgpe", 0.025),
}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", searches())
def test_settings_of_a_search_survive_json_and_keep_weights_to_the_end(name, scale):
    config = search(name, scale)
    assert Tickets.parse(config.tree()) == config
    assert {"snr", "magnitude", "random"} <= set(config.methods)
    share = config.pruning("snr").remaining(config.rounds)
    assert share == pytest.approx({"paper": 0.8**19, "small": 0.64**9, "smoke": 0.25}[scale])


@pytest.mark.parametrize("name", PAPER)
def test_budgets_of_the_paper(name):
    config = search(name, "paper")
    train = config.methods["snr"].train.tree()
    problem = config.problem.tree()
    found = (
        train["strategy"]["population"],
        train["generations"],
        problem.get("episodes", problem.get("batch")),
        train["strategy"]["kind"],
        train["strategy"]["sigma"],
    )
    assert found == PAPER[name]
    assert (config.rounds, config.keep, len(config.seeds)) == (20, 0.8, 5)


@pytest.mark.parametrize("name", ["digits", "cartpole", "pendulum", "features"])
def test_what_a_search_looks_for_can_be_posed(name):
    config = search(name, "smoke")
    problem = config.problem.build(torch.device("cpu"))
    for method in config.methods.values():
        method.train.check(problem)
