"""Lange and Sprekeler, "Lottery Tickets in Evolutionary Optimization", ICML 2023.

https://arxiv.org/abs/2306.00045. Populations, generations and rates as in the official code;
`small` is a reduced budget of minutes, `smoke` takes seconds and says only that it runs.
"""

from typing import Any

from masquerade.data.sources import digits as digits_source
from masquerade.data.sources import fashion_mnist as fashion_source
from masquerade.engine.optimizers import adam
from masquerade.jobs.tickets import Method, Tickets
from masquerade.recipes.base import Scale
from masquerade.tickets import descend, evolve
from masquerade.tickets.base import TrainerConfig
from masquerade.tickets.network import Shape
from masquerade.tickets.problems import cartpole as cartpole_problem
from masquerade.tickets.problems import images
from masquerade.tickets.problems import pendulum as pendulum_problem
from masquerade.tickets.strategies import sep_cma_es, snes
from masquerade.tickets.strategies.base import StrategyConfig

SEEDS = (176588, 363028, 381632, 562958, 924197)  # of the paper
CNN = Shape(channels=(8, 16), hidden=())


def digits(scale: Scale) -> Tickets:
    """SNES on scikit-learn's digits; our minutes-long check, not in the paper."""
    smoke = scale == "smoke"
    strategy = snes.Config(population=8 if smoke else 64, sigma=0.05)
    found = evolution(strategy, generations=10 if smoke else 300)
    fast = adam.Config(lr=3e-3, schedule=descend.CONSTANT)
    other = descend.Config(optimizer=fast, epochs=2 if smoke else 40, batch=64, test_every=2)
    return searched(
        scale,
        title="digits",
        problem=images.Config(data=digits_source.Config(), batch=512),
        methods=methods(found) | {"descent": Method(train=other, score="magnitude")},
    )


def fashion_mnist(scale: Scale) -> Tickets:
    """SNES on Fashion-MNIST: the paper's CNN, an MLP where the budget is small."""
    paper, smoke = scale == "paper", scale == "smoke"
    strategy = snes.Config(
        population=128 if paper else 8 if smoke else 64, sigma=0.025, mean_decay=1e-4
    )
    found = evolution(strategy, generations=4000 if paper else 4 if smoke else 600)
    other = descend.Config(epochs=20 if paper else 1 if smoke else 2)
    return searched(
        scale,
        title="fashion_mnist",
        problem=images.Config(
            data=fashion_source.Config(),
            normalise="mnist",
            network=CNN if paper else Shape(hidden=(16,)),
            batch=1024 if paper else 512,
        ),
        methods=methods(found) | {"descent": Method(train=other, score="magnitude")},
    )


def cartpole(scale: Scale) -> Tickets:
    """SNES on CartPole; the paper's code has it, its figures do not."""
    smoke = scale == "smoke"
    strategy = snes.Config(
        population=8 if smoke else 100, temperature=16, sigma=0.1, mean_decay=1e-4
    )
    generations = 2000 if scale == "paper" else 4 if smoke else 60
    problem = cartpole_problem.Config(horizon=50 if smoke else 500)
    return searched(
        scale,
        title="cartpole",
        problem=problem,
        methods=methods(evolution(strategy, generations=generations)),
    )


def pendulum(scale: Scale) -> Tickets:
    """Sep-CMA-ES on Pendulum, as in the paper."""
    smoke = scale == "smoke"
    strategy = sep_cma_es.Config(population=8 if smoke else 100, sigma=0.1, mean_decay=1e-4)
    generations = 2000 if scale == "paper" else 4 if smoke else 200
    problem = pendulum_problem.Config(horizon=50 if smoke else 200)
    return searched(
        scale,
        title="pendulum",
        problem=problem,
        methods=methods(evolution(strategy, generations=generations)),
    )


def evolution(strategy: StrategyConfig, generations: int) -> evolve.Config:
    """Evolution that is tested about forty times, or at its end only where it is short."""
    often = max(1, generations // 40) if generations > 100 else generations
    return evolve.Config(strategy=strategy, generations=generations, test_every=often)


def methods(train: TrainerConfig) -> dict[str, Method]:
    """The three that every figure of the paper compares."""
    return {
        "snr": Method(train=train, score="snr"),
        "magnitude": Method(train=train, score="magnitude"),
        "random": Method(train=train, score="random", start="redraw"),
    }


def searched(of: Scale, **parts: Any) -> Tickets:
    """Rounds and seeds of a scale: 20 of a fifth each with five seeds, 10 of about a third."""
    if of == "paper":
        return Tickets(rounds=20, keep=0.8, seeds=SEEDS, **parts)
    if of == "small":
        return Tickets(rounds=10, keep=0.64, seeds=(0, 1, 2), **parts)
    return Tickets(rounds=3, keep=0.5, seeds=(0,), **parts)
