import math
from pathlib import Path

import numpy as np
import pytest
import torch

from masquerade.core.seed import Seed
from masquerade.engine import gather
from masquerade.maskers import sizes

ORACLE = np.load(Path(__file__).parents[1] / "oracles" / "adios_penalties.npz")


def of(name):
    return torch.tensor(ORACLE[name])


def slope(at, dtype=torch.float32):
    s = torch.tensor(at, dtype=dtype, requires_grad=True)
    sizes.csc(s).backward()
    assert s.grad is not None
    return float(s.grad)


def test_the_penalties_and_their_gradients_equal_those_of_the_official_code():
    logits = of("logits").requires_grad_()
    shares = sizes.shares(logits.softmax(1))
    np.testing.assert_allclose(shares.detach(), ORACLE["sizes"], rtol=1e-12)
    sparsity = sizes.csc(shares).mean(0)
    np.testing.assert_allclose(sparsity.detach(), ORACLE["sparsity_per_mask"], rtol=1e-9)
    entropy = sizes.entropy(shares, "sum")
    assert entropy.item() == pytest.approx(-float(ORACLE["entropy_term"]), rel=1e-9)
    total = 0.9 * sparsity.sum() + 0.7 * entropy
    assert total.item() == pytest.approx(float(ORACLE["penalty_a0.9_e0.7"]), rel=1e-9)
    total.backward()
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad, ORACLE["penalty_grad_logits"], rtol=1e-9, atol=1e-15)


def test_csc_equals_the_official_one_wherever_that_is_sound():
    s = of("edge_s")
    inside = (s > sizes.EDGE) & (s < 1 - sizes.EDGE)
    assert int(inside.sum()) == 7
    np.testing.assert_allclose(sizes.csc(s)[inside], of("edge_sparsity64")[inside], rtol=1e-9)
    single = sizes.csc(s.float())[inside]
    np.testing.assert_allclose(single, of("edge_sparsity32")[inside], rtol=2e-6)


def test_at_the_edges_csc_is_a_straight_line_that_pushes_back():
    at = torch.tensor([0.0, sizes.EDGE / 2, sizes.EDGE], dtype=torch.float64)
    edge = 1 / math.sin(math.pi * sizes.EDGE)
    steep = math.pi * math.cos(math.pi * sizes.EDGE) * edge**2
    line = [edge + steep * (sizes.EDGE - float(s)) for s in at]
    np.testing.assert_allclose(sizes.csc(at), line, rtol=1e-6)
    np.testing.assert_allclose(sizes.csc(1 - at), line, rtol=1e-6)
    for s in (0.0, sizes.EDGE / 2):
        assert slope(s, torch.float64) == pytest.approx(-steep, rel=1e-6)
        assert slope(1 - s, torch.float64) == pytest.approx(steep, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_csc_never_rewards_a_mask_that_hides_everything(dtype):
    s = torch.linspace(-0.01, 1.01, 500).to(dtype)
    price = sizes.csc(s)
    assert price.dtype == torch.float32
    assert (price >= 1 - 1e-6).all()
    assert slope(1.0) > 1e5
    assert slope(0.0) < -1e5
    assert slope(0.5) == 0


@pytest.mark.parametrize("normaliser", ["softmax", "share"])
def test_entropy_equals_a_loop_and_is_largest_for_equal_sizes(normaliser):
    drawn = torch.rand(3, 4, generator=Seed(0).generator(), dtype=torch.float64)
    slow = []
    for row in drawn.tolist():
        part = [math.exp(s) for s in row] if normaliser == "softmax" else row
        slow.append(-sum(p / sum(part) * math.log(p / sum(part)) for p in part))
    assert float(sizes.entropy(drawn, "sum", normaliser)) == pytest.approx(sum(slow), rel=1e-12)
    mean = sizes.entropy(drawn, "mean", normaliser)
    assert float(mean) == pytest.approx(sum(slow) / 3, rel=1e-12)
    equal = sizes.entropy(torch.full((1, 4), 0.25), "mean", normaliser)
    assert float(equal) == pytest.approx(math.log(4), rel=1e-6)


@pytest.mark.parametrize("normaliser", ["softmax", "share"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_entropy_is_finite_with_finite_gradients_at_the_edges(normaliser, value):
    s = torch.tensor([[value, 0.0, 0.0]], requires_grad=True)
    entropy = sizes.entropy(s, "sum", normaliser)
    entropy.backward()
    assert s.grad is not None
    assert entropy.isfinite()
    assert s.grad.isfinite().all()


def test_a_held_weight_grows_while_its_mask_is_off_budget_and_shrinks_while_on():
    held = sizes.Held(2, 0.25, start=1.0, rate=10.0, tolerance=0.01, ceiling=3.0)
    paid = held(torch.tensor([[0.40, 0.30], [0.30, 0.20]]))
    expected = torch.tensor([[0.0225, 0.0025], [0.0025, 0.0025]])
    torch.testing.assert_close(paid, expected)
    held.move()
    torch.testing.assert_close(held.weights, torch.tensor([1.9, 0.9]))
    held.move()
    torch.testing.assert_close(held.weights, torch.tensor([1.9, 0.9]))


def test_held_weights_stay_between_0_and_the_ceiling():
    held = sizes.Held(2, 0.25, start=1.0, rate=1000.0, ceiling=3.0)
    held(torch.tensor([[0.9, 0.25]]))
    held.move()
    assert held.weights.tolist() == [3, 0]


def test_held_weights_move_by_the_mean_over_views_and_only_in_training():
    held = sizes.Held(1, 0.25, start=1.0, rate=10.0, tolerance=0.01)
    held(torch.tensor([[0.35]]))
    held(torch.tensor([[0.15]]))
    held.eval()(torch.tensor([[0.99]]))
    held.move()
    torch.testing.assert_close(held.weights, torch.tensor([0.9]))


def test_held_weights_move_by_the_mean_over_processes(monkeypatch):
    other = torch.tensor([[0.45]])
    monkeypatch.setattr(gather, "gathered", lambda mine: torch.cat([mine, other]))
    held = sizes.Held(1, 0.25, start=1.0, rate=10.0, tolerance=0.01)
    held(torch.tensor([[0.35]]))
    held.move()
    torch.testing.assert_close(held.weights, torch.tensor([1 + 10 * (0.15 - 0.01)]))


def test_held_weights_are_saved_and_go_on_exactly():
    torch.manual_seed(0)
    first = sizes.Held(3, 0.3)
    steps = torch.rand(6, 4, 3, generator=Seed(0).generator())
    for step in steps[:3]:
        first(step)
        first.move()
    second = sizes.Held(3, 0.3)
    second.load_state_dict(first.state_dict())
    for step in steps[3:]:
        for held in (first, second):
            held(step)
            held.move()
    assert torch.equal(first.weights, second.weights)
