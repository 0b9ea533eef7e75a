"""Ridge regression on one-hot labels, in closed form from exact sums.

Of m images and W features the smaller system is solved: W x W from the sums of products of
features, or m x m from products of images, as many models at once as have the same size.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from masquerade.certify.learners.base import Examples, HeadConfig, alone
from masquerade.certify.whole import UNIT, rounded

BATCH = 1 << 23  # numbers of the systems that are solved at once
DUAL = 20  # bits after the point of an image's coefficient: exact in sums over 6,000 images
ALIGN = 8  # float64 numbers in a cache line: systems are padded to a multiple of it


class Config(HeadConfig):
    """Settings of ridge regression.

    Attributes:
        strength: Of the penalty on squared weights, as a multiple of an image's squared length.
            The default did well on Fashion-MNIST from 50 to 1,200 images per model; more of it
            makes models agree more and know less.
    """

    strength: float = Field(0.1, gt=0)

    def fit(self, examples: Examples, members: Sequence[Int[Tensor, " _"]]) -> Int[Tensor, "C W M"]:
        width = examples.features.shape[1]
        weights = torch.empty(examples.classes, width, len(members), dtype=torch.int32)
        sizes = np.array([padded(min(len(m), width)) for m in members])
        with alone():
            for size in np.unique(sizes).tolist():
                alike = np.flatnonzero(sizes == size)
                step = max(1, BATCH // (size * (size + width)))
                for start in range(0, len(alike), step):
                    some = alike[start : start + step].tolist()
                    found = self._solved(examples, [members[i] for i in some], size)
                    weights[:, :, some] = found.permute(2, 1, 0)
        return weights

    def penalty(self, width: int) -> float:
        """What is added to the diagonal, a whole number."""
        return float(round(self.strength * (width - 1) * UNIT**2))

    def _solved(
        self, examples: Examples, members: list[Int[Tensor, " _"]], size: int
    ) -> Int[Tensor, "M W C"]:
        """Heads whose systems have one size; each is padded with an identity to that size."""
        width, classes = examples.features.shape[1], examples.classes
        penalty = self.penalty(width)
        systems = torch.zeros(len(members), size, size, dtype=torch.float64)
        right = torch.zeros(len(members), size, classes, dtype=torch.float64)
        for system, side, rows in zip(systems, right, members, strict=True):
            x = examples.features[rows].double()
            y = torch.nn.functional.one_hot(examples.labels[rows], classes).double()
            n = min(len(rows), width)
            dual = len(rows) <= width
            system[:n, :n] = x @ x.T if dual else x.T @ x  # exact
            side[:n] = y if dual else x.T @ y  # exact
            system.diagonal()[:n] += penalty
            system.diagonal()[n:] = penalty
        answers = torch.cholesky_solve(right, torch.linalg.cholesky(systems))
        out = np.empty((len(members), width, classes), np.int32)
        for place, answer, rows in zip(out, answers, members, strict=True):
            if len(rows) <= width:
                answer = recombined(examples.features[rows], answer[: len(rows)], penalty)
            place[:] = rounded(answer[:width].numpy() * UNIT, width)
        return torch.from_numpy(out)


def recombined(
    x: Int[Tensor, "m W"], answer: Float[Tensor, "m C"], penalty: float
) -> Float[Tensor, "W C"]:
    """Weights from the coefficients of images, which are rounded first so that the sum is exact."""
    grid = 1 << DUAL
    coefficients = (answer * (penalty * grid)).round()
    return (x.double().T @ coefficients) / (penalty * grid)


def padded(size: int) -> int:
    """The next multiple of a cache line: every system of a batch then lies alike in memory."""
    return -(-size // ALIGN) * ALIGN
