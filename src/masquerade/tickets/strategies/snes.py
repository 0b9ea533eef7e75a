"""SNES: separable natural evolution strategy, a deviation for every weight, by natural gradient.

Schaul, Glasmachers and Schmidhuber, "High Dimensions and Heavy Tails for Natural Evolution
Strategies", 2011. Weights of the ranks as in evosax 0.1.4.
"""

from math import log, sqrt

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.tickets.base import State, Strategy
from masquerade.tickets.noise import normal
from masquerade.tickets.strategies.base import StrategyConfig, best_first, steps


class Config(StrategyConfig):
    """Settings of SNES.

    Attributes:
        temperature: Of the softmax over ranks; 0 takes the logarithmic weights of the paper.
        lr_mean: Learning rate of the mean.
    """

    temperature: float = Field(12.0, ge=0)
    lr_mean: float = Field(1.0, gt=0)

    def build(self) -> "Snes":
        return Snes(self)


class Snes(Strategy):
    """The strategy; `config` holds its settings."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.weights = rank_weights(config.population, config.temperature)

    def start(self, mean: Float[Tensor, " P"]) -> State:
        return {"mean": mean.clone(), "sigma": torch.full_like(mean, self.config.sigma)}

    def ask(self, state: State, seed: Seed) -> Float[Tensor, "N P"]:
        z = normal(seed, range(self.config.population), len(state["mean"])).to(state["mean"])
        return torch.addcmul(state["mean"], state["sigma"], z)

    def tell(
        self, state: State, population: Float[Tensor, "N P"], fitness: Float[Tensor, " N"]
    ) -> State:
        mean, sigma = state["mean"], state["sigma"]
        weight = torch.empty_like(fitness).to(mean)
        weight[best_first(fitness)] = self.weights.to(mean)
        z = (population - mean) / sigma
        rate = (3 + log(len(mean))) / (5 * sqrt(len(mean)))
        growth = weight @ z.square() - weight.sum()
        moved = mean + self.config.lr_mean * sigma * (weight @ z)
        return {
            "mean": moved * (1 - self.config.mean_decay),
            "sigma": sigma * (rate / 2 * growth).exp(),
        }

    def spread(self, state: State) -> Float[Tensor, " P"]:
        return state["sigma"]


def rank_weights(population: int, temperature: float) -> Float[Tensor, " N"]:
    """What each rank counts, the best first, as float64.

    A softmax adds up to 1; the logarithmic weights (temperature 0) add up to 0.
    """
    if temperature:
        return (-temperature * steps(population)).softmax(dim=0)
    place = torch.arange(1, population + 1, dtype=torch.float64)
    raw = (log(population / 2 + 1) - place.log()).clamp_min(0)
    return raw / raw.sum() - 1 / population
