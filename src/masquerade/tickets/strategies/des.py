"""DES: discovered evolution strategy, recombination with weights that a search over rules found.

Lange et al., "Discovering Evolution Strategies via Meta-Black-Box Optimization", 2023.
https://arxiv.org/abs/2211.11260
"""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.tickets.base import State, Strategy
from masquerade.tickets.noise import normal
from masquerade.tickets.strategies.base import StrategyConfig, best_first, steps


class Config(StrategyConfig):
    """Settings of DES.

    Attributes:
        temperature: Of the sigmoid over ranks.
        lr_sigma: Learning rate of the deviations.
    """

    sigma: float = Field(0.1, gt=0)
    temperature: float = Field(12.5, gt=0)
    lr_sigma: float = Field(0.1, gt=0, le=1)

    def build(self) -> "Des":
        return Des(self)


class Des(Strategy):
    """The strategy; `config` holds its settings."""

    def __init__(self, config: Config) -> None:
        self.config = config
        ranks = (config.temperature * steps(config.population)).sigmoid()
        self.weights = (-20 * ranks).softmax(dim=0)

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
        away = population - mean
        seen = (weight @ away.square() + 1e-6).sqrt()  # 1e-6: as published; a floor of 0.001
        return {
            "mean": (mean + weight @ away) * (1 - self.config.mean_decay),
            "sigma": sigma + self.config.lr_sigma * (seen - sigma),
        }

    def spread(self, state: State) -> Float[Tensor, " P"]:
        return state["sigma"]
