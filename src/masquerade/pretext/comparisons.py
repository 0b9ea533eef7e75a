"""Comparisons: what the encoder is shown in a round, and which pairs are compared there."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.maskers.base import Masker
from masquerade.objectives.base import Objective, Pair
from masquerade.pretext.accounts import Place
from masquerade.pretext.branches import for_copy, reaches
from masquerade.pretext.positives import Copies, shared

Passing = Callable[[Tensor], Tensor]  # the same masks; how gradients go back through them


class Shown(NamedTuple):
    """What the encoder is shown in a round.

    Attributes:
        copies: The masked copies of each masked view, of all maskers in order; their weights are
            those in the loss.
        learned: Of each copy of a view: whether an adversary made it.
    """

    copies: Copies
    learned: list[bool]


class Numbered(NamedTuple):
    """A pair of the plan of one masked copy (None: of the clean plan)."""

    pair: Pair
    copy: int | None


def occluded(
    maskers: Sequence[Masker],
    views: tuple[Tensor, ...],
    hidden: Mapping[Place, Tensor],
    passing: Passing,
    seed: Seed,
    as_one: bool,
) -> Shown:
    """The masked copies of each masked view.

    Args:
        maskers: In order.
        views: The clean images of each view.
        hidden: The masks of each masker and masked view.
        passing: How gradients go back through the masks.
        seed: The round's.
        as_one: Whether a masker's copies of an image count as much as one together.
    """
    copies: Copies = {}
    learned: list[bool] = []
    first = min((view for _, view in hidden), default=0)
    for (place, view), masks in hidden.items():
        by_adversary = any(True for _ in maskers[place].parameters())
        where = seed.fold("masker", place, "occlude")
        made = maskers[place].occlude(views[view], passing(masks), where)
        copies.setdefault(view, []).extend(shared(made) if as_one else made)
        if view == first:
            learned += [by_adversary] * len(made)
    return Shown(copies, learned)


def groups(
    objective: Objective, shown: Shown, clean: bool, alone: bool, official: bool
) -> list[list[Numbered]]:
    """The pairs to compare; those of one group share what they encode.

    The masker's round leaves out what no adversary's mask can change.

    Args:
        objective: Has the plan.
        shown: The masked copies.
        clean: Whether the unmasked pair is in the loss.
        alone: Whether this is the masker's round.
        official: Whether each copy encodes everything anew, in the masker's round too.
    """
    plan = objective.plan(masked=True) if shown.learned else []
    plain = objective.plan(masked=False) if clean else []
    if alone and not official:
        plan, plain = [p for p in plan if reaches(p, objective)], []
    found = [[Numbered(p, None) for p in plain]]
    for k, learned in enumerate(shown.learned):
        if alone and not official and not learned:
            continue
        pairs = [Numbered(p, k) for p in for_copy(plan, k)]
        found = [*found, pairs] if official else [found[0] + pairs]
    return [group for group in found if group]
