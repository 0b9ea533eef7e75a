"""Strategies against evosax's arrays, and what every strategy keeps."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from masquerade.core import plugins
from masquerade.core.seed import Seed
from masquerade.tickets.optimizers import adam
from masquerade.tickets.strategies import des, open_es, pgpe, sep_cma_es, snes
from masquerade.tickets.strategies.base import StrategyConfig, centred_ranks

ORACLES = Path(__file__).parents[1] / "oracles" / "tickets"
NAMES = plugins.names("masquerade.tickets.strategies")
every_strategy = pytest.mark.parametrize("name", NAMES)
PUBLISHED = {
    "SNES": snes.Config(population=16, temperature=12, mean_decay=1e-5),
    "SNES_default": snes.Config(population=16, sigma=0.1, temperature=0),
    "evosax032_SNES": snes.Config(population=16, temperature=0),
    "DES": des.Config(population=16, sigma=0.05, mean_decay=1e-5),
    "Sep_CMA_ES": sep_cma_es.Config(population=16, elite_ratio=0.4, mean_decay=1e-5),
    "PGPE": pgpe.Config(population=16, sigma=0.025, mean_decay=1e-5, as_published=True),
    "evosax032_PGPE": pgpe.Config(population=16, optimizer=adam.Config(decay=1.0)),
    "OpenES": open_es.Config(population=16),
}
INTERLEAVED = ("PGPE", "OpenES")  # evosax 0.1.4 puts the two of a pair side by side
OURS = {"std": "sigma"}


def small(name, population=8, **changes):
    return StrategyConfig.called(name)(population=population, **changes)


def bowl(population, curvature):
    return -(curvature * population.square()).sum(dim=1)


@pytest.mark.parametrize("name", PUBLISHED)
def test_states_follow_those_of_evosax(name):
    with np.load(ORACLES / f"public_es_{name}.npz") as file:
        arrays = {k: torch.from_numpy(file[k]).double() for k in file.files if k != "meta"}
    strategy = PUBLISHED[name].build()
    state = strategy.start(arrays["mean0"])
    order = torch.arange(16)
    if name in INTERLEAVED:
        order = torch.cat([order[0::2], order[1::2]])
    for generation, population in enumerate(arrays["x"]):
        fitness = arrays["fitness" if "fitness" in arrays else "loss_minimised"][generation]
        fitness = fitness if "fitness" in arrays else -fitness
        state = strategy.tell(state, population[order], fitness[order])
        for key in arrays.keys() & {"mean", "sigma", "std", "C", "p_sigma", "p_c"}:
            found, wanted = state[OURS.get(key, key)], arrays[key][generation]
            torch.testing.assert_close(found, wanted, rtol=2e-6, atol=2e-6, msg=f"{name} {key}")


def test_sep_cma_es_is_that_of_the_current_evosax_with_its_constants(monkeypatch):
    with np.load(ORACLES / "public_es_evosax032_Sep_CMA_ES.npz") as file:
        arrays = {k: torch.from_numpy(file[k]).double() for k in file.files if k != "meta"}
        told = json.loads(bytes(file["meta"]))["params"]
    names = ("mu_eff", "c_1", "c_mu", "c_c", "c_std", "d_std", "chi_n")
    elite = torch.tensor([w for w in told["weights"] if w > 0], dtype=torch.float64)
    rates = sep_cma_es.Rates(elite, *(told[name] for name in names))
    monkeypatch.setattr(sep_cma_es.Rates, "of", lambda *sizes: rates)
    strategy = sep_cma_es.Config(population=16).build()
    state = strategy.start(arrays["mean0"])
    for generation, population in enumerate(arrays["x"]):
        state = strategy.tell(state, population, -arrays["loss_minimised"][generation])
        for key, name in (("mean", "mean"), ("sigma", "std"), ("C", "C")):
            wanted = arrays[name][generation]
            torch.testing.assert_close(state[key], wanted, rtol=2e-6, atol=2e-6)


def test_the_published_rule_of_pgpe_differs_in_the_spread_only():
    wrong, right = (small("pgpe", sigma=0.5, as_published=p).build() for p in (True, False))
    state = right.start(torch.full((5,), 0.1))
    population = right.ask(state, Seed(0))
    fitness = bowl(population, torch.logspace(-2, 2, 5))
    one, two = (s.tell(state, population, fitness) for s in (wrong, right))
    assert torch.equal(one["mean"], two["mean"])
    assert float((one["sigma"] / (two["sigma"] * 0.999) - 1).abs().max()) > 0.01


@every_strategy
def test_equal_seeds_give_equal_candidates_and_others_do_not(name):
    strategy = small(name).build()
    state = strategy.start(torch.linspace(-1, 1, 7))
    first = strategy.ask(state, Seed(1))
    assert first.shape == (8, 7) and first.dtype == torch.float32
    assert torch.equal(first, strategy.ask(state, Seed(1)))
    assert not torch.equal(first, strategy.ask(state, Seed(2)))


@every_strategy
def test_candidates_scatter_by_the_spread_around_the_mean(name):
    strategy = small(name, population=4000, sigma=0.3).build()
    mean = torch.tensor([-2.0, 0.0, 5.0])
    population = strategy.ask(strategy.start(mean), Seed(3))
    torch.testing.assert_close(population.mean(dim=0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(population.std(dim=0), torch.full((3,), 0.3), atol=0.02, rtol=0)


@every_strategy
def test_only_the_order_of_fitness_counts(name):
    strategy = small(name).build()
    state = strategy.start(torch.zeros(6))
    population = strategy.ask(state, Seed(4))
    fitness = bowl(population - 1, torch.ones(6))
    one = strategy.tell(state, population, fitness)
    two = strategy.tell(state, population, 3 + (fitness / 10).exp())
    assert all(torch.equal(one[key], two[key]) for key in one)


@every_strategy
def test_tell_changes_no_state_it_was_given(name):
    strategy = small(name).build()
    state = strategy.start(torch.zeros(6))
    before = {k: v.clone() for k, v in state.items()}
    population = strategy.ask(state, Seed(4))
    after = strategy.tell(state, population, bowl(population - 1, torch.ones(6)))
    assert all(torch.equal(state[k], v) for k, v in before.items())
    assert after.keys() == state.keys()
    assert not torch.equal(after["mean"], state["mean"])


@every_strategy
def test_it_finds_the_bottom_of_a_bowl(name):
    strategy = small(name, population=32, sigma=0.1).build()
    state = strategy.start(torch.full((10,), 0.5))
    for generation in range(200):
        population = strategy.ask(state, Seed(5).fold(generation))
        state = strategy.tell(state, population, bowl(population, torch.ones(10)))
    assert strategy.mean(state).norm() < 0.3 < torch.full((10,), 0.5).norm() / 5


def correlation(a, b):
    """Spearman's, by its definition."""
    ranks = torch.stack([x.argsort().argsort().double() for x in (a, b)])
    return float(torch.corrcoef(ranks)[0, 1])


