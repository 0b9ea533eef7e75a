"""Sep-CMA-ES: covariance matrix adaptation with a diagonal matrix, linear in the dimensions.

Ros and Hansen, "A Simple Modification in CMA-ES Achieving Linear Time and Space Complexity", 2008.
Constants as in evosax 0.1.4, which the published runs used.
"""

from math import floor, log, sqrt
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.tickets.base import State, Strategy
from masquerade.tickets.noise import normal
from masquerade.tickets.strategies.base import StrategyConfig, best_first


class Config(StrategyConfig):
    """Settings of Sep-CMA-ES.

    Attributes:
        elite_ratio: Share of the population that the next mean is made of.
        spread: What stands below the mean in a signal-to-noise ratio: the standard deviation,
            or the diagonal of C, a variance, as in the published runs.
    """

    elite_ratio: float = Field(0.5, gt=0, le=1)
    spread: Literal["std", "variance"] = "std"

    def build(self) -> "SepCmaEs":
        return SepCmaEs(self)


class Rates(NamedTuple):
    """The constants of a search in k dimensions.

    Attributes:
        weights: Of the elite, the best first; they add up to 1.
        effective: Variance effective size of the elite.
        one: Learning rate of the rank-one update.
        many: Learning rate of the rank-mu update.
        path: Memory of the covariance path.
        sigma: Memory of the step-size path.
        damping: Of the step size.
        length: Expected length of a standard normal vector.
    """

    weights: Float[Tensor, " E"]
    effective: float
    one: float
    many: float
    path: float
    sigma: float
    damping: float
    length: float

    @classmethod
    def of(cls, population: int, elite_ratio: float, k: int) -> "Rates":
        """The constants for a population and k dimensions."""
        elite = max(1, floor(population * elite_ratio))
        raw = log(elite + 1) - torch.arange(1, elite + 1, dtype=torch.float64).log()
        weights = raw / raw.sum()
        mu = 1 / float(weights.square().sum())
        q = min(k, 40_000)  # evosax guards against an overflow; kept for equal numbers
        full = 2 / mu / (q + sqrt(2)) ** 2
        full += (1 - 1 / mu) * min(1.0, (2 * mu - 1) / ((q + 2) ** 2 + mu))
        sigma = (mu + 2) / (k + mu + 3)
        return cls(
            weights=weights,
            effective=mu,
            one=2 / ((q + 1.3) ** 2 + mu),
            many=(k + 2) / 3 * full,
            path=4 / (k + 4),
            sigma=sigma,
            damping=1 + 2 * max(0.0, sqrt(max(0.0, (mu - 1) / (k + 1))) - 1) + sigma,
            length=sqrt(k) * (1 - 1 / (4 * k) + 1 / (21 * q**2)),
        )


class SepCmaEs(Strategy):
    """The strategy; `config` holds its settings."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def start(self, mean: Float[Tensor, " P"]) -> State:
        return {
            "mean": mean.clone(),
            "sigma": mean.new_tensor(self.config.sigma),
            "C": torch.ones_like(mean),
            "p_sigma": torch.zeros_like(mean),
            "p_c": torch.zeros_like(mean),
            "generation": torch.zeros((), dtype=torch.float64),
        }

    def ask(self, state: State, seed: Seed) -> Float[Tensor, "N P"]:
        z = normal(seed, range(self.config.population), len(state["mean"])).to(state["mean"])
        return torch.addcmul(state["mean"], state["sigma"] * state["C"].sqrt(), z)

    def tell(
        self, state: State, population: Float[Tensor, "N P"], fitness: Float[Tensor, " N"]
    ) -> State:
        mean, sigma, c = state["mean"], state["sigma"], state["C"]
        rates = Rates.of(len(fitness), self.config.elite_ratio, len(mean))
        weights = rates.weights.to(mean)
        y = (population[best_first(fitness)[: len(weights)]] - mean) / sigma
        step = weights @ y
        root = sqrt(rates.sigma * (2 - rates.sigma) * rates.effective)
        p_sigma = (1 - rates.sigma) * state["p_sigma"] + root * step / c.sqrt()
        done = state["generation"] + 1
        length = p_sigma.norm()
        warm = (1 - (1 - rates.sigma) ** (2 * done)).sqrt().to(mean)
        calm = (length / warm < (1.4 + 2 / (len(mean) + 1)) * rates.length).to(mean)
        root = sqrt(rates.path * (2 - rates.path) * rates.effective)
        p_c = (1 - rates.path) * state["p_c"] + calm * root * step
        lost = rates.one * (1 - calm) * rates.path * (2 - rates.path)
        old = (1 + lost - rates.one - rates.many) * c
        grown = old + rates.one * p_c.square() + rates.many * (weights @ y.square())
        pace = rates.sigma / rates.damping * (length / rates.length - 1)
        return {
            "mean": (mean + sigma * step) * (1 - self.config.mean_decay),
            "sigma": sigma * pace.exp(),
            "C": grown,
            "p_sigma": p_sigma,
            "p_c": p_c,
            "generation": done,
        }

    def spread(self, state: State) -> Float[Tensor, " P"]:
        if self.config.spread == "variance":
            return state["C"]
        return state["sigma"] * state["C"].sqrt()
