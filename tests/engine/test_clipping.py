"""Gradients that are shortened before a step of AdamW."""

import torch

from masquerade.engine.optimizers import adamw
from masquerade.engine.task import Group

GRADIENTS = [([3.0, 4.0], [12.0]), ([0.3, 0.4], [1.2]), ([30.0, 40.0], [120.0])]


def stepped(longest, by_hand=0.0):
    """Two weights of different shapes after a step for each of the gradients."""
    weights = [torch.nn.Parameter(torch.ones(1, 2)), torch.nn.Parameter(torch.ones(1))]
    optimizer = adamw.Config(lr=0.1, decay=0.05, longest=longest).over([Group("all", weights)])
    for row, single in GRADIENTS:
        length = torch.tensor([*row, *single]).norm()
        scale = min(1.0, by_hand / float(length)) if by_hand else 1.0
        weights[0].grad, weights[1].grad = scale * torch.tensor([row]), scale * torch.tensor(single)
        optimizer.step()
    return [w.detach() for w in weights]


def test_a_gradient_longer_than_allowed_is_shortened_over_all_weights_together():
    for own, by_hand in zip(stepped(5.0), stepped(0.0, by_hand=5.0), strict=True):
        torch.testing.assert_close(own, by_hand)
    assert not torch.equal(stepped(5.0)[0], stepped(0.0)[0])


def test_nothing_is_shortened_unless_asked_for():
    assert all(torch.equal(a, b) for a, b in zip(stepped(0.0), stepped(1e9), strict=True))
