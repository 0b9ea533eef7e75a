"""Deep Partition Aggregation: every model votes for one class, the class with most votes wins.

Levine and Feizi, "Deep Partition Aggregation: Provable Defense against General Poisoning
Attacks", 2021. https://arxiv.org/abs/2006.14768
"""

import numpy as np
import torch

from masquerade.certify.base import Ballots, Certificate, RuleConfig, Ties, checked
from masquerade.certify.tally import NEVER, Whole, choices, need, pieces


def certify(ballots: Ballots, *, ties: Ties, tight: bool = True) -> Certificate:
    """Labels by majority, and how many poisoned partitions they survive.

    Args:
        ballots: One model per partition (d = 1). Of equal counts the lower class wins.
        ties: What a model with several highest scores does.
        tight: Makes no difference: the published radius is the exact worst case already.

    Raises:
        ValueError: The ballots are no ballots, or partitions reach several models.
    """
    logits, reach = checked(ballots)
    if reach.shape[1] != 1:
        raise ValueError(
            f"each partition reaches {reach.shape[1]} models; dpa is for one. Use the rule fa"
        )
    counts = np.empty((logits.shape[0], logits.shape[2]), np.int64)
    for rows, scores in pieces(logits):
        counts[rows] = choices(scores, ties, rows.start)[1]
    label = counts.argmax(1)
    return Certificate(torch.from_numpy(label), torch.from_numpy(cost(counts, label) - 1))


def cost(counts: Whole, label: Whole) -> Whole:
    """The fewest models [b] that can make another class win: one model closes a gap by two."""
    gaps = need(counts, label)
    np.put_along_axis(gaps, label[:, None], NEVER, 1)
    fewest: Whole = (gaps.min(1) + 1) // 2
    return fewest


class Config(RuleConfig):
    """Settings of Deep Partition Aggregation."""

    def certify(self, ballots: Ballots) -> Certificate:
        return certify(ballots, ties=self.ties, tight=self.tight)
