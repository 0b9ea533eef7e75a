"""Bootstrap intervals of means over few runs."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from masquerade.core.seed import Seed

DRAWS = 4000


class Interval(NamedTuple):
    """A mean with its 95 % percentile bootstrap interval; of one run, all three are equal."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float]) -> Interval:
    """The mean of some runs, drawn again with replacement 4,000 times; equal calls agree."""
    x = torch.tensor(list(values), dtype=torch.float64)
    rows = torch.randint(len(x), (DRAWS, len(x)), generator=Seed(0).fold("bootstrap").generator())
    low, high = x[rows].mean(dim=1).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    return Interval(float(x.mean()), float(low), float(high))
