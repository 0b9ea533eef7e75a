import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from masquerade.certify.base import Certificate, curve, identity, ring, robustness, stable


def certified(labels, radii):
    return Certificate(torch.tensor(labels), torch.tensor(radii))


def test_a_curve_counts_right_and_stable_predictions():
    found = certified([0, 1, 1, 2], [3, 0, 1, 9])
    accuracy = curve(found, torch.tensor([0, 1, 1, 0]))  # the last one is wrong, and stays so
    assert accuracy.tolist() == [0.75, 0.5, 0.25, 0.25, 0.0]
    assert curve(found, torch.tensor([0, 1, 1, 0]), budget=2).tolist() == [0.75, 0.5, 0.25]
    assert curve(found, torch.tensor([0, 1, 1, 0]), budget=5).tolist()[4:] == [0.0, 0.0]


def test_a_curve_of_nothing_but_mistakes_is_zero():
    assert curve(certified([0, 0], [4, 5]), torch.tensor([1, 1])).tolist() == [0.0]
    with pytest.raises(ValueError, match="no test image"):
        curve(Certificate(torch.empty(0).long(), torch.empty(0).long()), torch.empty(0).long())


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(0, 2)), min_size=1))
def test_a_curve_never_rises_and_is_the_mean_it_says(rows):
    labels, radii, truth = (torch.tensor(column) for column in zip(*rows, strict=True))
    accuracy = curve(Certificate(labels, radii), truth)
    assert (accuracy.diff() <= 0).all()
    for budget, share in enumerate(accuracy.tolist()):
        assert share == pytest.approx(((labels == truth) & (radii >= budget)).double().mean())
    assert accuracy[-1] == 0
    assert stable(Certificate(labels, radii), 4).tolist() == (radii >= 4).tolist()


def test_robustness_is_the_largest_budget_not_the_number_of_budgets():
    accuracy = torch.tensor([0.7, 0.6, 0.5, 0.49])
    assert robustness(accuracy) == 2  # the official scripts print 3
    assert robustness(torch.tensor([0.4, 0.1])) == -1


def test_reaches_by_hand():
    assert identity(3).tolist() == [[0], [1], [2]]
    assert ring(4, torch.tensor([1, 3])).tolist() == [[1, 3], [2, 0], [3, 1], [0, 2]]
