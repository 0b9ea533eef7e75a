"""Iterative pruning: train, prune the least, rewind what is left to the start, repeat.

Everything but the mask begins anew in each round: weights and deviations as at the start, paths,
moments and what the problem learned. Each round is written whole, so a search that was cut goes
on and ends in the same bits.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from masquerade.core.config import Settings
from masquerade.core.seed import Seed
from masquerade.tickets import masks
from masquerade.tickets.base import Evidence, Problem, Score, Train, Trained
from masquerade.tickets.descend import differentiable
from masquerade.tickets.scores import SCORES, Named
from masquerade.tickets.shelf import Shelf


class Choice(Settings):
    """What stays after a round, and what the next one begins with.

    Attributes:
        score: What decides which weights stay.
        start: What a round begins with where the mask lets it: the first weights (`rewind`), new
            ones (`redraw`), or the first ones shuffled inside each leaf (`permute`).
        snapshot: The moment of a round that is scored, its `final` or its `best` tested one.
        scope: Whether all prunable weights compete or those of each leaf.
        rule: `topk` keeps an exact number, `percentile` all from a threshold on, as published.
        protected: Leaves that are never pruned, besides the biases.
        fixed_seed: Whether every round draws the same noise and the same batches.
    """

    score: Named = "snr"
    start: Literal["rewind", "redraw", "permute"] = "rewind"
    snapshot: Literal["final", "best"] = "final"
    scope: masks.Scope = "global"
    rule: masks.Rule = "topk"
    protected: tuple[str, ...] = ()
    fixed_seed: bool = False


class Pruning(Choice):
    """How a ticket is searched for.

    Attributes:
        rounds: Trainings in all; the first is dense.
        keep: Share of the surviving prunable weights that a round leaves, above 0 and below 1.
    """

    rounds: int = Field(20, ge=1)
    keep: float = Field(0.8, gt=0, lt=1)

    def remaining(self, number: int) -> float:
        """The share of the prunable weights that round `number` trains, counted from 1."""
        return float(self.keep ** (number - 1))

    def check(self, problem: Problem) -> None:
        """Raises `ValueError` where the last round would keep nothing, or a score cannot be."""
        if self.score in ("snip", "grasp"):
            differentiable(problem)
        count = int(problem.layout.protecting(self.protected).prunable().sum())
        left = count - round((1 - self.remaining(self.rounds)) * count)
        if left < 1:
            raise ValueError(
                f"round {self.rounds} would keep none of {count} prunable weights with "
                f"keep={self.keep:g}; choose fewer rounds or a larger keep"
            )


class Ticket(NamedTuple):
    """A sparse network before training.

    Attributes:
        start: Its weights; those that are not kept are not 0 here.
        kept: Which of them are trained.
    """

    start: Float[Tensor, " P"]
    kept: Bool[Tensor, " P"]


class Round(NamedTuple):
    """One training of a search.

    Attributes:
        number: Counted from 1.
        remaining: Share of the prunable weights that was trained, 0 to 1.
        ticket: What was trained.
        trained: What came out.
    """

    number: int
    remaining: float
    ticket: Ticket
    trained: Trained


def find(
    problem: Problem,
    train: Train,
    pruning: Pruning,
    seed: Seed,
    shelf: Shelf,
    score: Score | None = None,
) -> Iterator[Round]:
    """Search for tickets at all levels, one after the other; rounds on the shelf are only read.

    Args:
        problem: What the network is for.
        train: Evolution or descent.
        pruning: How many rounds, what stays.
        seed: Of the start and of all training.
        shelf: Where rounds are kept.
        score: One of your own in the place of `pruning.score`.
    """
    pruning.check(problem)
    layout = problem.layout.protecting(pruning.protected)
    first = problem.start(seed.fold("start"))
    ticket = Ticket(first, torch.ones(layout.size, dtype=torch.bool, device=first.device))
    for number in range(1, pruning.rounds + 1):
        here = seed.fold("round", 0 if pruning.fixed_seed else number)
        trained = shelf.trained(number)
        if trained is None:
            trained = train(
                problem, ticket.start, ticket.kept, here.fold("train"), shelf.bookmark(number)
            )
            shelf.keep(number, ticket.start, ticket.kept, trained)
        share = float(ticket.kept[layout.prunable().to(ticket.kept.device)].double().mean())
        yield Round(number, share, ticket, trained)
        if number < pruning.rounds:
            snapshot = trained.final if pruning.snapshot == "final" else trained.best
            drawn = seed.fold("prune", number)
            evidence = Evidence(snapshot, first, ticket.kept, problem, drawn)
            scores = (score or SCORES[pruning.score])(evidence)
            gone = 1 - pruning.remaining(number + 1)
            kept = masks.kept(scores, layout, gone, pruning.scope, pruning.rule)
            ticket = Ticket(begun(first, kept, pruning, problem, seed, number + 1), kept)


def begun(
    first: Float[Tensor, " P"],
    kept: Bool[Tensor, " P"],
    pruning: Pruning,
    problem: Problem,
    seed: Seed,
    number: int,
) -> Float[Tensor, " P"]:
    """The weights that a round begins with."""
    if pruning.start == "redraw":
        return problem.start(seed.fold("start", number))
    if pruning.start == "rewind":
        return first
    found = {}
    masked = problem.layout.tree(kept)
    for name, leaf in problem.layout.tree(first).items():
        place, flat = torch.nonzero(masked[name].reshape(-1))[:, 0], leaf.reshape(-1).clone()
        drawn = seed.fold("permute", number, name).generator()
        flat[place] = flat[place][torch.randperm(len(place), generator=drawn).to(flat.device)]
        found[name] = flat.reshape(leaf.shape)
    return problem.layout.flat(found)
