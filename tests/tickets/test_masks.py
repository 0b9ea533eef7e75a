"""Masks against the official pruning code, and the laws of both rules."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tickets.stored import Stored

from masquerade.tickets.layout import Layout
from masquerade.tickets.masks import kept

CASES = ["tiny", "mlp", "mlp_gym", "cnn", "ties", "skip_last"]
SEQUENCES = ["mag_mlp", "snr_mlp", "snr_tiny", "maskreinit"]


def scored(stored, criterion, mean="mean", std="std"):
    weights = stored.flat(mean).abs()
    return weights if criterion == "magnitude" else weights / stored.flat(std)


@pytest.mark.parametrize("criterion", ["magnitude", "snr"])
@pytest.mark.parametrize("scope", ["global", "layerwise"])
@pytest.mark.parametrize("name", CASES)
def test_the_percentile_rule_gives_the_official_masks_exactly(name, scope, criterion):
    stored = Stored(f"criteria_{name}")
    layout = stored.layout("mean").protecting(tuple(stored.meta["modules_not_to_prune"]))
    scores = scored(stored, criterion)
    for j, level in enumerate(stored.meta["levels"]):
        ours = kept(scores, layout, level, scope, "percentile")
        assert torch.equal(ours, stored.flat(f"mask_{criterion}_{scope}_{j}").bool()), level


@pytest.mark.parametrize("criterion", ["magnitude", "snr"])
@pytest.mark.parametrize("name", [c for c in CASES if c != "ties"])
def test_both_rules_differ_in_one_weight_at_most_where_no_scores_are_equal(name, criterion):
    stored = Stored(f"criteria_{name}")
    layout = stored.layout("mean").protecting(tuple(stored.meta["modules_not_to_prune"]))
    scores = scored(stored, criterion)
    for level in stored.meta["levels"]:
        both = [kept(scores, layout, level, "global", rule) for rule in ("topk", "percentile")]
        assert int((both[0] != both[1]).sum()) <= 1


def test_with_ties_the_percentile_misses_its_level_and_topk_does_not():
    stored = Stored("criteria_ties")
    layout = stored.layout("mean")
    prunable = layout.prunable()
    scores = scored(stored, "magnitude")
    exact, published = (kept(scores, layout, 0.9, "global", r) for r in ("topk", "percentile"))
    assert int(exact[prunable].sum()) == 448 - round(0.9 * 448)
    assert float(published[prunable].double().mean()) > 0.15


@pytest.mark.parametrize("name", SEQUENCES)
def test_twenty_rounds_give_the_official_masks_each_inside_the_one_before(name):
    stored = Stored(f"sequence_{name}")
    layout = stored.layout("init")
    criterion = "snr" if "snr" in name else "magnitude"
    before = torch.ones(layout.size, dtype=torch.bool)
    for number in range(1, 21):
        scores = scored(stored, criterion, f"trained_mean{number}", f"trained_std{number}")
        ours = kept(scores, layout, 1 - 0.8**number, "global", "percentile")
        assert torch.equal(ours, stored.flat(f"mask{number}").bool()), number
        assert not (ours & ~before).any() and ours[~layout.prunable()].all()
        before = ours


def test_random_masks_have_the_official_counts():
    stored = Stored("sequence_randomreinit")
    layout = stored.layout("init")
    prunable = layout.prunable()
    for number in range(1, 21):
        official = int(stored.flat(f"mask{number}").bool()[prunable].sum())
        ours = kept(torch.rand(layout.size), layout, 1 - 0.8**number)
        assert abs(int(ours[prunable].sum()) - official) <= 1


SCORES = st.lists(st.integers(0, 5), min_size=6, max_size=6)


@given(SCORES, st.floats(0, 1), st.sampled_from(["global", "layerwise"]))
@settings(max_examples=80, deadline=None)
def test_topk_keeps_the_exact_number_of_the_highest_and_every_bias(values, level, scope):
    layout = Layout.of({"a/bias": (2,), "a/kernel": (4,), "b/kernel": (2,)})
    scores = torch.tensor([0, 0, *values]).float()
    stays = kept(scores, layout, level, scope)
    assert stays[:2].all()
    groups = [slice(2, 8)] if scope == "global" else [slice(2, 6), slice(6, 8)]
    for group in groups:
        count = len(scores[group])
        assert int(stays[group].sum()) == count - round(level * count)
        left, gone = scores[group][stays[group]], scores[group][~stays[group]]
        assert not len(left) or not len(gone) or left.min() >= gone.max()


@given(SCORES, st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_equal_scores_at_a_higher_level_keep_a_part_of_what_stayed(values, one, other):
    layout = Layout.of({"a/kernel": (6,)})
    scores = torch.tensor(values).float()
    few, many = (kept(scores, layout, level) for level in sorted((one, other), reverse=True))
    assert not (few & ~many).any()


def test_scores_that_are_nan_or_too_few_are_refused():
    layout = Layout.of({"a/kernel": (4,)})
    with pytest.raises(ValueError, match="1 of 4 scores are nan"):
        kept(torch.tensor([1.0, torch.nan, 2.0, 3.0]), layout, 0.5)
    with pytest.raises(ValueError, match="this network has 4 weights, got 3"):
        kept(torch.ones(3), layout, 0.5)
