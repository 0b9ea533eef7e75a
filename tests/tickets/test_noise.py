"""Noise is an address: rows, blocks and seeds."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from masquerade.core.seed import Seed
from masquerade.tickets.noise import normal

STORED = [
    [-0.5916672348976135, 1.0421617031097412, 2.1307196617126465],
    [-0.7004014253616333, -0.4880954921245575, 0.11423094570636749],
]


@given(st.integers(0, 40), st.sampled_from([1, 2, 7, 1000, 16384, 16385, 40001]))
@settings(max_examples=25, deadline=None)
def test_a_row_is_the_same_alone_and_among_others(row, width):
    seed = Seed(3).fold("generation", 5)
    together = normal(seed, [row + 1, row, 99], width)
    assert torch.equal(normal(seed, [row], width)[0], together[1])
    assert not torch.equal(together[0], together[1])


def test_no_bit_depends_on_the_number_of_threads():
    one = normal(Seed(0), range(3), 100_000)
    try:
        torch.set_num_threads(2)
        assert torch.equal(normal(Seed(0), range(3), 100_000), one)
    finally:
        torch.set_num_threads(1)


def test_it_is_standard_normal():
    values = normal(Seed(2), range(64), 20_000).double()
    assert abs(float(values.mean())) < 0.003
    assert abs(float(values.std()) - 1) < 0.003
    assert abs(float((values**3).mean())) < 0.01
    assert abs(float((values**4).mean()) - 3) < 0.02
    for bound, share in ((1, 0.317311), (2, 0.0455), (3, 0.0027)):
        assert abs(float((values.abs() > bound).double().mean()) - share) < 6e-4
    both = np.corrcoef(values[:, :10_000].reshape(-1), values[:, 10_000:].reshape(-1))
    assert abs(both[0, 1]) < 0.005
    assert values.isfinite().all()


def test_the_smallest_uniform_gives_a_finite_number(monkeypatch):
    class Zeros:
        def __init__(self, key, counter):
            pass

        def random_raw(self, words):
            return np.zeros(words, np.uint64)

    monkeypatch.setattr(np.random, "Philox", Zeros)
    assert float(normal(Seed(0), [0], 2)[0, 0]) == float(torch.tensor(33 * 2 * 0.6931472).sqrt())


def test_numbers_are_what_they_were_when_tickets_were_first_stored():
    found = normal(Seed(7).fold("ask"), [0, 3], 3)
    wanted = torch.tensor(STORED)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
