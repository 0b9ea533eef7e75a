"""What a mask pays for its size: a barrier, an entropy, a budget, and weights that hold a budget.

"Adversarial Masking for Self-Supervised Learning", Shi et al., 2022.
https://arxiv.org/abs/2201.13100, and its official code; papers/adversarial_masking.md, sections
5 and 15.2. A size is the share of the image that a mask hides, 0 to 1.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from masquerade.core.types import precise
from masquerade.engine import gather

Reduction = Literal["mean", "sum"]
Normaliser = Literal["softmax", "share"]

EDGE = 1e-3  # sizes nearer than this to 0 or 1 count as at the edge
TINY = 1e-10  # as in the official code; moves csc by less than 1e-7 of its value

# Chosen on the loop of tests/maskers/toy.py: sizes come within 0.02 in 20 to 45 steps, and their
# means over 40 steps stay there.
RATE = 50.0
TOLERANCE = 0.005
CEILING = 1000.0


def shares(masks: Float[Tensor, "B N H W"]) -> Float[Tensor, "B N"]:
    """The size of each mask, in float32 or better."""
    return precise(masks).mean((2, 3))


def csc(sizes: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """1 / sin(pi s) of each size: 1 at one half, about 318 where one pixel in a thousand is left.

    From there to the edge it goes on as a straight line, to about 637 at 0 and at 1, so that a
    mask that hides nothing or everything is still pushed back. In float32 or better.

    Note: the official code divides by sin(pi s) everywhere. At s = 1 that is -1e7 in float32: a
    reward for hiding everything. Between 0.001 and 0.999 both agree.
    """
    sizes = precise(sizes)
    near = 0.5 - (sizes - 0.5).abs()  # to the nearer edge; exact in floating point, unlike pi s
    inside = near.clamp(min=EDGE)
    sine = torch.sin(torch.pi * inside) + TINY
    edge = torch.tensor(torch.pi * EDGE, dtype=torch.float64)
    slope = float(torch.pi * edge.cos() / (edge.sin() + TINY).square())
    return 1 / sine + slope * (EDGE - near).relu()


def entropy(
    sizes: Float[Tensor, "B N"], reduction: Reduction = "mean", normaliser: Normaliser = "softmax"
) -> Float[Tensor, ""]:
    """The entropy of each image's sizes, 0 to ln N nats; what an adversary pays for EQUAL sizes.

    Args:
        sizes: Of all masks of an image; of both its views, where both are masked.
        reduction: Over the images of all processes.
        normaliser: What makes the sizes a distribution: `softmax`, after which all sizes are
            nearly equal, or `share`, their part of the sum.

    Note: the official code takes softmax and sum, so the term grows with the batch while the
    barrier, a mean, does not. At its released weights the equal split of 4 masks is no longer
    stable from a batch of 217 on.
    """
    sizes = precise(sizes)
    if normaliser == "softmax":
        log = sizes.log_softmax(1)
    else:
        held = sizes.clamp(min=EDGE)
        log = held.log() - held.sum(1, keepdim=True).log()
    each = -(log.exp() * log).sum(1)
    return each.mean() if reduction == "mean" else each.sum() * gather.world()


def off_budget(sizes: Float[Tensor, "*S"], budget: float) -> Float[Tensor, "*S"]:
    """The squared distance of each size to a budget."""
    return (precise(sizes) - budget).square()


class Held(nn.Module):
    """A budget with one weight per mask, raised while its mean size is off and lowered while on.

    Dual control: after each step, weight += rate * (|mean size - budget| - tolerance), between
    0 and the ceiling. The mean is over the images and views of all processes. The weights are a
    buffer, so that a resumed run goes on with them.

    Args:
        masks: How many.
        budget: The size each of them ought to have on average.
        start: Their first weight.
        rate: How fast weights move.
        tolerance: Distances below it lower the weight.
        ceiling: The largest weight.
    """

    weights: Tensor

    def __init__(
        self,
        masks: int,
        budget: float,
        start: float = 1.0,
        rate: float = RATE,
        tolerance: float = TOLERANCE,
        ceiling: float = CEILING,
    ) -> None:
        super().__init__()
        self.budget = budget
        self.rate = rate
        self.tolerance = tolerance
        self.ceiling = ceiling
        self.register_buffer("weights", torch.full((masks,), float(start)).clamp(0, ceiling))
        self._seen: list[Tensor] = []  # of the running step only: move() empties it

    def forward(self, sizes: Float[Tensor, "B N"]) -> Float[Tensor, "B N"]:
        """The weighted squared distance of each size to the budget; notes the sizes for `move`."""
        if self.training:
            self._seen.append(precise(sizes.detach()).mean(0))
        return self.weights * off_budget(sizes, self.budget)

    @torch.no_grad()
    def move(self) -> None:
        """Adjusts the weights by the sizes noted since the last call; without any, none moves."""
        if not self._seen:
            return
        mean = gather.gathered(torch.stack(self._seen).mean(0)[None]).mean(0)
        self._seen.clear()
        off = (mean - self.budget).abs() - self.tolerance
        self.weights.add_(self.rate * off).clamp_(0, self.ceiling)
