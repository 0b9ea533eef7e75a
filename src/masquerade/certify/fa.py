"""Finite Aggregation: every model sees d small partitions, so partitions differ in what they reach.

Wang, Levine and Feizi, "Improved Certified Defenses against Data Poisoning with (Deterministic)
Finite Aggregation", 2022. https://arxiv.org/abs/2202.02628
"""

import numpy as np
import torch

from masquerade.certify.base import Ballots, Certificate, RuleConfig, Ties, checked
from masquerade.certify.reach import Reach, Small, at, fewest
from masquerade.certify.tally import NEVER, Whole, choices, need, pieces

PIECE = 1 << 22  # bytes of scores at a time


def certify(ballots: Ballots, *, ties: Ties, tight: bool = True) -> Certificate:
    """Labels by majority, and how many poisoned partitions they survive.

    Args:
        ballots: Partitions may reach any number d of models. Of equal counts the lower class wins.
        ties: What a model with several highest scores does.
        tight: Makes no difference. A model that two poisoned partitions reach is counted twice;
            the exact worst case agreed with the published radius wherever it was computed.

    Raises:
        ValueError: The ballots are no ballots.
    """
    logits, table = checked(ballots)
    reach = Reach(table, logits.shape[1])
    label = torch.empty(len(logits), dtype=torch.int64)
    radius = torch.empty_like(label)
    for rows, scores in pieces(logits, PIECE):
        votes, counts = choices(scores, ties, rows.start)
        winner = counts.argmax(1)
        label[rows] = torch.from_numpy(winner)
        radius[rows] = torch.from_numpy(cost(reach, reach.sums(votes), counts, winner) - 1)
    return Certificate(label, radius)


def cost(reach: Reach, seen: Small, counts: Whole, label: Whole) -> Whole:
    """The fewest partitions [b] that can make another class win.

    Classes are tried from the smallest gap on, until none can be cheaper than what was found.

    Args:
        reach: Which models a partition reaches.
        seen: [C, b, P]: votes for each class among them.
        counts: [b, C]: votes in all.
        label: [b]: the winner.
    """
    gaps = need(counts, label)
    np.put_along_axis(gaps, label[:, None], NEVER, 1)
    order = gaps.argsort(1, kind="stable")
    best = np.full(len(label), NEVER)
    for rank in range(gaps.shape[1] - 1):
        tried = order[:, rank]
        least = -(gaps[np.arange(len(label)), tried] // (-2 * reach.d))
        rows = np.flatnonzero(least < best)
        if not len(rows):
            break
        price = overtaking(reach, seen, gaps, rows, label[rows], tried[rows])
        best[rows] = np.minimum(best[rows], price)
    return best


def overtaking(
    reach: Reach, seen: Small, gaps: Whole, rows: Whole, first: Whole, c: Whole
) -> Whole:
    """The fewest partitions [r] that bring class c before class `first` in the count of votes.

    A model that votes neither way can change the gap by one, one that votes `first` by two, one
    that votes c not at all.

    Args:
        reach: Which models a partition reaches.
        seen: [C, b, P]: votes for each class among them.
        gaps: [b, C]: by how much `first` must fall behind each class.
        rows: [r]: the images looked at.
        first: [r].
        c: [r].
    """
    gains = reach.d + at(seen, first, rows) - at(seen, c, rows)
    return fewest(gains, gaps[rows, c], 2 * reach.d)


class Config(RuleConfig):
    """Settings of Finite Aggregation."""

    def certify(self, ballots: Ballots) -> Certificate:
        return certify(ballots, ties=self.ties, tight=self.tight)
