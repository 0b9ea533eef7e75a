"""Logistic regression with an L1 penalty: the convex way to a sparse head, to compare with."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

# Inverse penalties, summed over examples as in scikit-learn's C.
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


def l1_path(
    rows: Float[Tensor, "B D"], labels: Int[Tensor, " B"], classes: int
) -> Iterator[tuple[Float[Tensor, "D C"], Float[Tensor, " C"]]]:
    """Kernel and bias at every strength, from sparse to dense."""
    for strength in STRENGTHS:
        yield l1_regression(rows, labels, classes, 1 / (strength * len(rows)))


def l1_regression(
    rows: Float[Tensor, "B D"],
    labels: Int[Tensor, " B"],
    classes: int,
    penalty: float,
    steps: int = 500,
) -> tuple[Float[Tensor, "D C"], Float[Tensor, " C"]]:
    """Kernel and bias where mean cross entropy + penalty * sum |kernel| is smallest.

    By accelerated proximal gradients (FISTA: Beck and Teboulle, 2009), so that zeros are exact.
    """
    x, target = rows, one_hot(labels, classes).to(rows)
    count = len(x)
    lipschitz = float(torch.linalg.matrix_norm(x, 2)) ** 2 / (2 * count) + 0.5
    kernel, bias = x.new_zeros(x.shape[1], classes), x.new_zeros(classes)
    ahead, ahead_bias, pace = kernel, bias, 1.0
    for _ in range(steps):
        wrong = ((x @ ahead + ahead_bias).softmax(dim=1) - target) / count
        moved = ahead - x.T @ wrong / lipschitz
        new = moved.sign() * (moved.abs() - penalty / lipschitz).clamp_min(0)
        new_bias = ahead_bias - wrong.sum(dim=0) / lipschitz
        following = (1 + (1 + 4 * pace**2) ** 0.5) / 2
        push = (pace - 1) / following
        ahead, ahead_bias = new + push * (new - kernel), new_bias + push * (new_bias - bias)
        kernel, bias, pace = new, new_bias, following
    return kernel, bias
