"""Run-Off Election on DPA's models: the two classes with most votes meet in a second round.

In the second round every model votes for the one of the two that it scores higher.
Rezaei, Banihashem, Chegini and Feizi, "Run-Off Election: Improved Provable Defense against Data
Poisoning Attacks", 2023. https://arxiv.org/abs/2302.02300

Note:
    An attacker who lets class c win must bring c into the run-off and win it. The published
    radius prices the two apart and takes the dearer; `tight` prices them together, which is the
    exact worst case.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from masquerade.certify.base import Ballots, Certificate, RuleConfig, Ties, checked
from masquerade.certify.tally import (
    NEVER,
    Flags,
    Scores,
    Whole,
    choices,
    count,
    finalists,
    need,
    pieces,
    plain,
)

BLOCK = 1 << 24  # votes kept at a time, one or two bytes each
LOOK = 1 << 18  # of these looked at once more at a time, some eight bytes each


class Election(NamedTuple):
    """Both rounds for b images.

    Attributes:
        counts: [b, C]: first-round votes.
        winner: [b].
        other: [b]: the finalist that loses.
        lead: [b, C]: models that score the winner above c, less those that score it below.
        votes: [b, K]: 1 + the class each model votes for first, 0 where it abstains.
    """

    counts: Whole
    winner: Whole
    other: Whole
    lead: Whole
    votes: NDArray[np.uint8] | NDArray[np.uint16]


def certify(ballots: Ballots, *, ties: Ties, tight: bool = True) -> Certificate:
    """Winners of the run-off, and how many poisoned partitions they survive.

    Args:
        ballots: One model per partition (d = 1). Of equal counts the lower class wins, in either
            round.
        ties: What a model with equal scores does, in either round.
        tight: True gives the exact worst case over all replacements of models, false the
            published radius, which is never larger.

    Raises:
        ValueError: The ballots are no ballots, or partitions reach several models.
    """
    logits, reach = checked(ballots)
    if reach.shape[1] != 1:
        raise ValueError(
            f"each partition reaches {reach.shape[1]} models; roe_dpa is for one. Use roe_fa"
        )
    label = torch.empty(len(logits), dtype=torch.int64)
    radius = torch.empty_like(label)
    step = max(1, BLOCK // logits.shape[1])
    for start in range(0, len(logits), step):
        rows = slice(start, start + step)
        found = held(logits[rows], ties, start, tight)
        both = two_outrank(found, exact=tight)
        wins = one_wins(found)
        least = cheapest(logits[rows], found, both, wins, ties) if tight else wins.min(1)
        label[rows] = torch.from_numpy(found.winner)
        radius[rows] = torch.from_numpy(np.minimum(both, least) - 1)
    return Certificate(label, radius)


def held(logits: Float[Tensor, "b K C"], ties: Ties, start: int, keep: bool) -> Election:
    """Both rounds, piece by piece; `keep` fills in `votes`."""
    images, models, classes = logits.shape
    kind = np.uint8 if classes < 255 else np.uint16
    counts = np.empty((images, classes), np.int64)
    lead = np.empty_like(counts)
    winner, other = np.empty(images, np.int64), np.empty(images, np.int64)
    votes = np.empty((images if keep else 0, models), kind)
    numbers = np.arange(1, classes + 1, dtype=kind)[:, None, None]
    for rows, scores in pieces(logits):
        flags, counts[rows] = choices(scores, ties, start + rows.start)
        first, second = finalists(counts[rows])
        winner[rows] = better(scores, first, second, ties)
        other[rows] = first + second - winner[rows]
        lead[rows] = leads(scores, winner[rows], ties)
        if keep:
            votes[rows] = (flags * numbers).sum(0, dtype=kind)
    return Election(counts, winner, other, lead, votes)


def better(scores: Scores, first: Whole, second: Whole, ties: Ties) -> Whole:
    """The winner of the run-off between two classes [b]; the lower class if nobody leads."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    rows = np.arange(len(low))
    a, b = scores[low, rows], scores[high, rows]
    behind = count(a < b)
    ahead = a.shape[1] - behind if ties == "index" else count(a > b)
    return np.where(ahead >= behind, low, high)


def leads(scores: Scores, winner: Whole, ties: Ties) -> Whole:
    """Models that score the winner above c, less those that score it below: [b, C].

    Equal scores count for the lower class, or for nobody.
    """
    own = scores[winner, np.arange(len(winner))]
    below, level = count(scores < own).T, count(scores <= own).T
    if ties == "index":
        lower = winner[:, None] < np.arange(len(scores))
        below = level = np.where(lower, level, below)
    lead: Whole = below + level - own.shape[1]
    return lead


