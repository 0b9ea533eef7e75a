"""Episodes of many candidates at once, in environments made of tensor operations.

Fitness is the mean over episodes of the undiscounted sum of rewards up to and including the end;
all candidates of a generation meet the same episodes.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from pydantic import Field
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.tickets.base import Judged, Problem, State
from masquerade.tickets.network import Network, Shape
from masquerade.tickets.problems.base import ProblemConfig


class Step(NamedTuple):
    """What follows an action.

    Attributes:
        state: The next one.
        reward: For this step.
        over: Whether the episode ends with it.
    """

    state: Float[Tensor, "*E S"]
    reward: Float[Tensor, "*E"]
    over: Bool[Tensor, "*E"]


class Environment(ABC):
    """The rules of a task, for states of any leading shape.

    Attributes:
        observed: Numbers of an observation.
        choices: Discrete actions; 0 where actions are numbers.
        numbers: Numbers of a continuous action.
        drawn: Uniform numbers that a start takes.
    """

    observed: ClassVar[int]
    choices: ClassVar[int] = 0
    numbers: ClassVar[int] = 1
    drawn: ClassVar[int]

    @abstractmethod
    def begin(self, uniform: Float[Tensor, "*E D"]) -> Float[Tensor, "*E S"]:
        """First states from numbers in [0, 1)."""

    @abstractmethod
    def observe(self, state: Float[Tensor, "*E S"]) -> Float[Tensor, "*E O"]:
        """What a policy sees of states."""

    @abstractmethod
    def step(self, state: Float[Tensor, "*E S"], action: Shaped[Tensor, "*E A"]) -> Step:
        """What follows actions: numbers, or the number of a choice (A = 1)."""


class ControlConfig(ProblemConfig):
    """Settings of the control tasks.

    Attributes:
        network: The policy.
        episodes: That a candidate plays in a generation.
        test_episodes: That a score is the mean of; always the same.
        horizon: Steps after which an episode is cut off.
    """

    network: Shape = Shape(hidden=(64, 64), activation="tanh")
    episodes: int = Field(8, ge=1)
    test_episodes: int = Field(32, ge=1)
    horizon: int = Field(500, ge=1)

    @abstractmethod
    def environment(self) -> Environment:
        """The rules."""

    def build(self, device: torch.device) -> "Control":
        return Control(self, self.environment(), device)

    @property
    def measure(self) -> str:
        return "return"


class Played(NamedTuple):
    """What episodes brought.

    Attributes:
        total: Sum of the rewards of each.
        length: Steps of each.
    """

    total: Float[Tensor, "N E"]
    length: Float[Tensor, "N E"]


class Control(Problem):
    """An environment with a policy to be found."""

    def __init__(
        self, config: ControlConfig, environment: Environment, device: torch.device
    ) -> None:
        if config.network.channels:
            raise ValueError(f"{config.kind} gives numbers and no images; set network.channels=()")
        self.config = config
        self.environment = environment
        outputs = environment.choices or environment.numbers
        self.network = Network(config.network, (environment.observed,), outputs, last_bias=True)
        self.layout = self.network.layout
        self._device = device

    def start(self, seed: Seed) -> Float[Tensor, " P"]:
        return self.network.start(seed).to(self._device)

    def fitness(self, population: Float[Tensor, "N P"], seed: Seed, memory: State) -> Judged:
        total = self.played(population, seed, self.config.episodes).total
        return Judged(total.mean(dim=1), population.new_zeros(len(population), 0))

    def test(self, population: Float[Tensor, "N P"], memory: State) -> Float[Tensor, " N"]:
        where = Seed(0).fold("test episodes")
        return self.played(population, where, self.config.test_episodes).total.mean(dim=1)

    @torch.no_grad()
    def played(self, population: Float[Tensor, "N P"], seed: Seed, episodes: int) -> Played:
        """Episodes from starts that are the same for all candidates."""
        rules = self.environment
        uniform = torch.rand(episodes, rules.drawn, generator=seed.generator())
        state = rules.begin(uniform.to(population)).repeat(len(population), 1, 1)
        total = population.new_zeros(len(population), episodes)
        length = torch.zeros_like(total)
        alive = torch.ones_like(total)
        for _ in range(self.config.horizon):
            outputs = self.network.forward(population, rules.observe(state))
            action = outputs.argmax(dim=2, keepdim=True) if rules.choices else outputs
            state, reward, over = rules.step(state, action)
            total += alive * reward
            length += alive
            alive = alive * ~over
            if not alive.any():
                break
        return Played(total, length)
