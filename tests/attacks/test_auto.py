"""AutoAttack, where its package is installed; else that it is said how to get it."""

from importlib.util import find_spec

import pytest
import torch

from masquerade.attacks import auto, pgd
from masquerade.attacks.budget import Budget
from masquerade.attacks.measures import against
from masquerade.core.errors import MasqueradeError
from masquerade.core.seed import Seed

there = find_spec("pyautoattack") is not None


def linear(classes):
    stream = Seed(0).generator()
    weight = torch.randn(108, classes, generator=stream)
    images = torch.rand(12, 3, 6, 6, generator=stream)
    net = lambda x: x.flatten(1) @ weight  # noqa: E731
    return net, images, net(images).argmax(1)


@pytest.mark.skipif(there, reason="pyautoattack is installed")
def test_a_missing_package_is_named_with_the_way_to_get_it():
    net, images, labels = linear(5)
    with pytest.raises(MasqueradeError, match=r"pip install masquerade\[robust\]"):
        auto.attacked(net, images, labels, Budget("linf", 0.1), Seed(0))


@pytest.mark.skipif(not there, reason="needs the extra robust")
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_stays_in_the_ball_and_is_at_least_as_strong_as_pgd(norm):
    net, images, labels = linear(5)
    budget = Budget(norm, 0.01 if norm == "linf" else 0.12)
    state = torch.get_rng_state()
    found = auto.attacked(net, images, labels, budget, Seed(0))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found, auto.attacked(net, images, labels, budget, Seed(0)))
    change = (found - images).flatten(1)
    size = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
    assert size.max() <= budget.epsilon * 1.001
    weaker = pgd.Config().build(budget).perturb(images, against(net, labels, "margin"), Seed(0))
    left, more = ((net(x).argmax(1) == labels).sum() for x in (found, weaker))
    assert 0 < left <= more < 12


@pytest.mark.skipif(not there, reason="needs the extra robust")
def test_three_classes_are_too_few_for_it():
    net, images, labels = linear(3)
    with pytest.raises(ValueError, match="at least 4 classes, got 3"):
        auto.attacked(net, images, labels, Budget("linf", 0.1), Seed(0))
