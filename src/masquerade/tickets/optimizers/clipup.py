"""ClipUp: steps of one length, with momentum and a speed limit.

Toklu et al., "ClipUp: A Simple and Powerful Optimizer for Distribution-based Policy Evolution",
2020. https://arxiv.org/abs/2008.02387
"""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from masquerade.tickets.base import State
from masquerade.tickets.optimizers.base import MeanOptimizerConfig


class Config(MeanOptimizerConfig):
    """Settings of ClipUp.

    Attributes:
        momentum: Share of the velocity that is kept.
        speed: Longest move, in learning rates.
    """

    lr: float = Field(0.1, gt=0)
    decay: float = Field(1.0, gt=0, le=1)
    momentum: float = Field(0.9, ge=0, lt=1)
    speed: float = Field(2.0, gt=0)

    def start(self, mean: Float[Tensor, " P"]) -> State:
        return {**super().start(mean), "velocity": torch.zeros_like(mean)}

    def step(
        self, state: State, gradient: Float[Tensor, " P"]
    ) -> tuple[Float[Tensor, " P"], State]:
        rate = self.rate(state["generation"]).to(gradient)
        length = gradient.norm().clamp_min(torch.finfo(gradient.dtype).tiny)
        velocity = self.momentum * state["velocity"] + rate * gradient / length
        tall = velocity.norm() / (self.speed * rate)
        velocity = velocity / tall.clamp_min(1)
        return velocity, {"generation": state["generation"] + 1, "velocity": velocity}
