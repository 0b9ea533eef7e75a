"""The game between encoder and masker: when the masker plays, and how strong its wish is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from masquerade.core.config import Settings
from masquerade.engine.task import Progress

Step = Literal["official", "shared", "reversal"]


class Game(Settings):
    """Settings of the game.

    Attributes:
        every: The masker is trained in every so many-th step.
        normalise_gain: Whether the masker's wish is divided by a running mean of what masks cost
            the encoder, |loss with masks - loss without|, so that the weights of its penalties
            mean the same for every objective.
        off_ramp: The share of the training, at its end, in which masks are used but not trained
            any more.
    """

    every: int = Field(1, ge=1)
    normalise_gain: bool = False
    off_ramp: float = Field(0.0, ge=0, lt=1)

    def plays(self, progress: Progress) -> bool:
        """Whether the masker is trained in this step."""
        over = progress.step >= round(progress.steps * (1 - self.off_ramp))
        return not over and progress.step % self.every == 0


def weighed(step: int) -> bool:
    """Whether the clean loss is measured in this step, too: often at first, then each 100th."""
    return step > 0 and step % (10 if step < 100 else 100) == 0


@contextmanager
def trainable(module: nn.Module) -> Iterator[None]:
    """A graph is recorded for these parameters even in a round in which they are frozen."""
    before = [(p, p.requires_grad) for p in module.parameters()]
    try:
        for p, _ in before:
            p.requires_grad_(True)
        yield
    finally:
        for p, old in before:
            p.requires_grad_(old)


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * grad, None


def reversed_gradient(x: Float[Tensor, "*S"], strength: float = 1.0) -> Float[Tensor, "*S"]:
    """The same values; what flows back through them changes its sign and is scaled."""
    return _Reverse.apply(x, strength)  # type: ignore[no-any-return]  # upstream
