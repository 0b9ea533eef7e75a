"""Run-Off Election on Finite Aggregation's models: two rounds, and partitions of unequal reach.

Rezaei, Banihashem, Chegini and Feizi, "Run-Off Election: Improved Provable Defense against Data
Poisoning Attacks", 2023. https://arxiv.org/abs/2302.02300

Note:
    Two conditions that one attack must meet together are priced apart and in sum, as published.
    `tight` also prices two more weighted sums of them, and where every partition reaches one model
    it takes the exact price of `roe_dpa`.
"""

from typing import NamedTuple

import numpy as np
import torch

from masquerade.certify import roe_dpa
from masquerade.certify.base import Ballots, Certificate, RuleConfig, Ties, checked
from masquerade.certify.fa import PIECE, overtaking
from masquerade.certify.reach import Reach, Small, at, fewest
from masquerade.certify.tally import NEVER, Scores, Whole, choices, finalists, need, pieces

PUBLISHED = ((1, 1),)
PAIRS = ((1, 1), (2, 1), (1, 2))


class Electorate(NamedTuple):
    """Both rounds for b images, and what partitions reach of the votes.

    Attributes:
        reach: Which models a partition reaches.
        scores: [C, b, K].
        seen: [C, b, P]: first-round votes for each class among the models it reaches.
        winner: [b].
        other: [b]: the finalist that loses.
        behind: [b, C]: by how much the winner must fall behind c in the first round.
        entry: [b, C]: by how much the other finalist must.
        margin: [b, C]: by how much the winner's lead over c in the second round must fall.
    """

    reach: Reach
    scores: Scores
    seen: Small
    winner: Whole
    other: Whole
    behind: Whole
    entry: Whole
    margin: Whole


def certify(ballots: Ballots, *, ties: Ties, tight: bool = True) -> Certificate:
    """Winners of the run-off, and how many poisoned partitions they survive.

    Args:
        ballots: Partitions may reach any number d of models. Of equal counts the lower class
            wins, in either round.
        ties: What a model with equal scores does, in either round.
        tight: True gives the largest radius known to be safe, false the published one.

    Raises:
        ValueError: The ballots are no ballots.
    """
    logits, table = checked(ballots)
    if tight and table.shape[1] == 1:
        return roe_dpa.certify(ballots, ties=ties)
    reach = Reach(table, logits.shape[1])
    label = torch.empty(len(logits), dtype=torch.int64)
    radius = torch.empty_like(label)
    for rows, scores in pieces(logits, PIECE):
        found = held(reach, scores, ties, rows.start)
        best = one_wins(found, ties, tight)
        best = two_outrank(found, best, PAIRS if tight else PUBLISHED)
        label[rows] = torch.from_numpy(found.winner)
        radius[rows] = torch.from_numpy(best - 1)
    return Certificate(label, radius)


def held(reach: Reach, scores: Scores, ties: Ties, start: int) -> Electorate:
    """Both rounds of a piece."""
    votes, counts = choices(scores, ties, start)
    first, second = finalists(counts)
    winner = roe_dpa.better(scores, first, second, ties)
    other = first + second - winner
    lead = roe_dpa.leads(scores, winner, ties)
    margin = lead + (np.arange(counts.shape[1]) > winner[:, None])
    return Electorate(
        reach,
        scores,
        reach.sums(votes),
        winner,
        other,
        need(counts, winner),
        need(counts, other),
        margin,
    )


