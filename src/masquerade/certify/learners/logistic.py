"""Multinomial logistic regression by a fixed number of accelerated gradient steps.

Its sums are of rounded numbers: equal bits are promised on one machine with one library, as every
model is fitted alone, on one thread, on rows sorted by content.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from masquerade.certify.learners.base import Examples, HeadConfig, alone
from masquerade.certify.whole import UNIT, rounded


class Config(HeadConfig):
    """Settings of logistic regression.

    Attributes:
        strength: Of the penalty on squared weights, as a multiple of an image's mean squared
            feature.
        iterations: Gradient steps; fixed, as stopping early by any measure would depend on data.
    """

    strength: float = Field(0.1, gt=0)
    iterations: int = Field(100, ge=1)

    def fit(self, examples: Examples, members: Sequence[Int[Tensor, " _"]]) -> Int[Tensor, "C W M"]:
        width = examples.features.shape[1]
        weights = torch.empty(examples.classes, width, len(members), dtype=torch.int32)
        with alone():
            for k, rows in enumerate(members):
                x = examples.features[rows].double() / UNIT
                y = torch.nn.functional.one_hot(examples.labels[rows], examples.classes).double()
                found = rounded(self._descended(x, y).numpy(), width)
                weights[:, :, k] = torch.from_numpy(found).T
        return weights

    def _descended(self, x: Float[Tensor, "m W"], y: Float[Tensor, "m C"]) -> Float[Tensor, "W C"]:
        """Nesterov's steps on the mean cross entropy plus half the penalty."""
        steep = 0.5 * x.square().sum(1).mean() + self.strength  # bounds the second derivative
        at = w = x.new_zeros(x.shape[1], y.shape[1])
        for step in range(self.iterations):
            slope = x.T @ ((x @ at).softmax(1) - y) / len(x) + self.strength * at
            new = at - slope / steep
            at = new + (step / (step + 3)) * (new - w)
            w = new
        return w