def two_outrank(found: Election, exact: bool) -> Whole:
    """The fewest models [b] that put two classes before the winner in the first round.

    n of them close gaps i and j if and only if i <= 2n, j <= 2n and i + j <= 3n: a model that
    voted for the winner closes one by two and the other by one. This is monotone in both, so the
    two smallest gaps decide. `exact` looks at how many did vote for the winner, too: fewer than n
    only where models abstain.
    """
    images, classes = found.counts.shape
    if classes == 2:
        return np.full(images, NEVER)
    gaps = np.maximum(need(found.counts, found.winner), 0)
    np.put_along_axis(gaps, found.winner[:, None], NEVER, 1)
    small = np.partition(gaps, 1, 1)
    i, j = small[:, 0], small[:, 1]
    n: Whole = np.maximum((j + 1) // 2, -((i + j) // -3))
    if exact:
        own = found.counts[np.arange(images), found.winner]
        n = np.where(n > own, np.maximum(j - own, i + j - 2 * own), n)
    return n


def one_wins(found: Election) -> Whole:
    """The published price [b, C] of letting c win the run-off; `NEVER` at the winner.

    c must outrank the other finalist in the first round and beat the winner in the second; each
    model helps by at most two with either.
    """
    entry = np.maximum(need(found.counts, found.other), 0)
    price = (np.maximum(entry, margin(found)) + 1) // 2
    np.put_along_axis(price, found.winner[:, None], NEVER, 1)
    return price


def margin(found: Election) -> Whole:
    """By how much the winner's lead over c must fall, [b, C], until c wins the second round."""
    classes = np.arange(found.counts.shape[1])
    return np.maximum(found.lead + (classes > found.winner[:, None]), 0)


def cheapest(
    logits: Float[Tensor, "b K C"], found: Election, both: Whole, wins: Whole, ties: Ties
) -> Whole:
    """The exact price [b] of letting some class win the run-off, as far as it is below `both`.

    Classes are tried in the order of their published price, which is never too high, until
    no cheaper one can be left.
    """
    best = both.copy()
    order = wins.argsort(1, kind="stable")
    step = max(1, LOOK // logits.shape[1])
    for rank in range(wins.shape[1] - 1):
        tried = order[:, rank]
        open_ = np.flatnonzero(wins[np.arange(len(best)), tried] < best)
        if not len(open_):
            break
        for start in range(0, len(open_), step):
            rows = open_[start : start + step]
            costs = joint(logits, found, rows, tried[rows], ties)
            best[rows] = np.minimum(best[rows], costs)
    return best


def joint(
    logits: Float[Tensor, "b K C"], found: Election, rows: Whole, c: Whole, ties: Ties
) -> Whole:
    """The fewest models that bring class `c` before all but the winner and let it beat that one.

    All of them will vote c. Removing votes of a class v that c must still overtake is due first;
    the dues are paid with models that prefer the winner to c where v has such, as those count in
    the second round as well.
    """
    classes = found.counts.shape[1]
    winner = found.winner[rows]
    ahead, level = preferring(logits, rows, winner, c, ties)
    strong, weak = by_vote(found.votes[rows], classes, ahead, level)
    counts = found.counts[rows]
    v = np.arange(classes)
    tops = counts + (v < c[:, None])
    tops[np.arange(len(rows)), c] = tops[np.arange(len(rows)), winner] = 0
    own = counts[np.arange(len(rows)), c]
    goal = margin(found)[rows, c]

    def enough(n: Whole) -> Flags:
        due = np.maximum(tops - own[:, None] - n[:, None], 0)
        paid = np.minimum(due, strong[:, 1:])
        left = n - due.sum(1)
        second = paid.sum(1)
        third = np.minimum(due - paid, weak[:, 1:]).sum(1)
        more = np.minimum(left, strong.sum(1) - second)
        half = np.minimum(left - more, weak.sum(1) - third)
        reached: Flags = (left >= 0) & (2 * (second + more) + third + half >= goal)
        return reached

    low, high = (goal + 1) // 2, np.full(len(rows), logits.shape[1])
    while (low < high).any():  # enough(high) holds: with all models c wins
        middle = (low + high) // 2
        yes = enough(middle)
        high = np.where(yes, middle, high)
        low = np.where(yes, low, np.minimum(middle + 1, high))
    return low


def preferring(
    logits: Float[Tensor, "b K C"], rows: Whole, a: Whole, b: Whole, ties: Ties
) -> tuple[Flags, Flags]:
    """Which models prefer class a to b, and which stand between them, [r, K] each."""
    where = torch.from_numpy(rows)
    left = plain(logits[where, :, torch.from_numpy(a)])
    right = plain(logits[where, :, torch.from_numpy(b)])
    ahead, level = left > right, left == right
    if ties == "index":
        return ahead | (level & (a < b)[:, None]), np.zeros_like(level)
    return ahead, level


def by_vote(
    votes: NDArray[np.uint8] | NDArray[np.uint16], classes: int, ahead: Flags, level: Flags
) -> tuple[Whole, Whole]:
    """How many of the models that are `ahead`, and `level`, vote for each class: [r, 1 + C] each.

    Position 0 counts those that abstain in the first round.
    """
    width = 3 * (classes + 1)
    places = votes.astype(np.int64) * 3 + ahead + 2 * level
    places += np.arange(len(votes))[:, None] * width
    table = np.bincount(places.ravel(), minlength=len(votes) * width)
    table = table.reshape(len(votes), classes + 1, 3)
    return table[..., 1], table[..., 2]


class Config(RuleConfig):
    """Settings of Run-Off Election on DPA's models."""

    def certify(self, ballots: Ballots) -> Certificate:
        return certify(ballots, ties=self.ties, tight=self.tight)
