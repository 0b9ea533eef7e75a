"""OpenES: one deviation for all weights, mirrored noise, ranks, Adam on the estimated gradient.

Salimans et al., "Evolution Strategies as a Scalable Alternative to Reinforcement Learning", 2017.
https://arxiv.org/abs/1703.03864
"""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.tickets.base import State, Strategy
from masquerade.tickets.noise import normal
from masquerade.tickets.optimizers import adam
from masquerade.tickets.optimizers.base import MeanOptimizerConfig
from masquerade.tickets.strategies.base import Antithetic, centred_ranks, moved, under


class Config(Antithetic):
    """Settings of OpenES.

    Attributes:
        optimizer: How the mean follows the gradient.
        sigma_decay: Multiplies the deviation after every generation.
        sigma_least: It falls no lower.
    """

    optimizer: MeanOptimizerConfig = adam.Config()
    sigma_decay: float = Field(0.999, gt=0, le=1)
    sigma_least: float = Field(0.01, gt=0)

    def build(self) -> "OpenEs":
        return OpenEs(self)


class OpenEs(Strategy):
    """The strategy; `config` holds its settings."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def start(self, mean: Float[Tensor, " P"]) -> State:
        memory = under("optimizer", self.config.optimizer.start(mean))
        return {"mean": mean.clone(), "sigma": mean.new_tensor(self.config.sigma), **memory}

    def ask(self, state: State, seed: Seed) -> Float[Tensor, "N P"]:
        half = normal(seed, range(self.config.population // 2), len(state["mean"]))
        away = state["sigma"] * half.to(state["mean"])
        return torch.cat([state["mean"] + away, state["mean"] - away])

    def tell(
        self, state: State, population: Float[Tensor, "N P"], fitness: Float[Tensor, " N"]
    ) -> State:
        config, sigma = self.config, state["sigma"]
        ranks = centred_ranks(fitness).to(sigma)
        gradient = ranks @ (population - state["mean"]) / (len(ranks) * sigma.square())
        mean, memory = moved(config.optimizer, state, gradient)
        lower = (sigma * config.sigma_decay).clamp_min(min(config.sigma_least, config.sigma))
        return {"mean": mean * (1 - config.mean_decay), "sigma": lower, **memory}

    def spread(self, state: State) -> Float[Tensor, " P"] | None:
        """None: one deviation for all says nothing of a single weight."""
        return None
