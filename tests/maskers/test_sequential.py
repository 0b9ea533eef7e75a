from pathlib import Path

import numpy as np
import pytest
import torch

from masquerade.core.seed import Seed
from masquerade.maskers import sequential
from masquerade.maskers.sequential import overlaps, penalty, roughness
from masquerade.maskers.sizes import shares

ORACLE = np.load(Path(__file__).parents[1] / "oracles" / "adios_sequential.npz")
PRINTED = sequential.Config(overlap=1e-4, consistency=1e-4, pixels="sum")
MEAN = sequential.Config(overlap=0.9216, consistency=0.9216)


def masks():
    return torch.tensor(ORACLE["masks"])


def test_each_term_equals_the_definition():
    area = masks().shape[2] * masks().shape[3]
    np.testing.assert_allclose(shares(masks()), ORACLE["size"], rtol=1e-9)
    np.testing.assert_allclose(overlaps(masks()) * area, ORACLE["overlap_sum"], rtol=1e-9)
    rough = roughness(masks()) * area
    np.testing.assert_allclose(rough, ORACLE["consistency_sum_excludepad"], rtol=1e-9)


def test_the_printed_form_and_the_mean_form_equal_the_definition():
    np.testing.assert_allclose(
        penalty(masks(), PRINTED), ORACLE["penalty_printed_sum_1e4"], rtol=1e-9
    )
    np.testing.assert_allclose(penalty(masks(), MEAN), ORACLE["penalty_mean_equiv96"], rtol=1e-9)


@pytest.mark.parametrize(
    ("detached", "name"),
    [(False, "penalty_grad_logits"), (True, "penalty_grad_logits_prev_detached")],
)
def test_gradients_run_through_earlier_masks_unless_they_are_detached(detached, name):
    logits = torch.tensor(ORACLE["logits"], requires_grad=True)
    penalty(logits.sigmoid(), PRINTED.replace(detach_previous=detached)).backward()
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad, ORACLE[name], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_masks_have_finite_prices_and_gradients(value):
    full = torch.full((2, 3, 8, 8), value, requires_grad=True)
    price = penalty(full, sequential.Config())
    price.backward()
    assert full.grad is not None
    assert torch.isfinite(price)
    assert torch.isfinite(full.grad).all()


def test_masks_on_budget_that_do_not_overlap_and_are_smooth_inside_cost_little():
    quarters = torch.zeros(1, 4, 32, 32)
    for k in range(4):
        quarters[0, k, :, 8 * k : 8 * k + 8] = 1
    assert shares(quarters).eq(0.25).all()
    assert overlaps(quarters).eq(0).all()
    assert penalty(quarters, sequential.Config()) < 0.03


@pytest.mark.parametrize("feedback", ["head", "input", "image"])
def test_training_starts_on_budget_with_one_mask_after_another(feedback):
    torch.manual_seed(0)
    config = sequential.Config(width=8, norm="gn", feedback=feedback, budget=0.3)
    masker = config.build(32, 3)
    images = torch.randn(2, 3, 32, 32, generator=Seed(0).generator())
    found = masker.propose(images, Seed(0))
    assert found.shape == (2, 4, 32, 32)
    assert (found.mean() - 0.3).abs() < 0.1


def test_a_later_mask_depends_on_an_earlier_one_and_not_the_other_way_round():
    torch.manual_seed(0)
    masker = sequential.Config(width=8, norm="gn").build(32, 3)
    images = torch.randn(1, 3, 32, 32, generator=Seed(0).generator())
    before = masker.propose(images, Seed(0))
    with torch.no_grad():
        masker.get_parameter("head.bias")[1] += 1
    after = masker.propose(images, Seed(0))
    torch.testing.assert_close(after[:, 0], before[:, 0])
    assert not torch.allclose(after[:, 2], before[:, 2])


def test_head_feedback_equals_a_convolution_over_features_and_earlier_masks():
    torch.manual_seed(0)
    masker = sequential.Config(width=8, norm="gn", masks=3).build(32, 3)
    images = torch.randn(2, 3, 32, 32, generator=Seed(0).generator())
    features, bias = masker.unet(images), masker.get_parameter("head.bias")
    slow: list[torch.Tensor] = []
    for k in range(3):
        joined = torch.cat([features, *slow], 1)
        weight = torch.cat([masker.head.weight[k].flatten(), masker.memory[k, :k]])
        logit = (joined * weight[None, :, None, None]).sum(1, keepdim=True) + bias[k]
        slow.append(logit.sigmoid())
    torch.testing.assert_close(masker.propose(images, Seed(0)), torch.cat(slow, 1))
