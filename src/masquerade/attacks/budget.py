"""Budgets: how far an attack may move an image in [0, 1], and the geometry of that ball.

L-infinity bounds every value, L2 the Euclidean length of the whole change of an image.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from masquerade.core.seed import Seed

Norm = Literal["linf", "l2"]


class Budget(NamedTuple):
    """A ball about each image.

    Attributes:
        norm: How a change is measured.
        epsilon: The largest change, where white is 1; at least 0.
    """

    norm: Norm
    epsilon: float

    def checked(self) -> "Budget":
        """The same; raises `ValueError` where it is none."""
        if self.norm not in ("linf", "l2") or not 0 <= self.epsilon < float("inf"):
            raise ValueError(
                "a budget is a norm, linf or l2, and a number of at least 0 where white is 1, "
                f"got {self.norm!r} and {self.epsilon}"
            )
        return self

    def start(self, images: Float[Tensor, "B C H W"], seed: Seed) -> Float[Tensor, "B C H W"]:
        """A change for each image, uniform in the ball."""
        shape, stream = images.shape, seed.fold("start").generator()
        if self.norm == "linf":
            drawn = (2 * torch.rand(shape, generator=stream) - 1) * self.epsilon
            return drawn.to(images)
        drawn = torch.randn(shape, generator=stream)
        radius = torch.rand(len(images), 1, 1, 1, generator=stream) ** (1 / drawn[0].numel())
        return (drawn / length(drawn) * radius * self.epsilon).to(images)

    def ascent(self, gradient: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """The change of length 1 that a linear loss rises by most; 0 where the gradient is 0."""
        if self.norm == "linf":
            return gradient.sign()
        # In units of the largest entry: squares of tiny gradients would vanish.
        largest = gradient.abs().amax(dim=(1, 2, 3), keepdim=True)
        scaled = gradient / largest.where(largest > 0, 1)
        size = length(scaled)
        return scaled / size.where(size > 0, 1)

    def within(
        self, changed: Float[Tensor, "B C H W"], images: Float[Tensor, "B C H W"]
    ) -> Float[Tensor, "B C H W"]:
        """The nearest images in the ball about `images`, then those in [0, 1], which are nearer."""
        if self.norm == "linf":
            near = changed.clamp(images - self.epsilon, images + self.epsilon)
        else:
            change = changed - images
            size = length(change)
            near = torch.where(
                size > self.epsilon, images + change * (self.epsilon / size), changed
            )
        return near.clamp(0, 1)


def length(change: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1 1 1"]:
    """The Euclidean length of each image's change."""
    found: Tensor = torch.linalg.vector_norm(change, dim=(1, 2, 3), keepdim=True)
    return found
