from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from masquerade.core.seed import Seed
from masquerade.networks import backbone
from masquerade.objectives import simclr
from masquerade.objectives.base import Branch, Pair
from masquerade.objectives.simclr import ntxent

ORACLE = np.load(Path(__file__).parents[1] / "oracles" / "adios_losses.npz")


def slow_ntxent(a, b, positive, temperature):
    """Mean over both directions of each pair, row by row as printed in the paper."""
    rows = torch.nn.functional.normalize(torch.cat([a, b]), dim=1)
    count = len(a)
    losses = []
    for i in range(count):
        p = count + int(positive[i])
        both = []
        for anchor, other in ((i, p), (p, i)):
            others = [j for j in range(2 * count) if j != anchor]
            every = [torch.exp(rows[anchor] @ rows[j] / temperature) for j in others]
            hit = torch.exp(rows[anchor] @ rows[other] / temperature)
            both.append(-torch.log(hit / torch.stack(every).sum()))
        losses.append((both[0] + both[1]) / 2)
    return torch.stack(losses)


@pytest.mark.parametrize("temperature", ["0.1", "0.2", "0.5"])
def test_ntxent_and_its_gradients_equal_the_official_code(temperature):
    a, b = (torch.tensor(ORACLE[k], requires_grad=True) for k in ("z1", "z2"))
    loss = ntxent(a, b, torch.arange(6)[:, None], float(temperature)).mean()
    loss.backward()
    assert a.grad is not None
    assert b.grad is not None
    name = f"simclr_T{temperature}"
    np.testing.assert_allclose(loss.item(), ORACLE[name], rtol=1e-9)
    np.testing.assert_allclose(a.grad, ORACLE[f"{name}_g1"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(b.grad, ORACLE[f"{name}_g2"], rtol=1e-9, atol=1e-12)


def test_ntxent_in_float32_is_within_1e_5_of_the_official_code():
    a, b = (torch.tensor(ORACLE[k]).float() for k in ("z1", "z2"))
    loss = ntxent(a, b, torch.arange(6)[:, None], 0.2).mean()
    assert abs(loss.item() - ORACLE["simclr_T0.2"]) < 1e-5


@given(st.permutations(range(5)), st.floats(0.1, 2.0))
def test_any_permutation_of_positives_gives_the_printed_formula(order, temperature):
    g = Seed(1).generator()
    a, b = torch.randn(2, 5, 4, generator=g, dtype=torch.float64).unbind()
    positive = torch.tensor(order)
    fast = ntxent(a, b, positive[:, None], temperature)[:, 0]
    torch.testing.assert_close(fast, slow_ntxent(a, b, positive, temperature))


def test_two_positives_share_one_similarity_matrix():
    g = Seed(2).generator()
    a, b = torch.randn(2, 6, 4, generator=g).unbind()
    own, other = torch.arange(6), torch.arange(6).flip(0)
    both = ntxent(a, b, torch.stack([own, other], 1), 0.2)
    torch.testing.assert_close(both[:, 0], ntxent(a, b, own[:, None], 0.2)[:, 0])
    torch.testing.assert_close(both[:, 1], ntxent(a, b, other[:, None], 0.2)[:, 0])


def test_the_length_of_embeddings_does_not_matter():
    g = Seed(3).generator()
    a, b = torch.randn(2, 6, 4, generator=g).unbind()
    own = torch.arange(6)[:, None]
    torch.testing.assert_close(ntxent(3 * a, b / 7, own, 0.2), ntxent(a, b, own, 0.2))


def test_only_the_second_view_is_masked_and_its_copy_meets_the_clean_first_view():
    encoder = backbone.Config(options={"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]})
    objective = simclr.Config().build(encoder.build(32, 3, (0.5,) * 3, (0.2,) * 3))
    assert objective.plan(masked=True) == [Pair(Branch(1, 0), Branch(0))]
    assert objective.plan(masked=False) == [Pair(Branch(1), Branch(0))]
