"""A problem that takes milliseconds: rows of numbers in two classes, a network of 26 weights."""

import torch
from torch.nn.functional import cross_entropy

from masquerade.core.seed import Seed
from masquerade.tickets.base import Differentiable, Judged
from masquerade.tickets.network import Network, Shape


class Toy(Differentiable):
    """Which of two numbers is the larger, from three numbers; it counts what it is asked."""

    def __init__(self, learns=False):
        self.network = Network(Shape(hidden=(4,), activation="tanh"), (3,), 2)
        self.layout = self.network.layout
        self.x = torch.randn(64, 3, generator=Seed(0).generator())
        self.y = (self.x[:, 0] > self.x[:, 1]).long()
        self.learns = learns
        self.asked = 0

    @property
    def examples(self):
        return 64

    def start(self, seed):
        return self.network.start(seed)

    def memory(self):
        return {"seen": torch.zeros(())} if self.learns else {}

    def learned(self, memory, statistics):
        return {"seen": memory["seen"] + statistics.sum()} if self.learns else memory

    def fitness(self, population, seed, memory):
        self.asked += 1
        rows = torch.randperm(64, generator=seed.generator())[:32]
        outputs = self.network.forward(population, self.x[rows])
        loss = torch.stack([cross_entropy(o, self.y[rows]) for o in outputs])
        width = 1 if self.learns else 0
        return Judged(-loss, torch.ones(len(population), width))

    def test(self, population, memory):
        outputs = self.network.forward(population, self.x)
        return (outputs.argmax(dim=2) == self.y).double().mean(dim=1).float()

    def loss(self, weights, rows):
        rows = slice(None) if rows is None else rows
        return cross_entropy(self.network.forward(weights[None], self.x[rows])[0], self.y[rows])
