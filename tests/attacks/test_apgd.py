"""APGD against the algorithm as the paper prints it."""

import math

import pytest
import torch

from masquerade.attacks import apgd
from masquerade.attacks.budget import Budget
from masquerade.attacks.measures import against
from masquerade.core.seed import Seed


def wavy(side=4, count=5):
    """A loss with many hills, one formula per image, and its gradient, in float64."""
    stream = Seed(0).fold("wavy").generator()
    slope = 9 * torch.randn(count, side * side, generator=stream, dtype=torch.float64)
    images = torch.rand(count, 1, side, side, generator=stream, dtype=torch.float64)

    def loss(x):
        phases = x.flatten(1) * slope
        return torch.sin(phases).mean(1) + torch.cos(phases.sum(1))

    return loss, images


def printed(x0, start, f, epsilon, steps, project, direction):
    """Algorithm 1 for one image: x, eta, W and the two conditions, without any batch."""
    p = [0.0, 0.22]
    while p[-1] + max(p[-1] - p[-2] - 0.03, 0.06) <= 1:
        p.append(p[-1] + max(p[-1] - p[-2] - 0.03, 0.06))
    w = [math.ceil(round(share * steps, 9)) for share in p]

    def slope(x):
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(f(leaf), leaf)[0]

    rises = []
    eta = [2 * epsilon]  # eta[i] led to x[i]
    ahead = 2 * epsilon
    xs, heights, best = [start], [f(start)], start
    for k in range(steps):
        eta.append(ahead)
        z = project(xs[k] + ahead * direction(slope(xs[k])), x0)
        old = xs[k - 1] if k else None
        moved = z if old is None else project(xs[k] + 0.75 * (z - xs[k]) + 0.25 * (xs[k] - old), x0)
        rises.append(bool(f(moved) > f(xs[k])))
        xs.append(moved)
        if f(moved) > f(best):
            best = moved
        heights.append(f(best))
        if k + 1 in w:
            since = w[w.index(k + 1) - 1]
            few = sum(rises[since : k + 1]) < 0.75 * (k + 1 - since)
            same = eta[since] == eta[k + 1] and heights[since] == heights[k + 1]
            if few or same:
                ahead, xs[k + 1] = ahead / 2, best
    return best, heights


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("steps", [1, 7, 40])
def test_every_step_is_that_of_the_printed_algorithm(norm, steps):
    loss, images = wavy()
    epsilon = 0.3 if norm == "linf" else 0.9
    budget = Budget(norm, epsilon)

    def project(x, x0):
        change = x - x0
        if norm == "linf":
            return (x0 + change.clamp(-epsilon, epsilon)).clamp(0, 1)
        return (x0 + change * min(1, epsilon / max(float(change.norm()), 1e-300))).clamp(0, 1)

    def direction(gradient):
        return gradient.sign() if norm == "linf" else gradient / gradient.norm()

    attack = apgd.Config(steps=steps).build(budget)
    trace = list(attack.ascent(images, loss, Seed(5)))
    start = budget.within(images + budget.start(images, Seed(5)), images)
    for row in range(len(images)):

        def alone(x, row=row):
            whole = images.clone()
            whole = torch.cat([whole[:row], x, whole[row + 1 :]])
            return loss(whole)[row]

        one = slice(row, row + 1)
        best, heights = printed(images[one], start[one], alone, epsilon, steps, project, direction)
        torch.testing.assert_close(trace[-1].images[one], best, rtol=0, atol=1e-6)
        seen = torch.stack([point.loss[row] for point in trace])
        torch.testing.assert_close(seen, torch.stack(heights).detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_best_never_falls_and_is_what_comes_out(norm):
    loss, images = wavy()
    attack = apgd.Config(steps=30).build(Budget(norm, 0.5))
    heights = torch.stack([point.loss for point in attack.ascent(images, loss, Seed(0))])
    assert len(heights) == 31
    assert (heights.diff(dim=0) >= 0).all()
    assert (heights[-1] > heights[0]).all()
    torch.testing.assert_close(loss(attack.perturb(images, loss, Seed(0))), heights[-1])


def test_checkpoints_are_those_of_the_paper():
    assert sorted(apgd.checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]


def test_steps_shrink_where_the_loss_oscillates():
    """On a narrow ridge steps of 2 epsilon jump over the top; halving finds it."""
    images = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
    top = 0.5123
    loss = lambda x: -((x.flatten(1).sum(1) - top).abs())  # noqa: E731
    found = apgd.Config(steps=100).build(Budget("linf", 0.25)).perturb(images, loss, Seed(0))
    assert float((found - top).abs()) < 0.01


def test_dlr_finds_what_a_saturated_softmax_hides():
    stream = Seed(0).generator()
    weight = torch.randn(12, 3, generator=stream)
    images = torch.rand(16, 3, 2, 2, generator=stream)
    plain = lambda x: x.flatten(1) @ weight  # noqa: E731
    labels = plain(images).argmax(1)
    steep = lambda x: 1e6 * plain(x)  # noqa: E731  (its cross entropy is 0 or beyond float32)
    attack = apgd.Config(steps=20).build(Budget("linf", 0.15))
    ce = attack.perturb(images, against(steep, labels, "ce"), Seed(0))
    dlr = attack.perturb(images, against(steep, labels, "dlr"), Seed(0))
    right = [(plain(x).argmax(1) == labels).sum() for x in (ce, dlr)]
    assert right[1] < right[0]
