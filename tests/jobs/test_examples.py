import torch

from masquerade.certify.base import Certificate
from masquerade.jobs.examples import chosen


def test_examples_go_from_the_most_to_the_least_robust_and_end_with_the_worst_mistake():
    radius = torch.tensor([3, 9, 9, 0, 5, 8, 2, 7])
    label = torch.tensor([0, 0, 0, 0, 0, 1, 1, 0])
    rows = chosen(Certificate(label, radius), torch.zeros(8).long())
    assert rows.tolist() == [1, 7, 4, 0, 3, 5]


def test_nothing_but_mistakes_or_nothing_but_hits_can_be_shown():
    radius = torch.tensor([4, 6])
    wrong = chosen(Certificate(torch.tensor([1, 1]), radius), torch.zeros(2).long())
    assert wrong.tolist() == [1]
    right = chosen(Certificate(torch.tensor([0, 0]), radius), torch.zeros(2).long())
    assert right.tolist() == [1, 0]
