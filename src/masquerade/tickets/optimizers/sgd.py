"""Stochastic gradient descent with momentum."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from masquerade.tickets.base import State
from masquerade.tickets.optimizers.base import MeanOptimizerConfig


class Config(MeanOptimizerConfig):
    """Settings of SGD.

    Attributes:
        momentum: Share of the last move that is kept.
    """

    momentum: float = Field(0.0, ge=0, lt=1)

    def start(self, mean: Float[Tensor, " P"]) -> State:
        return {**super().start(mean), "velocity": torch.zeros_like(mean)}

    def step(
        self, state: State, gradient: Float[Tensor, " P"]
    ) -> tuple[Float[Tensor, " P"], State]:
        rate = self.rate(state["generation"]).to(gradient)
        velocity = self.momentum * state["velocity"] + rate * gradient
        return velocity, {"generation": state["generation"] + 1, "velocity": velocity}
