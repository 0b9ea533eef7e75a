"""A masker against a tiny encoder on shapes drawn here: whole runs in seconds on one core.

The toy of papers/adversarial_masking.md, section 7.2: shapes at 32 pixels, NT-Xent, Adam; the
mean over copies against the price, both players in one backward.
"""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from masquerade.core.seed import Seed
from masquerade.engine.task import Progress
from masquerade.maskers.base import MaskerConfig
from masquerade.maskers.sizes import shares

SIDE = 32


def shapes(seed, count=24):
    """Two views of `count` discs and squares on gradients, each jittered in place and colour."""
    g = seed.generator()

    def uniform(*shape):
        return torch.rand(*shape, 1, 1, generator=g) * 2 - 1

    y, x = torch.meshgrid(*[torch.linspace(-1, 1, SIDE)] * 2, indexing="ij")
    place, colour, ground, tilt = (uniform(count, n) for n in (2, 3, 3, 2))
    square, radius = uniform(count, 1) > 0, 0.45 + 0.15 * uniform(count, 1)
    views = []
    for _ in range(2):
        at = 0.5 * place + 0.1 * uniform(count, 2)
        dx, dy = (x - at[:, :1]).abs(), (y - at[:, 1:]).abs()
        far = torch.where(square, torch.maximum(dx, dy), (dx.square() + dy.square()).sqrt())
        slope = 0.5 * (tilt[:, :1] * x + tilt[:, 1:] * y)
        image = torch.where(far < radius, 1.5 * colour, ground + slope)
        views.append(image + 0.2 * uniform(count, 3) + 0.1 * torch.randn(image.shape, generator=g))
    return views


def ntxent(a, b, temperature=0.2):
    both = F.normalize(torch.cat([a, b]), dim=1)
    logits = (both @ both.T / temperature).fill_diagonal_(-math.inf)
    return F.cross_entropy(logits, torch.arange(len(both)).roll(len(a)))


def encoder():
    def level(c, d):
        return nn.Sequential(nn.Conv2d(c, d, 3, 2, 1), nn.BatchNorm2d(d), nn.ReLU())

    body = [level(3, 16), level(16, 32), level(32, 64)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 32))


def train(tree: dict[str, Any], steps: int, seed: int = 0) -> torch.Tensor:
    """The mean size of each mask in each step, [steps, N]."""
    torch.manual_seed(seed)
    masker = MaskerConfig.parse(tree).build(SIDE, 3)
    net = encoder()
    rates = ((net, 1e-3), (masker, 3e-3))
    optimizers = [torch.optim.Adam(m.parameters(), lr=lr) for m, lr in rates]
    sizes = []
    for step in range(steps):
        here = Seed(seed).fold("step", step)
        clean, view = shapes(here.fold("images"))
        masks = masker.propose(view, here)
        leaf = masks.detach().requires_grad_()
        copies = masker.occlude(view, leaf, here.fold("round"))
        key = net(clean)
        loss = sum((ntxent(key, net(c.images)) for c in copies), torch.zeros(())) / len(copies)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        now = Progress(step, steps, steps)
        paid = masker.price([masks], [view], now)
        assert leaf.grad is not None
        (paid - (masks * leaf.grad).sum()).backward()  # up the loss, down the price
        for optimizer in optimizers:
            optimizer.step()
        masker.after_step(now)
        sizes.append(shares(masks.detach()).mean(0))
    return torch.stack(sizes)