PROBED = {
    "snes": (snes.Config(population=64), 150),
    "des": (des.Config(population=64), 200),
    "sep_cma_es": (sep_cma_es.Config(population=64), 150),
    "pgpe": (pgpe.Config(population=64), 600),
}


@pytest.mark.parametrize("name", PROBED)
def test_the_spread_is_smallest_where_the_curvature_is_largest(name):
    config, generations = PROBED[name]
    curvature = torch.logspace(-2, 2, 20)[torch.randperm(20, generator=Seed(0).generator())]
    strategy = config.build()
    state = strategy.start(torch.full((20,), 0.5))
    for generation in range(generations):
        population = strategy.ask(state, Seed(6).fold(generation))
        state = strategy.tell(state, population, bowl(population, curvature))
    assert correlation(strategy.spread(state), curvature) < -0.95


@pytest.mark.parametrize("name", ["pgpe", "open_es"])
def test_pairs_lie_on_both_sides_of_the_mean_and_need_an_even_population(name):
    strategy = small(name).build()
    state = strategy.start(torch.full((5,), 0.25))
    plus, minus = strategy.ask(state, Seed(0)).chunk(2)
    torch.testing.assert_close(plus + minus, torch.full((4, 5), 0.5))
    with pytest.raises(ValueError, match=f"{name}.population must be even .* got 9"):
        small(name, population=9)


def test_a_shared_deviation_is_no_spread():
    strategy = open_es.Config().build()
    assert strategy.spread(strategy.start(torch.zeros(3))) is None


def test_sep_cma_es_may_give_the_variance_that_the_published_runs_divided_by():
    strategies = [sep_cma_es.Config(spread=kind).build() for kind in ("std", "variance")]
    state = strategies[0].start(torch.zeros(3)) | {"C": torch.tensor([4.0, 9.0, 16.0])}
    std, variance = (strategy.spread(state) for strategy in strategies)
    torch.testing.assert_close(std, 0.05 * variance.sqrt())


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=12))
@settings(max_examples=50, deadline=None)
def test_centred_ranks_are_a_permutation_of_equal_steps_with_the_best_lowest(values):
    fitness = torch.tensor(values, dtype=torch.float64)
    ranks = centred_ranks(fitness)
    torch.testing.assert_close(ranks.sort().values, torch.linspace(-0.5, 0.5, len(values)).double())
    assert ranks[fitness.argmax()] == -0.5
    assert all(
        fitness[i] >= fitness[j]
        for i in range(len(values))
        for j in range(len(values))
        if ranks[i] < ranks[j]
    )


def test_settings_survive_json():
    for name in NAMES:
        config = small(name)
        assert StrategyConfig.parse(json.loads(json.dumps(config.tree()))) == config
