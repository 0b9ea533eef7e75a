from itertools import combinations, product

import numpy as np
import pytest
import torch

from masquerade.certify import dpa, flips
from masquerade.certify.ensemble import Labelled, fit
from masquerade.certify.learners import centroid, ridge
from masquerade.certify.partition import Parts
from masquerade.certify.whole import UNIT, whole
from masquerade.core.seed import Seed

CLASSES = ("cat", "dog", "owl")


def fitted(seed, count, parts, strength=1.0, learner=None, spread=1):
    draw = Seed(seed).generator()
    features = torch.randn(count, 4, generator=draw)
    labels = torch.randint(3, (count,), generator=draw)
    features += 1.5 * torch.eye(3, 4)[labels]
    digests = [f"{i:032x}" for i in range(count)]  # dealt in turn
    how = Parts(parts=parts, spread=spread)
    known = Labelled(features, labels, digests, how.named(digests).own)
    tests = torch.randn(6, 4, generator=draw)
    return fit(known, CLASSES, how, learner or ridge.Config(strength=strength)), tests


def winner(a, labels, own, models, ties):
    """The label by the definition: scores are sums over a model's images, votes are counted."""
    votes = [0, 0, 0]
    for model in range(models):
        if not (own == model).any():
            continue
        scores = [int(a[(own == model) & (labels == c)].sum()) for c in range(3)]
        best = [c for c in range(3) if scores[c] == max(scores)]
        if ties == "index" or len(best) == 1:
            votes[best[0]] += 1
    return votes.index(max(votes))


@pytest.mark.parametrize("ties", ["index", "abstain"])
@pytest.mark.parametrize(("count", "models"), [(7, 1), (8, 2), (9, 3), (9, 5)])
def test_no_smaller_set_of_flips_changes_a_label(ties, count, models):
    model, tests = fitted(count, count, models)
    found = flips.certify(model, tests, ties=ties)
    own, labels = model.own.numpy(), model.labels.numpy()
    members = [m for m in model.partition.members() if len(m)]
    slack = []
    for i, test in enumerate(whole(tests)):
        a = np.zeros(count, np.int64)
        for seen in members:
            a[seen.numpy()] = flips.coefficients(model, seen, test[None])[0]
        label = winner(a, labels, own, models, ties)
        assert found.label[i] == label
        least = 4
        for size in (1, 2, 3):
            for rows in combinations(range(count), size):
                for new in product(range(3), repeat=size):
                    changed = labels.copy()
                    changed[list(rows)] = new
                    if winner(a, changed, own, models, ties) != label:
                        least = min(least, size)
            if least < 4:
                break
        assert min(int(found.radius[i]), 3) <= least - 1
        slack.append(least - 1 - min(int(found.radius[i]), 3))
    assert np.mean(slack) < 0.5


def test_coefficients_are_those_of_ridge_whatever_system_is_solved():
    model, tests = fitted(1, 9, 1)
    seen = torch.arange(9)
    x, t = model.features.double() / UNIT, whole(tests).double() / UNIT
    for rows in (seen, seen[:3]):  # more images than features, and fewer
        gram = x[rows] @ x[rows].T + 4 * torch.eye(len(rows), dtype=torch.float64)
        known = (t @ x[rows].T) @ gram.inverse()
        ours = flips.coefficients(model, rows, whole(tests)) / flips.GRID
        assert np.allclose(ours, known, atol=1e-5)


def test_several_flips_turn_one_model_so_radii_exceed_those_of_votes():
    model, tests = fitted(2, 200, 3, strength=20.0)
    inside = flips.certify(model, tests, ties="abstain")
    outside = dpa.certify(model.ballots(tests), ties="abstain")
    assert torch.equal(inside.label, outside.label)
    assert (inside.radius >= outside.radius).all()
    assert (inside.radius > 3).any()  # more flips than there are models


def test_other_heads_and_spreads_are_refused():
    model, tests = fitted(3, 20, 2, learner=centroid.Config())
    with pytest.raises(ValueError, match="ridge heads, not centroid"):
        flips.certify(model, tests, ties="index")
    model, tests = fitted(3, 20, 2, spread=2)
    with pytest.raises(ValueError, match="spread=1, got 2"):
        flips.certify(model, tests, ties="index")
    model, tests = fitted(3, 20, 2)
    with pytest.raises(ValueError, match="features of 4 numbers, got 3"):
        flips.certify(model, tests[:, :3], ties="index")
