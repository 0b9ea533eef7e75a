"""PGPE: policy gradients with parameter-based exploration, mirrored pairs, a deviation a weight.

Sehnke et al., "Parameter-exploring policy gradients", 2010; with centred ranks and Adam.

Note:
    The releases of evosax that the paper's requirements allow (0.1.4 to 0.1.6) sort the pairs'
    ranks before they meet the unsorted noise of the deviations, and step against the gradient
    there. The deviations then carry no curvature. `as_published=true` gives that rule, with its
    decay of 0.999 to a floor of 0.01.
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
    """Settings of PGPE.

    Attributes:
        optimizer: How the mean follows the gradient.
        lr_sigma: Learning rate of the deviations.
        change: Largest relative change of a deviation in one generation.
        sigma_decay: Multiplies the deviations after every generation; `as_published` has 0.999.
        sigma_least: They fall no lower; `as_published` has 0.01.
        as_published: The faulty rule of the published runs' library for the deviations.
    """

    optimizer: MeanOptimizerConfig = adam.Config()
    lr_sigma: float = Field(0.1, ge=0)
    change: float = Field(0.2, gt=0, lt=1)
    sigma_decay: float = Field(1.0, gt=0, le=1)
    sigma_least: float = Field(1e-4, gt=0)
    as_published: bool = False

    def build(self) -> "Pgpe":
        if self.as_published:
            return Pgpe(self.replace(sigma_decay=0.999, sigma_least=0.01))
        return Pgpe(self)


class Pgpe(Strategy):
    """The strategy; `config` holds its settings."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def start(self, mean: Float[Tensor, " P"]) -> State:
        memory = under("optimizer", self.config.optimizer.start(mean))
        sigma = torch.full_like(mean, self.config.sigma)
        return {"mean": mean.clone(), "sigma": sigma, **memory}

    def ask(self, state: State, seed: Seed) -> Float[Tensor, "N P"]:
        half = normal(seed, range(self.config.population // 2), len(state["mean"]))
        away = state["sigma"] * half.to(state["mean"])
        return torch.cat([state["mean"] + away, state["mean"] - away])

    def tell(
        self, state: State, population: Float[Tensor, "N P"], fitness: Float[Tensor, " N"]
    ) -> State:
        config, sigma = self.config, state["sigma"]
        ranks = centred_ranks(fitness).to(sigma)
        plus, minus = ranks.chunk(2)
        away = population[: len(plus)] - state["mean"]
        mean, memory = moved(config.optimizer, state, (plus - minus) @ away / len(ranks))
        pair = (plus + minus) / 2
        if config.as_published:
            pair = -pair[torch.minimum(plus, minus).argsort(stable=True)]
        gradient = (pair - pair.mean()) @ (away.square() - sigma.square()) / sigma / len(pair)
        wide = 1 + config.change
        changed = (sigma - config.lr_sigma * gradient).clamp(sigma * (2 - wide), sigma * wide)
        return {
            "mean": mean * (1 - config.mean_decay),
            "sigma": (changed * config.sigma_decay).clamp_min(config.sigma_least),
            **memory,
        }

    def spread(self, state: State) -> Float[Tensor, " P"]:
        return state["sigma"]
