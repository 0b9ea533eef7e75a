"""Laws that every attack keeps, whatever it is called."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from masquerade.attacks import apgd, pgd
from masquerade.attacks.base import AttackConfig
from masquerade.attacks.budget import Budget
from masquerade.attacks.measures import against
from masquerade.core import plugins
from masquerade.core.seed import Seed

CONFIGS = [pgd.Config(steps=5), pgd.Config(steps=3, start="clean"), apgd.Config(steps=10)]
every = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.kind}{c.steps}")
norms = pytest.mark.parametrize("norm", ["linf", "l2"])


def network(classes=4, side=6):
    """A fixed small network, and images in [0, 1] on and off its boundaries."""
    stream = Seed(0).fold("network").generator()
    inner = torch.randn(3 * side * side, 16, generator=stream) / 5
    outer = torch.randn(16, classes, generator=stream)
    images = torch.rand(7, 3, side, side, generator=stream)
    images[0], images[1] = 0, 1
    net = lambda x: torch.tanh(x.flatten(1) @ inner.to(x)) @ outer.to(x)  # noqa: E731
    return net, images, net(images).argmax(1)


def lengths(change, norm):
    flat = change.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)


def test_the_family_holds_the_attacks_that_are_tested():
    assert {c.kind for c in CONFIGS} == set(plugins.names(AttackConfig.family))


@every
@norms
@settings(max_examples=20, deadline=None)
@given(epsilon=st.floats(0, 3), seed=st.integers(0, 9))
def test_no_image_leaves_the_ball_or_the_range(config, norm, epsilon, seed):
    net, images, labels = network()
    loss = against(net, labels, "ce")
    found = config.build(Budget(norm, epsilon)).perturb(images, loss, Seed(seed))
    assert lengths(found - images, norm).max() <= epsilon * (1 + 1e-5) + 1e-7
    assert found.min() >= 0 and found.max() <= 1


@every
@norms
def test_a_budget_of_nothing_changes_no_bit(config, norm):
    net, images, labels = network()
    found = config.build(Budget(norm, 0.0)).perturb(images, against(net, labels, "ce"), Seed(0))
    assert torch.equal(found, images)


@every
@norms
def test_an_attack_raises_the_loss(config, norm):
    net, images, labels = network()
    loss = against(net, labels, "ce")
    epsilon = 0.05 if norm == "linf" else 0.4
    found = config.build(Budget(norm, epsilon)).perturb(images, loss, Seed(0))
    assert (loss(found) > loss(images)).all()


@every
@norms
def test_what_may_not_change_does_not(config, norm):
    net, images, labels = network()
    where = torch.zeros(7, 1, 6, 6)
    where[:, :, :3] = 1
    attack = config.build(Budget(norm, 0.5))
    found = attack.perturb(images, against(net, labels, "ce"), Seed(0), where)
    assert torch.equal(found[:, :, 3:], images[:, :, 3:])
    assert (found[:, :, :3] != images[:, :, :3]).any()
    assert lengths(found - images, norm).max() <= 0.5 * (1 + 1e-5)


@every
def test_each_image_is_attacked_as_if_it_were_alone(config):
    net, images, labels = network()
    attack = config.build(Budget("linf", 0.1))
    together = attack.perturb(images, against(net, labels, "ce"), Seed(0))
    weights = torch.tensor([1.0, 50, 1e-3, 1, 1, 1, 1])  # other losses of the neighbours
    uneven = against(net, labels, "ce")
    scaled = attack.perturb(images, lambda x: weights * uneven(x), Seed(0))
    torch.testing.assert_close(scaled, together)


@every
def test_no_gradient_is_left_behind_and_nothing_given_is_changed(config):
    layer = torch.nn.Linear(12, 3)
    images = torch.rand(5, 3, 2, 2, generator=Seed(1).generator())
    before, labels = images.clone(), torch.zeros(5, dtype=torch.int64)
    loss = against(lambda x: layer(x.flatten(1)), labels, "ce")
    with torch.no_grad():  # protocols run without gradients
        found = config.build(Budget("l2", 0.3)).perturb(images, loss, Seed(0))
    assert layer.weight.grad is None and layer.bias.grad is None
    assert torch.equal(images, before) and not images.requires_grad and not found.requires_grad


@every
def test_equal_seeds_give_equal_bits_and_others_do_not(config):
    net, images, labels = network()
    attack, loss = config.build(Budget("linf", 0.1)), against(net, labels, "ce")
    first, again, other = (attack.perturb(images, loss, Seed(s)) for s in (3, 3, 4))
    assert torch.equal(first, again)
    drawn = not (isinstance(config, pgd.Config) and config.start == "clean")
    assert torch.equal(first, other) == (not drawn)


@every
def test_a_loss_of_the_whole_batch_is_refused(config):
    images = torch.rand(5, 3, 2, 2)
    with pytest.raises(ValueError, match=r"one loss per image, \[5\], got \[\]"):
        config.build(Budget("linf", 0.1)).perturb(images, lambda x: x.sum(), Seed(0))


@pytest.mark.parametrize("budget", [Budget("linf", -0.1), Budget("l2", math.nan)])
def test_a_budget_that_is_none_is_refused(budget):
    with pytest.raises(ValueError, match="at least 0 where white is 1"):
        pgd.Config().build(budget)


@norms
def test_starts_fill_the_ball_evenly(norm):
    images = torch.zeros(4000, 1, 1, 2)
    found = lengths(Budget(norm, 0.5).start(images, Seed(0)), norm)
    for share in (0.25, 0.5, 0.75, 0.95):  # in two dimensions a ball's content grows as the square
        assert (found < 0.5 * share).double().mean() == pytest.approx(share**2, abs=0.025)
