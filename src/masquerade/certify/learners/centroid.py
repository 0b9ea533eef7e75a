"""Nearest class mean: an image gets the class whose mean, over the model's images, is nearest.

Means are rounded to whole numbers; from there on all is exact.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from masquerade.certify.learners.base import Examples, HeadConfig, counts
from masquerade.certify.whole import UNIT, rounded


class Config(HeadConfig):
    """Settings of the nearest class mean; there is nothing to choose."""

    portable = True

    def fit(self, examples: Examples, members: Sequence[Int[Tensor, " _"]]) -> Int[Tensor, "C W M"]:
        width = examples.features.shape[1]
        weights = torch.empty(examples.classes, width, len(members), dtype=torch.int32)
        sizes = counts(examples, members).clamp(min=1).numpy()
        for k, (rows, size) in enumerate(zip(members, sizes, strict=True)):
            y = torch.nn.functional.one_hot(examples.labels[rows], examples.classes).double()
            sums = (y.T @ examples.features[rows].double()).numpy()
            means = np.rint(sums / size[:, None])
            # |x - m|^2 less the part that all classes share: 2 x.m - m.m, per squared UNIT and
            # column, so that weights are small; the constant column of x carries m.m.
            means[:, -1] = 0
            linear = 2 * means / (UNIT * (width - 1))
            constant = -(means * means).sum(1) / (UNIT * UNIT * (width - 1))
            linear[:, -1] = constant
            weights[:, :, k] = torch.from_numpy(rounded(linear, width))
        return weights
