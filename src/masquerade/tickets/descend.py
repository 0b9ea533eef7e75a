"""Training by gradient descent: the same start, the same mask, the same report as by evolution."""

from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from masquerade.core.errors import Diverged
from masquerade.core.seed import Seed
from masquerade.engine.optimizers import adam
from masquerade.engine.optimizers.base import OptimizerConfig
from masquerade.engine.schedule import Schedule
from masquerade.engine.task import Group, Progress
from masquerade.tickets.base import (
    Bookmark,
    Differentiable,
    Problem,
    Snapshot,
    Train,
    Trained,
    TrainerConfig,
)
from masquerade.tickets.evolve import something
from masquerade.tickets.layout import scattered

CONSTANT = Schedule(shape="constant", warmup=0)


class Config(TrainerConfig):
    """Settings of descent.

    Attributes:
        optimizer: Of the kept weights.
        epochs: Passes over the training examples.
        batch: Examples of one step; all where there are fewer. An incomplete last batch of an
            epoch is left out.
        test_every: Epochs between two tests; the last is tested in any case.
    """

    optimizer: OptimizerConfig = adam.Config(lr=3e-4, schedule=CONSTANT)
    epochs: int = Field(20, ge=1)
    batch: int = Field(128, ge=1)
    test_every: int = Field(1, ge=1)

    def build(self) -> Train:
        return partial(descend, self)

    def check(self, problem: Problem, processes: int = 1) -> None:
        differentiable(problem)

    def spreads(self) -> bool:
        return False


class Standing(NamedTuple):
    """Where a descent stands between two epochs.

    Attributes:
        epoch: How many are done.
        weights: The kept weights, alone in a tuple; empty before the first epoch.
        optimizer: The optimizer's state dict; empty before the first epoch.
        curve: (epoch, test score), in order.
        best: The best of what was tested.
    """

    epoch: int
    weights: tuple[Tensor, ...] = ()
    optimizer: dict[str, Any] = {}  # noqa: RUF012  (a NamedTuple's default, never changed)
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
        return self._replace(curve=(*self.curve, (self.epoch, found.test)), best=best)


def descend(
    config: Config,
    problem: Problem,
    start: Float[Tensor, " P"],
    kept: Bool[Tensor, " P"],
    seed: Seed,
    bookmark: Bookmark,
) -> Trained:
    """Follow the gradient from `start` where `kept`; the end, and the best test.

    Raises:
        ValueError: The problem has no gradient, or the mask keeps nothing.
        Diverged: The loss is not finite.
    """
    solved = differentiable(problem)
    places = something(kept)
    weights = nn.Parameter(start[places].clone())
    optimizer = config.optimizer.over([Group("weights", [weights])])
    batch = min(config.batch, solved.examples)
    length = solved.examples // batch
    now = Standing.of(bookmark.load()) or Standing(0)
    if now.optimizer:
        weights.data.copy_(now.weights[0])
        optimizer.load_state_dict(now.optimizer)
    last = now.best
    while now.epoch < config.epochs:
        order = torch.randperm(solved.examples, generator=seed.fold("epoch", now.epoch).generator())
        for step, rows in enumerate(order[: length * batch].split(batch)):
            at = Progress(now.epoch * length + step, config.epochs * length, length)
            config.optimizer.move(optimizer, at)
            optimizer.zero_grad()
            loss = solved.loss(scattered(weights, places, len(kept)), rows)
            if not loss.isfinite():
                raise Diverged(
                    f"the loss became {float(loss)} in epoch {now.epoch + 1}; lower the learning "
                    "rate"
                )
            loss.backward()
            optimizer.step()
        now = now._replace(epoch=now.epoch + 1)
        over = now.epoch == config.epochs
        if over or now.epoch % config.test_every == 0:
            last = reached(weights, places, len(kept), problem)
            now = now.tested(last)
        if not over:
            now = now._replace(weights=(weights.detach(),), optimizer=optimizer.state_dict())
            bookmark.save(now.tree)
    assert last is not None and now.best is not None  # the last epoch is always tested
    return Trained(last, now.best, now.curve)


def reached(weights: Tensor, places: Tensor, size: int, problem: Problem) -> Snapshot:
    """The weights as they are now, tested."""
    whole = scattered(weights.detach(), places, size)
    memory = problem.memory()
    return Snapshot(whole, None, memory, float(problem.test(whole[None], memory)[0]))


def differentiable(problem: Problem) -> Differentiable:
    """The problem; raises `ValueError` where it has no gradient."""
    if isinstance(problem, Differentiable):
        return problem
    raise ValueError(
        "this problem has no gradient, which train=descend, score=snip and score=grasp need; take "
        "train=evolve and another score"
    )
