"""Boosted DPA: D models per partition that differ in their seed, their scores added up.

The sum is one base model: a poisoned partition reaches all D of its parts and nothing else, so
every rule applies as it stands. Heads in closed form have no seed and gain nothing by it. As the
authors of Run-Off Election compare it with Finite Aggregation, https://arxiv.org/abs/2302.02300
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def summed(members: Sequence[Float[Tensor, "T K C"]]) -> Float[Tensor, "T K C"]:
    """Scores of K boosted models from those of D networks for each, in float64.

    Args:
        members: D tables of the same images, models and classes; table v holds the networks of
            seed v. -inf, for a class that a partition lacks, stays -inf.

    Raises:
        ValueError: There is none, or their shapes differ.
    """
    shapes = {tuple(m.shape) for m in members}
    if len(shapes) != 1:
        raise ValueError(f"boosted models need scores of one shape, got {sorted(shapes)}")
    total = torch.zeros(members[0].shape, dtype=torch.float64)
    for scores in members:  # in this order: sums are rounded
        total += scores.double()
    return total
