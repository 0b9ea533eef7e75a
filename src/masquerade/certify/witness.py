"""A smallest attack on a majority vote, spelled out: which models, and for which class.

It shows what a radius means: one poisoned partition fewer, and there is no such attack.
"""

from typing import NamedTuple

import numpy as np

from masquerade.certify.base import Ballots, Ties
from masquerade.certify.tally import Whole, choices, need, plain


class Attack(NamedTuple):
    """The cheapest way to change one prediction of `dpa`.

    Attributes:
        label: The prediction.
        rival: The class that replaces it.
        models: The models whose training images must be poisoned so that they vote for the rival.
        votes: [K]: whom each model votes for before the attack, C where it abstains.
    """

    label: int
    rival: int
    models: tuple[int, ...]
    votes: Whole


def attacks(ballots: Ballots, *, ties: Ties) -> list[Attack]:
    """A smallest attack on every image of some ballots in which d = 1."""
    flags, counts = choices(plain(ballots.logits.permute(2, 0, 1)), ties)
    classes = len(flags)
    votes = np.where(flags.any(0), flags.argmax(0), classes)
    label = counts.argmax(1)
    gaps = need(counts, label)
    found = []
    for row, own, gap in zip(votes, label.tolist(), gaps, strict=True):
        gap[own] = gap.max() + 1
        rival = int(gap.argmin())
        found.append(Attack(own, rival, bought(row, own, rival, int(gap[rival])), row))
    return found


def bought(votes: Whole, label: int, rival: int, gap: int) -> tuple[int, ...]:
    """Models that close a gap by voting for the rival: two each from the label, else one."""
    worth = 1 + (votes == label).astype(np.int64) - (votes == rival)
    order = np.argsort(-worth, kind="stable")
    enough = int(np.searchsorted(worth[order].cumsum(), gap)) + 1
    return tuple(sorted(order[:enough].tolist()))
