"""What the strategies share: settings, ranks, and a Gaussian with one deviation a weight."""

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor

from masquerade.core.config import Plug
from masquerade.tickets.base import State, Strategy
from masquerade.tickets.optimizers.base import MeanOptimizerConfig


class StrategyConfig(Plug):
    """Settings that every strategy has.

    Attributes:
        population: Candidates of a generation.
        sigma: Standard deviation of every weight at the start.
        mean_decay: Share that the mean loses after every generation.
    """

    family: ClassVar[str] = "masquerade.tickets.strategies"
    noun: ClassVar[str] = "strategy"
    population: int = Field(128, ge=2)
    sigma: float = Field(0.05, gt=0)
    mean_decay: float = Field(0.0, ge=0, lt=1)

    @abstractmethod
    def build(self) -> Strategy:
        """The strategy."""


class Antithetic(StrategyConfig):
    """Settings of strategies whose candidates come in pairs on both sides of the mean."""

    @model_validator(mode="after")
    def _paired(self) -> "Antithetic":
        if self.population % 2:
            raise ValueError(
                f"{self.kind}.population must be even for antithetic pairs, got {self.population}"
            )
        return self


def best_first(fitness: Float[Tensor, " N"]) -> Int[Tensor, " N"]:
    """The candidates' numbers from the best to the worst; of equal ones the earlier first."""
    return fitness.argsort(descending=True, stable=True)


def centred_ranks(fitness: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Each candidate's rank as a loss: -1/2 for the best, 1/2 for the worst."""
    place = torch.empty_like(fitness)
    place[best_first(fitness)] = torch.arange(len(fitness)).to(fitness)
    return place / (len(fitness) - 1) - 0.5


def steps(count: int) -> Float[Tensor, " N"]:
    """`count` numbers from -1/2 (the best) to 1/2 (the worst), equally far apart, as float64."""
    return torch.arange(count, dtype=torch.float64) / (count - 1) - 0.5


def within(state: State, name: str) -> State:
    """The part of a state that was put under a name."""
    return {k.removeprefix(f"{name}/"): v for k, v in state.items() if k.startswith(f"{name}/")}


def under(name: str, state: State) -> State:
    """A state under a name, to be part of another."""
    return {f"{name}/{k}": v for k, v in state.items()}


def moved(
    optimizer: MeanOptimizerConfig, state: State, gradient: Float[Tensor, " P"]
) -> tuple[Float[Tensor, " P"], State]:
    """The mean after a step against a gradient, and the optimizer's part of the next state."""
    move, after = optimizer.step(within(state, "optimizer"), gradient)
    return state["mean"] - move, under("optimizer", after)
