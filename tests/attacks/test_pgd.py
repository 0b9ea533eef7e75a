"""PGD against its formula, against foolbox, and where the answer is known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from masquerade.attacks import pgd
from masquerade.attacks.budget import Budget
from masquerade.attacks.measures import against, margin
from masquerade.core.seed import Seed

ROBUST = Path(__file__).parents[1] / "oracles" / "attacks" / "robust.npz"


@pytest.fixture(scope="module")
def stored():
    with np.load(ROBUST) as found:
        return dict(found)


def loaded(stored):
    """The stored network with the images and labels it was attacked on."""
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10)
    )
    net.load_state_dict({n[2:]: torch.from_numpy(a) for n, a in stored.items() if n[:2] == "w/"})
    images = torch.from_numpy(stored["images"]).float()[:, None] / 16
    return net, images, torch.from_numpy(stored["labels"])


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("steps", [1, 5, 20])
def test_the_same_images_stay_robust_as_in_foolbox_to_the_last_one(stored, norm, steps):
    net, images, labels = loaded(stored)
    attacked = 0
    for epsilon, robust in zip(stored[f"{norm}_epsilon"], stored[f"{norm}_{steps}"], strict=True):
        attack = pgd.Config(steps=steps, start="clean").build(Budget(norm, float(epsilon)))
        found = attack.perturb(images, against(net, labels, "ce"), Seed(0))
        right = (net(found).argmax(1) == labels).numpy()
        assert (right == robust).all(), (epsilon, int(right.sum()), int(robust.sum()))
        attacked += int((~robust).sum())
    assert attacked > 300


def test_steps_are_those_of_the_formula():
    stream = Seed(0).generator()
    images = torch.rand(4, 1, 2, 3, generator=stream, dtype=torch.float64)
    curve = torch.rand(6, generator=stream, dtype=torch.float64) * 4
    loss = lambda x: (torch.sin(x.flatten(1) * curve)).sum(1)  # noqa: E731
    epsilon, steps, stride = 0.2, 3, 1.7
    want_linf, want_l2 = images.clone(), images.clone()
    for _ in range(steps):
        for row in range(4):
            for column in range(6):
                x, start = want_linf.view(4, 6), images.view(4, 6)
                slope = curve[column] * torch.cos(x[row, column] * curve[column])
                moved = x[row, column] + stride * epsilon / steps * torch.sign(slope)
                low, high = start[row, column] - epsilon, start[row, column] + epsilon
                x[row, column] = float(moved.clamp(low, high).clamp(0, 1))
            x, start = want_l2.view(4, 6)[row], images.view(4, 6)[row]
            slope = curve * torch.cos(x * curve)
            change = x + stride * epsilon / steps * slope / slope.norm() - start
            x.copy_((start + change * min(1, epsilon / change.norm())).clamp(0, 1))
    config = pgd.Config(steps=steps, stride=stride, start="clean")
    for budget, want in ((Budget("linf", epsilon), want_linf), (Budget("l2", epsilon), want_l2)):
        found = config.build(budget).perturb(images, loss, Seed(0))
        torch.testing.assert_close(found, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_a_linear_classifier_falls_exactly_at_its_distance_from_the_boundary(norm, dual):
    stream = Seed(0).generator()
    weight = torch.randn(2, 12, generator=stream)
    images = 0.4 + 0.2 * torch.rand(20, 3, 2, 2, generator=stream)  # far from 0 and 1
    net = lambda x: (x.flatten(1) - 0.5) @ weight.T  # noqa: E731
    labels = net(images).argmax(1)
    distance = -margin(net(images), labels) / (weight[0] - weight[1]).norm(p=dual)
    assert distance.max() < 0.39
    for factor, falls in ((0.99, False), (1.01, True)):
        for row in range(20):
            image, label = images[row : row + 1], labels[row : row + 1]
            budget = Budget(norm, factor * float(distance[row]))
            attack = pgd.Config(steps=40, stride=10).build(budget)
            found = attack.perturb(image, against(net, label, "margin"), Seed(row))
            assert bool(net(found).argmax(1) != label) == falls


def test_tiny_gradients_still_give_whole_steps():
    images = torch.full((2, 1, 2, 2), 0.5)
    loss = lambda x: 1e-30 * x.flatten(1).sum(1)  # noqa: E731
    for budget in (Budget("linf", 0.1), Budget("l2", 0.2)):
        config = pgd.Config(steps=1, stride=1.0, start="clean")
        found = config.build(budget).perturb(images, loss, Seed(0))
        torch.testing.assert_close(found, images + 0.1)
