"""Retrieval: average precision and recall as one counts them by hand."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from masquerade.core.seed import Seed
from masquerade.evaluate import retrieval


def counted(query, wanted, gallery, classes, leave=None):
    """Average precision and the rank of the first hit, one image at a time."""
    ranks = sorted(
        (i for i in range(len(gallery)) if i != leave),
        key=lambda i: (-float(query @ gallery[i]), i),
    )
    hits, shares, first = 0, [], None
    for place, i in enumerate(ranks, 1):
        if classes[i] == wanted:
            hits += 1
            shares.append(hits / place)
            first = place - 1 if first is None else first
    return (np.mean(shares) if shares else np.nan), first


@pytest.mark.parametrize("same", [False, True])
def test_it_is_what_counting_gives(same):
    stream = Seed(0).generator()
    queries, gallery = (normalize(torch.randn(n, 4, generator=stream).double()) for n in (9, 30))
    wanted = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 5])
    classes = wanted if same else torch.arange(30) % 3
    gallery = queries if same else gallery
    precision, first = retrieval.ranked(queries, wanted, gallery, classes, same)
    for i in range(9):
        right, place = counted(queries[i], wanted[i], gallery, classes, i if same else None)
        assert float(precision[i]) == pytest.approx(right, nan_ok=True)
        if place is not None:
            assert int(first[i]) == place
    assert precision.isnan().tolist() == [False] * 8 + [True]


def test_many_queries_are_ranked_some_at_a_time(monkeypatch):
    queries = normalize(torch.randn(11, 4, generator=Seed(0).generator()))
    labels = torch.arange(11) % 3
    whole = retrieval.ranked(queries, labels, queries, labels, True)
    monkeypatch.setattr(retrieval, "CHUNK", 40)
    for one, other in zip(
        whole, retrieval.ranked(queries, labels, queries, labels, True), strict=True
    ):
        assert torch.equal(one, other)


def test_colours_find_their_own(tinted, pixels):
    tests = {"test": tinted(30, name="new")}
    for gallery in ("train", "same"):
        found = retrieval.Config(gallery=gallery).build().run(pixels, tinted(), tests, Seed(0))
        names = ["map", "recall1", "recall5", "recall10"]
        assert found.metrics == {f"test/{name}": pytest.approx(1) for name in names}
    alone = tinted(3, name="new")
    found = retrieval.Config(gallery="same").build().run(pixels, tinted(), {"test": alone}, Seed(0))
    assert found.metrics == {}
    assert "no query has another image" in found.notes[-1]
    with pytest.raises(ValueError, match="at least 1"):
        retrieval.Config(ks=(0,))
