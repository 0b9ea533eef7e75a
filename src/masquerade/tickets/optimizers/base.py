"""What every optimizer of the mean is: a gradient in, a move out."""

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from masquerade.core.config import Plug
from masquerade.tickets.base import State


class MeanOptimizerConfig(Plug):
    """Settings that every optimizer of the mean has.

    Attributes:
        lr: Learning rate of the first generation.
        decay: Multiplies it after every generation.
        least: The learning rate falls no lower.
    """

    family: ClassVar[str] = "masquerade.tickets.optimizers"
    noun: ClassVar[str] = "optimizer of the mean"
    lr: float = Field(0.01, gt=0)
    decay: float = Field(0.999, gt=0, le=1)
    least: float = Field(0.001, ge=0)

    def rate(self, generation: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The learning rate of a generation, counted from 0."""
        return (self.lr * self.decay**generation).clamp_min(min(self.least, self.lr))

    def start(self, mean: Float[Tensor, " P"]) -> State:
        """What it remembers before the first generation."""
        return {"generation": torch.zeros((), dtype=torch.float64)}

    @abstractmethod
    def step(
        self, state: State, gradient: Float[Tensor, " P"]
    ) -> tuple[Float[Tensor, " P"], State]:
        """What is subtracted from the mean for this gradient of a loss, and the next state."""
