"""Scores against their definitions, by differences and whole Hessians."""

import pytest
import torch
from tests.tickets.stored import Stored
from tests.tickets.toy import Toy
from torch.autograd.functional import hessian

from masquerade.core.seed import Seed
from masquerade.tickets.base import Evidence, Snapshot
from masquerade.tickets.masks import kept
from masquerade.tickets.scores import SCORES, shuffled

TOY = Toy()
START = TOY.start(Seed(1))


def evidence(weights=None, spread=None, mask=None, seed=0):
    weights = START if weights is None else weights
    mask = torch.ones(TOY.layout.size, dtype=torch.bool) if mask is None else mask
    return Evidence(Snapshot(weights, spread, {}, 0.0), START, mask, TOY, Seed(seed))


def test_signal_to_noise_is_the_mean_over_the_deviation_and_0_where_pruned():
    spread = torch.full_like(START, 0.5)
    spread[3] = torch.inf
    weights = START.clone()
    weights[3] = 0
    found = SCORES["snr"](evidence(weights, spread))
    assert found[3] == 0
    torch.testing.assert_close(found, 2 * weights.abs())
    assert torch.equal(SCORES["magnitude"](evidence(weights)), weights.abs())


def test_signal_to_noise_without_noise_says_what_to_take():
    with pytest.raises(ValueError, match=r"open_es and descend do not have: use score=magnitude"):
        SCORES["snr"](evidence())


def test_movement_is_the_distance_travelled_and_pruned_weights_do_not_come_back():
    weights, mask = START + 1, torch.ones(TOY.layout.size, dtype=torch.bool)
    mask[5] = False
    weights[5] = 0
    found = SCORES["movement"](evidence(weights, mask=mask))
    assert found[5] == 0
    torch.testing.assert_close(found[mask], torch.ones(int(mask.sum())))


def test_snip_is_how_much_the_loss_reacts_to_scaling_a_weight():
    found = SCORES["snip"](evidence())
    wide = START.double()
    network = Toy()
    network.x = network.x.double()
    for k in range(0, len(START), 5):
        more, less = wide.clone(), wide.clone()
        more[k] *= 1 + 1e-4
        less[k] *= 1 - 1e-4
        slope = (network.loss(more, None) - network.loss(less, None)) / 2e-4
        assert float(found[k]) == pytest.approx(abs(float(slope)), rel=1e-3, abs=1e-6)


def test_grasp_keeps_what_the_gradients_length_lives_on():
    found = SCORES["grasp"](evidence())
    full = hessian(lambda w: TOY.loss(w, None), START)
    start = START.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(TOY.loss(start, None), start)
    torch.testing.assert_close(found, START * (full @ gradient), rtol=1e-3, atol=1e-5)

    def length(weights):
        weights = weights.clone().requires_grad_()
        return float(torch.autograd.grad(TOY.loss(weights, None), weights)[0].square().sum())

    for k in (int(found.argmax()), int(found.argmin())):  # a little off shrinks it, or lengthens
        less = START.clone()
        less[k] *= 1 - 1e-2
        assert (length(less) < length(START)) == (found[k] > 0)


def test_random_masks_have_the_exact_count_and_are_new_each_time():
    prunable = TOY.layout.prunable()
    masks = [kept(SCORES["random"](evidence(seed=k)), TOY.layout, 0.5) for k in range(2)]
    assert [int(m[prunable].sum()) for m in masks] == [10, 10]
    assert not torch.equal(*masks)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
@pytest.mark.parametrize("what", ["all", "rows"])
def test_shuffled_masks_keep_each_layers_count_and_rows_the_columns_sums(name, what):
    stored = Stored(f"random_{name}")
    layout = stored.layout("mask")
    ours = layout.tree(shuffled(stored.flat("mask").float(), layout, Seed(0), what))
    official, mask = stored.tree("both_mask"), stored.tree("mask")
    for leaf in layout.leaves:
        if leaf.prunable:
            assert ours[leaf.name].sum() == mask[leaf.name].sum() == official[leaf.name].sum()
            sums = [x[leaf.name].float().sum(dim=0) for x in (ours, mask, official)]
            assert torch.equal(sums[1], sums[2])
            assert torch.equal(sums[0], sums[1]) == (what == "rows")
