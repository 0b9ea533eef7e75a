"""A task: a batch in, one loss per round out. The engine knows nothing else of a method.

A task has one or more *players* (encoder, masker, probe), each with its own optimizer. A step
is a list of *rounds*; the players of a round step together, the others are frozen.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

from masquerade.core.seed import Seed
from masquerade.engine.clock import Clock


class Group(NamedTuple):
    """Parameters that share their rates.

    Attributes:
        name: For messages and logs.
        params: The parameters.
        lr_scale: Multiplies the player's learning rate.
        decay: Whether weight decay applies.
        scheduled: False keeps the learning rate constant.
    """

    name: str
    params: list[nn.Parameter]
    lr_scale: float = 1.0
    decay: bool = True
    scheduled: bool = True


class Progress(NamedTuple):
    """Where training stands before a step; schedules and momenta are functions of it.

    Attributes:
        step: Steps already done.
        steps: Steps in all.
        epoch_steps: Steps of one epoch.
    """

    step: int
    steps: int
    epoch_steps: int

    @property
    def epoch(self) -> int:
        """The epoch this step belongs to, from 0."""
        return self.step // self.epoch_steps

    @property
    def epochs(self) -> float:
        """Epochs in all."""
        return self.steps / self.epoch_steps


class Terms(NamedTuple):
    """What a round returns.

    Attributes:
        loss: A scalar, or an iterator of scalars that are backpropagated one by one.
        logs: Detached scalars by name.
    """

    loss: Tensor | Iterator[Tensor]
    logs: dict[str, Tensor]


class Carry:
    """What the rounds of one step hand on to each other, and the clock that times them.

    A plain class, so that no wrapper of `forward` copies it on the way.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.values: dict[str, Any] = {}


class Task(nn.Module, ABC):
    """What the engine trains."""

    @abstractmethod
    def players(self) -> dict[str, list[Group]]:
        """The parameter groups of each player, by the name its optimizer has in the settings."""

    @abstractmethod
    def rounds(self, progress: Progress) -> tuple[tuple[str, ...], ...]:
        """Who steps together in this step, in order."""

    @abstractmethod
    def forward(
        self, batch: Any, players: tuple[str, ...], seed: Seed, progress: Progress, carry: Carry
    ) -> Terms:
        """The loss of one round; only `players` get gradients from it."""

    @abstractmethod
    def encoder(self) -> nn.Module:
        """What a run exports."""

    def notable(self, progress: Progress) -> bool:
        """Whether the logs of a step ought to be written, whatever the interval."""
        return False

    def before_step(self, progress: Progress) -> None:
        """Runs before the first round of a step."""
        return

    def after_step(self, progress: Progress) -> None:
        """Runs after the last round of a step."""
        return
