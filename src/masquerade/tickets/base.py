"""The shapes that carry the tickets: strategies, problems, training, scores.

Lange and Sprekeler, "Lottery Tickets in Evolutionary Optimization", ICML 2023.
https://arxiv.org/abs/2306.00045. A candidate is one row of weights; scores are always maximised.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from jaxtyping import Bool, Float, Shaped
from pydantic import model_validator
from torch import Tensor

from masquerade.core.config import Plug
from masquerade.core.seed import Seed
from masquerade.tickets.layout import Layout

State = dict[str, Shaped[Tensor, "..."]]  # named tensors, so that a run can be written and go on


class Strategy(ABC):
    """An evolution strategy. It holds settings only: all that changes is in its state."""

    @abstractmethod
    def start(self, mean: Float[Tensor, " P"]) -> State:
        """The state before the first generation, searching around `mean`."""

    @abstractmethod
    def ask(self, state: State, seed: Seed) -> Float[Tensor, "N P"]:
        """The candidates of a generation; `seed` is that generation's own."""

    @abstractmethod
    def tell(
        self, state: State, population: Float[Tensor, "N P"], fitness: Float[Tensor, " N"]
    ) -> State:
        """The state after a generation: its candidates and how good each is (higher is better)."""

    def mean(self, state: State) -> Float[Tensor, " P"]:
        """Where the search stands."""
        return state["mean"]

    @abstractmethod
    def spread(self, state: State) -> Float[Tensor, " P"] | None:
        """The standard deviation of each weight; None where all weights share one."""


class Judged(NamedTuple):
    """What a generation's candidates are worth.

    Attributes:
        fitness: Higher is better.
        statistics: What each candidate saw that the problem wants to learn from; S is often 0.
    """

    fitness: Float[Tensor, " N"]
    statistics: Float[Tensor, "N S"]


class Baseline(NamedTuple):
    """What another way to a sparse network reaches.

    Attributes:
        name: Of the way.
        levels: (share of the prunable weights that is left, test score), from sparse to dense.
    """

    name: str
    levels: tuple[tuple[float, float], ...]


class Problem(ABC):
    """Something that weights can be good at.

    Attributes:
        layout: The names, shapes and places of the weights.
    """

    layout: Layout

    @abstractmethod
    def start(self, seed: Seed) -> Float[Tensor, " P"]:
        """Fresh weights."""

    @abstractmethod
    def fitness(self, population: Float[Tensor, "N P"], seed: Seed, memory: State) -> Judged:
        """How good each candidate is; all see the same images or episodes, drawn from `seed`."""

    @abstractmethod
    def test(self, population: Float[Tensor, "N P"], memory: State) -> Float[Tensor, " N"]:
        """The score that is reported, on what no search has seen; higher is better."""

    def memory(self) -> State:
        """What the problem knows before the first generation; empty where it learns nothing."""
        return {}

    def learned(self, memory: State, statistics: Float[Tensor, "N S"]) -> State:
        """What it knows after a generation."""
        return memory

    def baseline(self) -> Baseline | None:
        """What to compare with, besides other searches; None where there is nothing."""
        return None


class Differentiable(Problem):
    """A problem that gradient descent can solve as well."""

    @property
    @abstractmethod
    def examples(self) -> int:
        """Training examples in all."""

    @abstractmethod
    def loss(
        self, weights: Float[Tensor, " P"], rows: Shaped[Tensor, " B"] | None
    ) -> Float[Tensor, ""]:
        """The mean loss on some training examples, on all of them for None; lower is better."""


class Snapshot(NamedTuple):
    """A search at one moment.

    Attributes:
        weights: Its mean; 0 where a weight is pruned.
        spread: The standard deviation of each weight, infinite where it is pruned; None where
            the method has none.
        memory: What the problem had learned.
        test: The score reported.
    """

    weights: Float[Tensor, " P"]
    spread: Float[Tensor, " P"] | None
    memory: State
    test: float


class Trained(NamedTuple):
    """What a training leaves.

    Attributes:
        final: Its end.
        best: Where the test score was highest; the first such moment.
        curve: (generation or step, test score), in order.
    """

    final: Snapshot
    best: Snapshot
    curve: tuple[tuple[int, float], ...]


class Bookmark:
    """Where a training that may be cut leaves its state; this one keeps nothing."""

    def load(self) -> dict[str, Any] | None:
        """The state last saved, None where there is none."""
        return None

    def save(self, state: Callable[[], dict[str, Any]]) -> None:
        """Keep a state, if enough time has passed since the last one was kept."""
        return


# Problem, start, kept, seed, bookmark: trains from `start` where `kept`, the rest being 0. By
# evolution or by descent: what transfers from one to the other is the start and the mask.
Train = Callable[[Problem, Tensor, Tensor, Seed, Bookmark], Trained]


class TrainerConfig(Plug):
    """Base of the settings of evolution and descent."""

    family: ClassVar[str] = "masquerade.tickets"
    noun: ClassVar[str] = "trainer"

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, value: Any) -> Any:
        """Settings of a strategy or an optimizer without its name change the usual one."""
        if not isinstance(value, dict):
            return value
        changed = dict(value)
        for name, field in cls.model_fields.items():
            given, usual = value.get(name), field.default
            if isinstance(usual, Plug) and isinstance(given, dict) and "kind" not in given:
                changed[name] = {**usual.tree(), **given}
        return changed

    @abstractmethod
    def build(self) -> Train:
        """The training."""

    @abstractmethod
    def check(self, problem: Problem, processes: int = 1) -> None:
        """Raises `ValueError` where so many processes cannot solve a problem with it."""

    @abstractmethod
    def spreads(self) -> bool:
        """Whether it leaves a standard deviation for each weight."""


class Evidence(NamedTuple):
    """What a score may look at.

    Attributes:
        trained: The search after training.
        start: The dense weights the first round began with.
        kept: What was trained; all else was 0.
        problem: What it was trained on.
        seed: For scores that draw.
    """

    trained: Snapshot
    start: Float[Tensor, " P"]
    kept: Bool[Tensor, " P"]
    problem: Problem
    seed: Seed


# One number a weight; those with the highest are kept.
Score = Callable[[Evidence], Tensor]
