"""Flat vectors and trees against the arrays of the official reshaper."""

import pytest
import torch
from tests.tickets.stored import Stored

from masquerade.tickets.layout import Layout, scattered


@pytest.mark.parametrize("name", ["tiny", "mlp", "cnn"])
def test_kept_weights_scatter_as_the_official_reshaper_does(name):
    stored = Stored(f"reshape_{name}")
    layout = stored.layout("init")
    assert [leaf.name for leaf in layout.leaves] == stored.meta["leaf_order"]
    places = torch.nonzero(stored.flat("mask"))[:, 0]
    assert torch.equal(stored.flat("init")[places], stored["sparse_flat"])
    population = scattered(stored["population_sparse"], places, layout.size)
    assert torch.equal(population, stored["population_dense"])
    spread = scattered(stored["sigma_sparse"], places, layout.size, torch.inf)
    wanted = stored.flat("sigma_full")
    assert torch.equal(spread[places], wanted[places])
    gone = torch.ones(layout.size, dtype=torch.bool)
    gone[places] = False
    assert spread[gone].isinf().all() and (wanted[gone] == 1e20).all()


def test_a_bias_that_starts_at_zero_is_searched_like_any_other_weight():
    stored = Stored("reshape_QUIRK_zero_bias")
    layout = stored.layout("init")
    flat = stored.flat("init")
    assert layout.size == 26 and len(stored["sparse_flat"]) == 24  # the official fault
    places = torch.arange(layout.size)
    back = layout.tree(scattered(flat[places], places, layout.size))
    assert torch.equal(back["params/Dense_1/bias"], torch.zeros(2))
    assert not torch.equal(stored.tree("official_back")["params/Dense_1/bias"], torch.zeros(2))


def test_a_tree_is_made_of_views_and_flat_is_its_inverse():
    layout = Layout.of({"b/kernel": (2, 3), "a/bias": (4,)})
    assert [leaf.name for leaf in layout.leaves] == ["a/bias", "b/kernel"]
    weights = torch.arange(10.0)
    tree = layout.tree(weights)
    assert tree["b/kernel"].tolist() == [[4, 5, 6], [7, 8, 9]]
    assert torch.equal(layout.flat(tree), weights)
    assert layout.tree(weights.expand(3, 2, 10))["b/kernel"].shape == (3, 2, 2, 3)
    assert layout.prunable().tolist() == [False] * 4 + [True] * 6


def test_protected_leaves_must_exist():
    layout = Layout.of({"a/kernel": (2,), "b/kernel": (2,)})
    assert layout.protecting(("a/kernel",)).prunable().tolist() == [False, False, True, True]
    with pytest.raises(ValueError, match="no leaf is called 'c'; there are: a/kernel, b/kernel"):
        layout.protecting(("c",))


def test_wrong_lengths_and_shapes_are_told():
    layout = Layout.of({"a/kernel": (2, 3)})
    with pytest.raises(ValueError, match="this network has 6 weights, got 5"):
        layout.tree(torch.zeros(5))
    with pytest.raises(ValueError, match=r"a/kernel must have the shape \(2, 3\), got \(3, 2\)"):
        layout.flat({"a/kernel": torch.zeros(3, 2)})
