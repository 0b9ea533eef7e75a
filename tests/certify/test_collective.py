from itertools import combinations

import numpy as np
import pytest
import torch
from tests.certify.attack import vote

from masquerade.certify import boosted, fa
from masquerade.certify.base import Ballots, curve, identity, ring
from masquerade.certify.collective import accuracy
from masquerade.core.seed import Seed


def worst(logits, reach, truth, budget):
    """The fewest right labels over all sets of partitions; every image attacked at will.

    A model that two poisoned partitions reach is counted twice, as the certificate does.
    """
    classes = logits.shape[2]
    lost = []
    for hit in combinations(range(len(reach)), budget):
        changed = 0
        for image, true in zip(logits.tolist(), truth.tolist(), strict=True):
            votes = [vote(scores, "index") for scores in image]
            counts = [votes.count(c) for c in range(classes)]
            label = counts.index(max(counts))
            fallen = False
            for c in set(range(classes)) - {label}:
                gap = counts[label] - counts[c] + (c > label)
                gain = sum(1 + (votes[m] == label) - (votes[m] == c) for p in hit for m in reach[p])
                fallen |= gain >= gap
            changed += label != true or fallen
        lost.append(changed)
    return 1 - max(lost) / len(truth)


@pytest.mark.parametrize("reach", [identity(7), ring(7, torch.tensor([0, 2]))], ids=["dpa", "fa"])
@pytest.mark.parametrize("budget", [0, 1, 2])
def test_the_collective_bound_is_the_worst_common_attack(reach, budget):
    draw = Seed(5).generator()
    logits = torch.randn(12, 7, 3, generator=draw)
    truth = torch.randint(3, (12,), generator=draw)
    logits[torch.arange(12), :, truth] += 1.2
    ballots = Ballots(logits, reach)
    found = accuracy(ballots, truth, budget, ties="index")
    assert found.exact
    assert found.accuracy == pytest.approx(worst(logits, reach.tolist(), truth, budget))
    plain = curve(fa.certify(ballots, ties="index"), truth, budget=9)
    assert found.pointwise == pytest.approx(plain[budget].item())
    loose = accuracy(ballots, truth, budget, ties="index", relaxed=True)
    assert found.pointwise <= loose.accuracy <= found.accuracy
    assert not loose.exact or loose.accuracy == found.accuracy


def test_many_images_share_one_attacker():
    # Each image can be lost by one partition, each by another: together one partition takes one.
    logits = torch.zeros(5, 5, 2)
    logits[:, :, 1] = -1
    for i in range(5):  # 3 : 2 for class 0, the three being i, i + 1, i + 2
        logits[i, [(i + 3) % 5, (i + 4) % 5], 1] = 1
    found = accuracy(Ballots(logits, identity(5)), torch.zeros(5).long(), 1, ties="index")
    assert (found.pointwise, found.accuracy) == (0.0, 0.4)


def test_boosted_models_are_sums_in_which_absent_stays_absent():
    a = torch.tensor([[[1.0, -torch.inf]]])
    b = torch.tensor([[[2.5, -torch.inf]]])
    assert boosted.summed([a, b]).tolist() == [[[3.5, -np.inf]]]
    with pytest.raises(ValueError, match="one shape"):
        boosted.summed([a, b[:, :, :1]])
    with pytest.raises(ValueError, match="one shape"):
        boosted.summed([])
