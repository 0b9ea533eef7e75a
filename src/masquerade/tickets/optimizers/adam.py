"""Adam. Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980, with the memory of evosax's ES."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from masquerade.tickets.base import State
from masquerade.tickets.optimizers.base import MeanOptimizerConfig


class Config(MeanOptimizerConfig):
    """Settings of Adam.

    Attributes:
        betas: Memory of the mean and of the square of the gradient.
        epsilon: Added to the root of the square.
    """

    betas: tuple[float, float] = (0.99, 0.999)
    epsilon: float = Field(1e-8, gt=0)

    def start(self, mean: Float[Tensor, " P"]) -> State:
        zero = torch.zeros_like(mean)
        return {**super().start(mean), "first": zero, "second": zero.clone()}

    def step(
        self, state: State, gradient: Float[Tensor, " P"]
    ) -> tuple[Float[Tensor, " P"], State]:
        one, two = self.betas
        first = one * state["first"] + (1 - one) * gradient
        second = two * state["second"] + (1 - two) * gradient.square()
        done = state["generation"] + 1
        mean = first / (1 - one**done).to(gradient)
        square = second / (1 - two**done).to(gradient)
        move = self.rate(state["generation"]).to(gradient) * mean / (square.sqrt() + self.epsilon)
        return move, {"generation": done, "first": first, "second": second}
