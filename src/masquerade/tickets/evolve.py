"""Training by evolution: a strategy in the space of the kept weights.

Pruned weights are exactly 0 in every candidate and take part in no learning rate: the search has
as many dimensions as there are kept weights.
"""

from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.tickets.base import (
    Bookmark,
    Problem,
    Snapshot,
    State,
    Strategy,
    Train,
    Trained,
    TrainerConfig,
)
from masquerade.tickets.judge import judged, shared
from masquerade.tickets.layout import scattered
from masquerade.tickets.strategies import snes
from masquerade.tickets.strategies.base import StrategyConfig


class Config(TrainerConfig):
    """Settings of evolution.

    Attributes:
        strategy: Which evolution strategy.
        generations: How many.
        test_every: Generations between two tests of the mean; the last is tested in any case.
        parts: Into how many parts a population is cut to be judged; processes share them, and
            the last bits depend on them.
    """

    strategy: StrategyConfig = snes.Config()
    generations: int = Field(1000, ge=1)
    test_every: int = Field(100, ge=1)
    parts: int = Field(2, ge=1)

    def build(self) -> Train:
        return partial(evolve, self)

    def check(self, problem: Problem, processes: int = 1) -> None:
        """Evolution solves every problem, if the processes can share its parts."""
        shared(self.strategy.population, self.parts, processes)

    def spreads(self) -> bool:
        strategy = self.strategy.build()
        return strategy.spread(strategy.start(torch.zeros(2))) is not None


class Standing(NamedTuple):
    """Where a search stands between two generations.

    Attributes:
        generation: How many are done.
        strategy: The strategy's state.
        memory: What the problem has learned.
        curve: (generation, test score), in order.
        best: The best of what was tested.
    """

    generation: int
    strategy: State
    memory: State
    curve: tuple[tuple[int, float], ...] = ()
    best: Snapshot | None = None

    @classmethod
    def of(cls, tree: dict[str, Any] | None) -> "Standing | None":
        """What `tree` gave, again; None for None."""
        if tree is None:
            return None
        curve = tuple((int(at), float(score)) for at, score in tree["curve"])
        best = Snapshot(**tree["best"]) if tree["best"] else None
        return cls(**{**tree, "curve": curve, "best": best})

    def tree(self) -> dict[str, Any]:
        """The same in plain containers, to be written."""
        return {**self._asdict(), "best": self.best._asdict() if self.best else None}

    def tested(self, found: Snapshot) -> "Standing":
        """With one more test; of equal ones the earlier is the best."""
        best = found if self.best is None or found.test > self.best.test else self.best
        return self._replace(curve=(*self.curve, (self.generation, found.test)), best=best)


def evolve(
    config: Config,
    problem: Problem,
    start: Float[Tensor, " P"],
    kept: Bool[Tensor, " P"],
    seed: Seed,
    bookmark: Bookmark,
) -> Trained:
    """Search from `start` where `kept`; the mean after the last generation, and the best tested.

    Raises:
        ValueError: The mask keeps nothing.
        Diverged: A candidate's fitness is not finite.
    """
    places = something(kept)
    strategy = config.strategy.build()
    now = Standing.of(bookmark.load())
    now = now or Standing(0, strategy.start(start[places]), problem.memory())
    last = now.best
    while now.generation < config.generations:
        here = seed.fold("generation", now.generation)
        population = strategy.ask(now.strategy, here.fold("ask"))
        whole = scattered(population, places, len(kept))
        worth = judged(problem, whole, here.fold("judge"), now.memory, config.parts)
        now = now._replace(
            generation=now.generation + 1,
            strategy=strategy.tell(now.strategy, population, worth.fitness),
            memory=problem.learned(now.memory, worth.statistics),
        )
        over = now.generation == config.generations
        if over or now.generation % config.test_every == 0:
            last = taken(strategy, now.strategy, now.memory, problem, kept)
            now = now.tested(last)
        if not over:
            bookmark.save(now.tree)
    assert last is not None and now.best is not None  # the last generation is always tested
    return Trained(last, now.best, now.curve)


def taken(
    strategy: Strategy, state: State, memory: State, problem: Problem, kept: Bool[Tensor, " P"]
) -> Snapshot:
    """The search as it is now, tested."""
    places = torch.nonzero(kept)[:, 0]
    weights = scattered(strategy.mean(state), places, len(kept))
    spread = strategy.spread(state)
    wide = None if spread is None else scattered(spread, places, len(kept), torch.inf)
    test = float(problem.test(weights[None], memory)[0])
    return Snapshot(weights, wide, memory, test)


def something(kept: Bool[Tensor, " P"]) -> Tensor:
    """The places of the kept weights; raises `ValueError` where there are none."""
    places = torch.nonzero(kept)[:, 0]
    if not len(places):
        raise ValueError(
            f"the mask keeps none of {len(kept)} weights, so there is nothing to train; prune "
            "fewer rounds or keep more in each"
        )
    return places
