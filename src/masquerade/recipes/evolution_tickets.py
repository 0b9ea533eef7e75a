"""Lange and Sprekeler, "Lottery Tickets in Evolutionary Optimization", ICML 2023.

https://arxiv.org/abs/2306.00045. Populations, generations and rates as in the official code;
`small` is a reduced budget of minutes, `smoke` takes seconds and says only that it runs.
"""

from typing import Any

from masquerade.data.sources import digits as digits_source
from masquerade.data.sources import fashion_mnist as fashion_source
from masquerade.data.sources import kmnist as kmnist_source
from masquerade.data.sources import mnist as mnist_source
from masquerade.data.sources.base import SourceConfig
from masquerade.engine.optimizers import adam
from masquerade.jobs.tickets import Method, Tickets
from masquerade.recipes.base import Scale
from masquerade.tickets import descend, evolve
from masquerade.tickets.base import TrainerConfig
from masquerade.tickets.network import Shape
from masquerade.tickets.optimizers import adam as mean_adam
from masquerade.tickets.problems import cartpole as cartpole_problem
from masquerade.tickets.problems import features as features_problem
from masquerade.tickets.problems import images, mujoco
from masquerade.tickets.problems import pendulum as pendulum_problem
from masquerade.tickets.strategies import pgpe, sep_cma_es, snes
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


def mnist(scale: Scale) -> Tickets:
    """Sep-CMA-ES on MNIST: the paper's CNN, an MLP where the budget is small."""
    strategy = sep_cma_es.Config(population=population(scale), sigma=0.025, mean_decay=1e-4)
    return pictures(scale, "mnist", mnist_source.Config(), strategy)


def fashion_mnist(scale: Scale) -> Tickets:
    """SNES on Fashion-MNIST: the paper's CNN, an MLP where the budget is small."""
    strategy = snes.Config(population=population(scale), sigma=0.025, mean_decay=1e-4)
    return pictures(scale, "fashion_mnist", fashion_source.Config(), strategy)


def kmnist(scale: Scale) -> Tickets:
    """PGPE on K-MNIST: the paper's CNN, an MLP where the budget is small."""
    strategy = pgpe.Config(population=population(scale), sigma=0.05, mean_decay=1e-4)
    return pictures(scale, "kmnist", kmnist_source.Config(), strategy)


def population(scale: Scale) -> int:
    """Candidates of a generation that is judged on images."""
    return {"paper": 128, "small": 64, "smoke": 8}[scale]


def pictures(scale: Scale, title: str, data: SourceConfig, strategy: StrategyConfig) -> Tickets:
    """A search on one of the sets in MNIST's format."""
    paper, smoke = scale == "paper", scale == "smoke"
    found = evolution(strategy, generations=4000 if paper else 4 if smoke else 600)
    other = descend.Config(epochs=20 if paper else 1 if smoke else 2)
    problem = images.Config(
        data=data,
        normalise="mnist",
        network=CNN if paper else Shape(hidden=(16,)),
        batch=1024 if paper else 512,
    )
    return searched(
        scale,
        title=title,
        problem=problem,
        methods=methods(found) | {"descent": Method(train=other, score="magnitude")},
    )


def features(scale: Scale) -> Tickets:
    """SNES for a sparse head on frozen features; ours, not in the paper.

    `problem.encoder=RUN` names an encoder and `problem.data` its labelled images; without it the
    features are the pixels of scikit-learn's digits. L1 logistic regression stands beside it.
    """
    smoke = scale == "smoke"
    strategy = snes.Config(population=8 if smoke else 64, sigma=0.05)
    found = evolution(strategy, generations=10 if smoke else 300)
    return searched(
        scale,
        title="features",
        problem=features_problem.Config(goal="balanced"),
        methods=methods(found),
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


def halfcheetah(scale: Scale) -> Tickets:
    """SNES on HalfCheetah, in MuJoCo in the place of Brax."""
    return robot(scale, "HalfCheetah", snes.Config(sigma=0.05, temperature=16))


def hopper(scale: Scale) -> Tickets:
    """SNES on Hopper, in MuJoCo in the place of Brax."""
    return robot(scale, "Hopper", snes.Config(sigma=0.075, temperature=48))


def walker2d(scale: Scale) -> Tickets:
    """PGPE on Walker2d, in MuJoCo in the place of Brax."""
    return robot(scale, "Walker2d", pgpe.Config(sigma=0.1, optimizer=mean_adam.Config(lr=0.03)))


def ant(scale: Scale) -> Tickets:
    """Sep-CMA-ES on Ant, in MuJoCo in the place of Brax."""
    return robot(scale, "Ant", sep_cma_es.Config(sigma=0.05, elite_ratio=0.4))


def reacher(scale: Scale) -> Tickets:
    """PGPE on Reacher, in MuJoCo in the place of Brax."""
    return robot(scale, "Reacher", pgpe.Config(sigma=0.025, optimizer=mean_adam.Config(lr=0.02)))


def robot(scale: Scale, task: mujoco.Task, strategy: StrategyConfig) -> Tickets:
    """A search on one of gymnasium's robots; `paper` takes CPU-days, `small` CPU-hours."""
    paper, smoke = scale == "paper", scale == "smoke"
    count = 256 if paper else 4 if smoke else 64
    found = evolution(
        strategy.replace(population=count, mean_decay=1e-5),
        generations=3000 if paper else 2 if smoke else 200,
    )
    problem = mujoco.Config(
        task=task,
        episodes=8 if paper else 2,
        test_episodes=2 if smoke else 64 if paper else 16,
        horizon=20 if smoke else 500 if paper else 200,
    )
    return searched(scale, title=task.lower(), problem=problem, methods=methods(found))


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
