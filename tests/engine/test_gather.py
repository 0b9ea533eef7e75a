"""One process alone; tests/jobs/test_processes.py asks two of them the same."""

import torch

from masquerade.engine import gather


def test_one_process_is_the_first_of_one():
    assert (gather.world(), gather.rank()) == (1, 0)


def test_alone_rows_come_back_as_they_are_with_their_gradient():
    rows = torch.arange(6.0).view(3, 2).requires_grad_()
    assert gather.gathered(rows) is rows
    assert torch.equal(gather.own(rows), rows)


def test_alone_everyone_is_one():
    wish = object()
    assert gather.everyone(wish) == [wish]


def test_alone_numbers_keep_their_bits():
    value = torch.tensor(0.1)
    assert gather.averaged({"a": value, "b": torch.tensor(3)}) == {"a": float(value), "b": 3.0}
    assert gather.averaged({}) == {}


def test_a_mean_of_one_value_is_this_value():
    assert gather.mean([0.1]) == 0.1
    assert gather.mean([1.0, 2.0]) == 1.5
