"""Label flips against ridge heads, counted one by one: a certificate that looks inside the models.

The rules of this package give up a whole model to one poison. Where images are intact and only
labels may be changed, a ridge head's score is a sum over its images, `sum_j a_j [y_j = c]`, with
coefficients that no label can change, and it takes several flips to turn its vote. The same idea:
EnsembleCert, https://arxiv.org/abs/2604.11416 (2026); the formulas here are our own.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from masquerade.certify.base import Certificate, Ties
from masquerade.certify.ensemble import Ensemble
from masquerade.certify.learners import ridge
from masquerade.certify.learners.base import alone
from masquerade.certify.tally import NEVER, Whole, need
from masquerade.certify.whole import whole

GRID = 1 << 20  # coefficients are whole multiples of 1 / GRID
CHUNK = 1 << 24  # numbers at a time


class Vote(NamedTuple):
    """What one model says of T images, and what flips it takes to change that.

    Attributes:
        vote: [T]: its class, C where it abstains.
        turn: [T, C]: the fewest flips until it may vote c; 0 at its own class.
        leave: [T]: the fewest flips until it may not vote for its class any more.
    """

    vote: Whole
    turn: Whole
    leave: Whole


def certify(ensemble: Ensemble, features: Float[Tensor, "T D"], *, ties: Ties) -> Certificate:
    """Labels by majority, and how many changed labels among the training images they survive.

    The radius counts labels, not partitions: it may exceed half the number of models. It promises
    nothing against images that are inserted, removed or changed.

    Args:
        ensemble: Ridge heads, one partition each (d = 1). Its votes here are those of scores
            `sum_j a_j [y_j = c]`, in which a class without images scores 0; a model without
            images votes for nobody.
        features: Of the test images.
        ties: What a model with several highest scores does.

    Raises:
        ValueError: Other heads, a spread, or features of another encoder.
    """
    if not isinstance(ensemble.learner, ridge.Config):
        raise ValueError(f"label flips are counted for ridge heads, not {ensemble.learner.kind}")
    if ensemble.parts.spread != 1:
        raise ValueError(f"label flips need spread=1, got {ensemble.parts.spread}")
    if features.shape[1] != ensemble.features.shape[1] - 1:
        raise ValueError(
            f"these heads were fitted on features of {ensemble.features.shape[1] - 1} numbers, "
            f"got {features.shape[1]}"
        )
    tests = whole(features)
    classes = len(ensemble.classes)
    members = [m for m in ensemble.partition.members() if len(m)]
    longest = max((len(m) for m in members), default=1)
    step = max(1, CHUNK // (classes * max(longest, classes * ensemble.parts.models)))
    label = torch.empty(len(tests), dtype=torch.int64)
    radius = torch.empty_like(label)
    for start in range(0, len(tests), step):
        rows = slice(start, start + step)
        votes = []
        for seen in members:
            a = coefficients(ensemble, seen, tests[rows])
            votes.append(turned(a, ensemble.labels[seen].numpy(), classes, ties))
        won, price = knapsack(votes, len(tests[rows]), classes)
        label[rows] = torch.from_numpy(won)
        radius[rows] = torch.from_numpy(price - 1).clamp(max=len(ensemble.labels))
    return Certificate(label, radius)


def coefficients(
    ensemble: Ensemble, seen: Int[Tensor, " m"], tests: Int[Tensor, "T W"]
) -> NDArray[np.int64]:
    """What each of a model's images adds to the score of its label: [T, m], times `GRID`."""
    learner = ensemble.learner
    assert isinstance(learner, ridge.Config)
    x, t = ensemble.features[seen].double(), tests.double()
    small = x.shape[0] <= x.shape[1]
    system = x @ x.T if small else x.T @ x
    system.diagonal().add_(learner.penalty(x.shape[1]))
    with alone():
        root = torch.linalg.cholesky(system)
        if small:
            found = torch.cholesky_solve(x @ t.T, root)
        else:
            found = x @ torch.cholesky_solve(t.T.contiguous(), root)
    return (found.T * GRID).round().long().numpy()


def turned(a: NDArray[np.int64], labels: Whole, classes: int, ties: Ties) -> Vote:
    """A model's votes, and the fewest flips for every other vote.

    Flipping one label from c to another class v changes score_c - score_v by at most |a| times
    how many of the two scores it moves; the largest changes are made first.
    """
    one = np.eye(classes, dtype=np.int64)[labels]
    scores = a @ one
    images = np.arange(len(scores))
    top = scores.argmax(1)
    best = scores[images, top]
    tied = (scores == best[:, None]).sum(1) > 1
    turn = np.zeros_like(scores)
    leave = np.full(len(scores), NEVER)
    for v in range(classes):
        gain = np.where(
            a > 0,
            a * (1 + (labels == top[:, None]) - (labels == v)),
            -a * (1 + (labels == v) - (labels == top[:, None])),
        )
        reached = np.sort(gain, 1)[:, ::-1].cumsum(1)
        gap = best - scores[:, v]
        behind = (top < v).astype(np.int64)  # then equal scores go to the old class
        turn[:, v] = prefix(reached, gap + (behind if ties == "index" else 1))
        away = prefix(reached, gap + (behind if ties == "index" else 0))
        leave = np.where(top == v, leave, np.minimum(leave, away))
    own = np.where(tied, classes, top) if ties == "abstain" else top
    turn[images, top] = 0
    if ties == "abstain":
        # Whoever is tied votes for nobody; one flip at least lets one of them win.
        turn = np.where(tied[:, None], np.maximum(turn, 1), turn)
        leave[tied] = NEVER
    return Vote(own, turn, leave)


def prefix(reached: Whole, goal: Whole) -> Whole:
    """The fewest flips whose changes add up to `goal`; `NEVER` where all together do not."""
    enough = reached >= goal[:, None]
    flips = np.where(enough[:, -1], enough.argmax(1) + 1, NEVER)
    return np.where(goal <= 0, 0, flips)


def knapsack(votes: list[Vote], images: int, classes: int) -> tuple[Whole, Whole]:
    """Labels by majority, and the fewest flips [T] until another class may win.

    For every rival c each model offers to close the gap by one (it leaves the winner, or comes
    over to c from elsewhere) or by two (it leaves the winner for c); the cheapest set of offers
    that closes the gap is found over all models, gap by gap.
    """
    table = np.zeros((images, classes + 1), np.int64)
    for told in votes:
        table[np.arange(images), told.vote] += 1
    counts = table[:, :classes]
    label = counts.argmax(1)
    gaps = need(counts, label)
    rows = np.arange(images)
    most = max(1, int(gaps.max(initial=1)))
    cost = np.full((images, classes, most + 1), NEVER)  # [.., g]: to close the gap by g or more
    cost[..., 0] = 0
    for told in votes:
        own = (told.vote == label)[:, None]
        twice = np.where(own, told.turn, NEVER)
        once = np.where(own, told.leave[:, None], told.turn)
        once[rows[told.vote < classes], told.vote[told.vote < classes]] = NEVER  # with c already
        by_one = shifted(cost, 1) + once[..., None]
        by_two = shifted(cost, 2) + twice[..., None]
        np.minimum(cost, by_one, out=cost)
        np.minimum(cost, by_two, out=cost)
    price = np.take_along_axis(cost, np.maximum(gaps, 0)[..., None], 2)[..., 0]
    price[rows, label] = NEVER
    return label, price.min(1)


def shifted(cost: Whole, gap: int) -> Whole:
    """The cost of closing each gap where a smaller rest is left to close, or none."""
    places = np.maximum(np.arange(cost.shape[2]) - gap, 0)
    return cost[..., places]