def one_wins(found: Electorate, ties: Ties, tight: bool) -> Whole:
    """The fewest partitions [b] that may let another class win the run-off.

    Classes are tried from the least they can cost on, until none can be cheaper.
    """
    reach, everyone = found.reach, np.arange(len(found.winner))
    least = -(np.maximum(found.entry, found.margin) // (-2 * reach.d))
    least = np.maximum(least, 0)
    np.put_along_axis(least, found.winner[:, None], NEVER, 1)
    order = least.argsort(1, kind="stable")
    best = np.full(len(everyone), NEVER)
    for rank in range(least.shape[1] - 1):
        tried = order[:, rank]
        rows = np.flatnonzero(least[everyone, tried] < best)
        if not len(rows):
            break
        c, other = tried[rows], found.other[rows]
        doubts = preferences(found, rows, c, ties)
        price = fewest(doubts, found.margin[rows, c], 2 * reach.d)
        entering = overtaking(reach, found.seen, found.entry, rows, other, c)
        price = np.maximum(price, entering)  # c = other has entered: a gap of 0 costs nothing
        if tight:
            price = np.maximum(price, entering_and_winning(found, rows, c, doubts))
        best[rows] = np.minimum(best[rows], price)
    return best


def entering_and_winning(found: Electorate, rows: Whole, c: Whole, doubts: Whole) -> Whole:
    """The fewest partitions [r] by weighted sums of what class c lacks in either round.

    0 where c is in the run-off already.

    Args:
        found: Both rounds.
        rows: [r]: the images looked at.
        c: [r].
        doubts: [r, P]: what each partition can take from the winner's lead in the second round.
    """
    other, d = found.other[rows], found.reach.d
    gains = d + at(found.seen, other, rows) - at(found.seen, c, rows)
    price = np.zeros(len(rows), np.int64)
    for a, b in PAIRS:
        goal = a * found.entry[rows, c] + b * found.margin[rows, c]
        price = np.maximum(price, fewest(a * gains + b * doubts, goal, 2 * (a + b) * d))
    return np.where(c == other, 0, price)


def preferences(found: Electorate, rows: Whole, c: Whole, ties: Ties) -> Whole:
    """What each partition can take from the winner's lead over c in the second round: [r, P]."""
    own, theirs = found.scores[found.winner[rows], rows], found.scores[c, rows]
    ahead = own > theirs
    if ties == "index":
        ahead |= (own == theirs) & (found.winner[rows] < c)[:, None]
        return 2 * found.reach.sums(ahead).astype(np.int64)
    worth = ahead.astype(np.uint8) + (own >= theirs)
    return found.reach.sums(worth).astype(np.int64)


def two_outrank(found: Electorate, best: Whole, weights: tuple[tuple[int, int], ...]) -> Whole:
    """`best` [b], or the fewest partitions that may put two classes before the winner if less.

    Args:
        found: Both rounds.
        best: What other attacks cost; dearer pairs of classes are not looked at.
        weights: Of the sums of the two gaps that are priced.
    """
    d, best = found.reach.d, best.copy()
    alone = singles(found, best)
    order = alone.argsort(1, kind="stable")
    everyone = np.arange(len(best))
    for j in range(1, alone.shape[1] - 1):
        if not (alone[everyone, order[:, j]] < best).any():
            break
        for i in range(j):
            c1, c2 = order[:, i], order[:, j]
            both = found.behind[everyone, c1] + found.behind[everyone, c2]
            least = np.maximum(alone[everyone, c2], -(both // (-3 * d)))
            rows = np.flatnonzero(least < best)
            if len(rows):
                price = together(found, rows, c1[rows], c2[rows], weights)
                price = np.maximum(price, least[rows])
                best[rows] = np.minimum(best[rows], price)
    return best


def together(
    found: Electorate, rows: Whole, c1: Whole, c2: Whole, weights: tuple[tuple[int, int], ...]
) -> Whole:
    """The fewest partitions [r] by the weighted sums of the gaps to the classes c1 and c2.

    A model that votes for the winner closes one gap by two and the other by one.
    """
    d = found.reach.d
    own = at(found.seen, found.winner[rows], rows)
    first, second = at(found.seen, c1, rows), at(found.seen, c2, rows)
    price = np.zeros(len(rows), np.int64)
    for a, b in weights:
        gains = max(a, b) * d + (a + b) * own - a * first - b * second
        goal = a * found.behind[rows, c1] + b * found.behind[rows, c2]
        price = np.maximum(price, fewest(gains, goal, (a + b + max(a, b)) * d))
    return price


def singles(found: Electorate, best: Whole) -> Whole:
    """The fewest partitions [b, C] that put class c before the winner; `NEVER` if not below best.

    `NEVER` at the winner, too.
    """
    alone = np.full(found.behind.shape, NEVER)
    least = -(found.behind // (-2 * found.reach.d))
    for c in range(found.behind.shape[1]):
        rows = np.flatnonzero((least[:, c] < best) & (found.winner != c))
        if len(rows):
            other = np.full(len(rows), c)
            alone[rows, c] = overtaking(
                found.reach, found.seen, found.behind, rows, found.winner[rows], other
            )
    return alone


class Config(RuleConfig):
    """Settings of Run-Off Election on Finite Aggregation's models."""

    def certify(self, ballots: Ballots) -> Certificate:
        return certify(ballots, ties=self.ties, tight=self.tight)
