"""How many of many predictions one attack can change: a bound below that of counting radii.

A radius answers for one image, as if each had an attacker of its own. Here all images share one
set of poisoned partitions, chosen by an integer program. The idea: Chen, Li, Li, Xie and others,
"On Collective Robustness of Bagging Against Data Poisoning", 2022,
https://arxiv.org/abs/2205.13176; the program for votes of Finite Aggregation is our own.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import Tensor

from masquerade.certify import fa
from masquerade.certify.base import Ballots, Ties, checked
from masquerade.certify.reach import Reach, Small
from masquerade.certify.tally import NEVER, Whole, choices, need, pieces

SLACK = 1e-3  # of the solver's bound, far above its tolerance and far below one image


class Collective(NamedTuple):
    """What one attack leaves right.

    Attributes:
        accuracy: At least this share stays right whatever is poisoned, 0 to 1.
        pointwise: The share that counting radii gives, never larger.
        exact: Whether `accuracy` is the worst case of the votes rather than a bound below it.
    """

    accuracy: float
    pointwise: float
    exact: bool


class Attack(NamedTuple):
    """One way to change one prediction that is in reach of the budget.

    Attributes:
        images: [M]: the image of each.
        gaps: [M]: by how much the label must fall behind the other class.
        gains: [M, P]: by how much each poisoned partition can make it fall.
    """

    images: Whole
    gaps: Whole
    gains: Small


def accuracy(
    ballots: Ballots,
    truth: Int[Tensor, " T"],
    budget: int,
    *,
    ties: Ties,
    seconds: float = 15.0,
    relaxed: bool = False,
) -> Collective:
    """Certified accuracy of majority votes (dpa, fa) under one common attack.

    Args:
        ballots: Hundreds of images rather than thousands.
        truth: Their classes; wrong predictions count as lost.
        budget: Partitions that are poisoned.
        ties: What a model with several highest scores does.
        seconds: Time for the integer program; what it has proven by then is used.
        relaxed: Solve the linear program instead: quick, sound, looser.

    Raises:
        ValueError: The ballots are no ballots, or there is no image.
    """
    logits, table = checked(ballots)
    if not len(truth):
        raise ValueError("there is no test image, so there is no accuracy")
    reach = Reach(table, logits.shape[1])
    ways, right, alone = [], 0, 0
    for rows, scores in pieces(logits, fa.PIECE):
        votes, counts = choices(scores, ties, rows.start)
        label = counts.argmax(1)
        good = label == truth[rows].numpy()
        found = attacks(reach, reach.sums(votes), counts, label, np.flatnonzero(good), budget)
        ways.append(found._replace(images=found.images + rows.start))
        right += int(good.sum())
        alone += len(np.unique(found.images))
    lost, exact = largest(
        Attack(*map(np.concatenate, zip(*ways, strict=True))), budget, seconds, relaxed
    )
    images = len(truth)
    return Collective((right - min(lost, alone)) / images, (right - alone) / images, exact)


def attacks(
    reach: Reach, seen: Small, counts: Whole, label: Whole, good: Whole, budget: int
) -> Attack:
    """All pairs of a right prediction and a class that the budget could let overtake it alone.

    Others would only loosen the program.
    """
    gaps = need(counts, label)
    np.put_along_axis(gaps, label[:, None], NEVER, 1)
    images, classes = (
        np.repeat(good, counts.shape[1]),
        np.tile(np.arange(counts.shape[1]), len(good)),
    )
    kept = gaps[images, classes] <= 2 * reach.d * budget
    images, classes = images[kept], classes[kept]
    price = fa.overtaking(reach, seen, gaps, images, label[images], classes)
    images, classes = images[price <= budget], classes[price <= budget]
    gains = reach.d + seen[label[images], images].astype(np.int16) - seen[classes, images]
    return Attack(images, gaps[images, classes], gains)


def largest(ways: Attack, budget: int, seconds: float, relaxed: bool) -> tuple[int, bool]:
    """The most images that one attack can change, or a bound above it; whether it is exact.

    One variable for every partition, one for every way: a way counts only if the poisoned
    partitions close its gap, an image counts once.
    """
    count, partitions = ways.gains.shape
    if not count or budget == 0:
        return 0, True
    gains = np.minimum(ways.gains, ways.gaps[:, None])  # more than the gap is of no use
    closes = sparse.hstack([sparse.csr_array(gains), -sparse.diags_array(ways.gaps.astype(float))])
    names, image = np.unique(ways.images, return_inverse=True)
    once = sparse.csr_array(
        (np.ones(count), (image, partitions + np.arange(count))), (len(names), partitions + count)
    )
    spent = sparse.csr_array(np.r_[np.ones(partitions), np.zeros(count)][None])
    worth = np.r_[np.zeros(partitions), -np.ones(count)]
    answer = milp(
        worth,
        constraints=[
            LinearConstraint(closes, lb=0),
            LinearConstraint(once, ub=1),
            LinearConstraint(spent, ub=budget),
        ],
        bounds=Bounds(0, 1),
        integrality=np.full(len(worth), 0 if relaxed else 1),
        options={"time_limit": seconds},
    )
    if relaxed:
        bound = -answer.fun if answer.success else len(names)
    else:
        bound = len(names) if answer.mip_dual_bound is None else -answer.mip_dual_bound
    return int(np.floor(min(bound, len(names)) + SLACK)), bool(answer.success and not relaxed)
