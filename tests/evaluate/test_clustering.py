"""Clustering: scores by counting, and clusters that have nothing to do with labels."""

from itertools import permutations

import numpy as np
import pytest

from masquerade.core.seed import Seed
from masquerade.evaluate import clustering
from masquerade.evaluate.base import Unlabelled


def test_accuracy_is_the_best_of_all_ways_to_name_the_clusters():
    stream = np.random.default_rng(0)
    for clusters, classes in ((4, 4), (3, 5), (5, 3)):
        found = stream.integers(0, clusters, 50)
        found[:clusters] = range(clusters)
        labels = stream.integers(0, classes, 50)
        names = [*range(classes), *[-1] * clusters]  # -1: a cluster that stands for no class
        best = max(
            np.mean(np.array(name)[found] == labels) for name in set(permutations(names, clusters))
        )
        assert clustering.accuracy(found, labels) == pytest.approx(best)


def test_agreement_is_that_of_all_pairs():
    found, labels = np.array([0, 0, 1, 1, 1, 2]), np.array([1, 1, 1, 0, 0, 2])
    pairs = [(i, j) for i in range(6) for j in range(i)]
    a = sum(found[i] == found[j] and labels[i] == labels[j] for i, j in pairs)
    b, c = (sum(x[i] == x[j] for i, j in pairs) for x in (found, labels))
    chance = b * c / len(pairs)
    numbers = clustering.agreement(found, labels)
    assert numbers["ari"] == pytest.approx((a - chance) / ((b + c) / 2 - chance))
    assert clustering.agreement(labels, labels)["nmi"] == pytest.approx(1)


def test_clusters_of_colours_are_the_colours(tinted, pixels):
    test = tinted(60, name="new")
    run = clustering.Config().build().run
    result = run(pixels, tinted(), {"test": test}, Seed(0))
    assert result.metrics == {"test/nmi": 1.0, "test/ari": 1.0, "test/acc": 1.0}
    again = run(pixels, tinted(), {"test": test.labelled(np.zeros(60, np.int64), ("x",))}, Seed(0))
    assert len(np.unique(again.arrays["cluster/test"])) == 1  # as many as there are classes
    with pytest.raises(Unlabelled):
        run(pixels, tinted(), {"test": test.labelled(np.full(60, -1), ())}, Seed(0))
    with pytest.raises(ValueError, match="70 clusters of 60 images"):
        clustering.Config(clusters=70).build().run(pixels, tinted(), {"test": test}, Seed(0))
