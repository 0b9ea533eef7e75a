"""Multinomial logistic regression with an L2 penalty, solved to the end for several penalties.

What `linear` with `mode=quick` rests on: the problem is convex, so each solution is the best there
is, and a path from strong to weak penalties costs little more than its last one.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from masquerade.evaluate.classifier import Examples

# Tried from strong to weak. Relative to the mean loss of standardised features, so they mean the
# same whatever the number of images and the scale of the features.
PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)


class Solution(NamedTuple):
    """A linear classifier: scores are `features @ weight.T + bias`."""

    weight: Float[Tensor, "C D"]
    bias: Float[Tensor, " C"]


class Solved(NamedTuple):
    """The solution for one penalty."""

    penalty: float
    solution: Solution


def losses(rest: Examples, held: Examples) -> list[tuple[float, float]]:
    """(penalty, mean cross entropy on `held`) for solutions on `rest`.

    From strong to weak, until the loss has grown twice in a row: weaker ones only fit more noise.
    """
    tried: list[tuple[float, float]] = []
    for solved in path(rest, PENALTIES[-1]):
        scores = held.features @ solved.solution.weight.T + solved.solution.bias
        tried.append((solved.penalty, float(cross_entropy(scores, held.labels))))
        last = [loss for _, loss in tried[-3:]]
        if len(last) == 3 and last[0] < last[1] < last[2]:
            break
    return tried


def path(examples: Examples, last: float) -> Iterator[Solved]:
    """The solution for each penalty from the strongest to `last`, each started at the one before.

    Minimises mean cross entropy + penalty / 2 * |weight|^2 over standardised features; the bias
    is free. What comes out applies to features as they are.
    """
    mean = examples.features.mean(dim=0)
    std = examples.features.std(dim=0, correction=0)
    std = torch.where(std > 1e-6 * std.max().clamp(min=1e-30), std, std.new_tensor(torch.inf))
    x = (examples.features - mean) / std
    start = x.new_zeros(len(examples.classes), x.shape[1] + 1)
    for penalty in PENALTIES:
        if penalty < last:
            return
        start = minimised(x, examples.labels, penalty, start)
        weight = start[:, :-1] / std
        yield Solved(penalty, Solution(weight, start[:, -1] - weight @ mean))


def minimised(
    x: Float[Tensor, "N D"],
    labels: Int[Tensor, " N"],
    penalty: float,
    start: Float[Tensor, "C D1"],
) -> Float[Tensor, "C D1"]:
    """Weights, and the bias as last column, where the penalised loss is smallest (L-BFGS)."""
    table = start.clone().requires_grad_()
    solver = torch.optim.LBFGS(
        [table],
        max_iter=200,
        tolerance_grad=1e-5,
        tolerance_change=1e-7,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        solver.zero_grad()
        scores = x @ table[:, :-1].T + table[:, -1]
        total = cross_entropy(scores, labels) + penalty / 2 * table[:, :-1].square().sum()
        total.backward()
        return total

    solver.step(loss)
    return table.detach()
