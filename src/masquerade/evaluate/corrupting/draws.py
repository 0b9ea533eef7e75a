"""The random numbers of a corrupted batch: every image has its own stream.

So an image is corrupted alike whatever batch it is in, on any machine.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from masquerade.core.seed import Seed

Number = int | float  # a strength as the tables have it: 2 stands for 2.0


class Draws:
    """Streams of B images; every call takes the next numbers of each."""

    def __init__(self, seed: Seed, first: int, count: int) -> None:
        """Opens the streams of images `first` to `first + count - 1` of a set."""
        self.streams = [seed.fold(first + k).generator() for k in range(count)]

    def uniform(self, *shape: int) -> Float[Tensor, "B *S"]:
        """Float64 numbers from [0, 1)."""
        drawn = [torch.rand(shape, generator=s, dtype=torch.float64) for s in self.streams]
        return torch.stack(drawn)

    def normal(self, *shape: int) -> Float[Tensor, "B *S"]:
        """Float64 numbers of mean 0 and deviation 1."""
        drawn = [torch.randn(shape, generator=s, dtype=torch.float64) for s in self.streams]
        return torch.stack(drawn)

    def poisson(self, rates: Float[Tensor, "B *S"]) -> Float[Tensor, "B *S"]:
        """Counts of these means."""
        drawn = [torch.poisson(r, s) for r, s in zip(rates, self.streams, strict=True)]
        return torch.stack(drawn)

    def whole(self, low: int, high: int, *shape: int) -> Float[Tensor, "B *S"]:
        """Whole numbers from `low` to `high`, both included."""
        return (low + self.uniform(*shape) * (high - low + 1)).floor()
