"""Which weights are kept: those with the highest scores, over all layers or in each."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from masquerade.tickets.layout import Layout

Scope = Literal["global", "layerwise"]
Rule = Literal["topk", "percentile"]


def kept(
    scores: Float[Tensor, " P"],
    layout: Layout,
    pruned: float,
    scope: Scope = "global",
    rule: Rule = "topk",
) -> Bool[Tensor, " P"]:
    """True where a weight stays.

    Args:
        scores: One number a weight; that of one that cannot be pruned does not count.
        layout: Says which weights can be pruned.
        pruned: Share of the prunable weights that goes, of all there are and not only of those
            that were left; 0 to 1.
        scope: `global` compares all prunable weights, `layerwise` those of each leaf.
        rule: `topk` keeps an exact number, of equal scores the earlier weight; `percentile`
            keeps all from a threshold on, as published, so that ties may keep too many.

    Raises:
        ValueError: A score is nan, or there are not as many as weights.
    """
    layout.fits(scores)
    if scores.isnan().any():
        raise ValueError(f"{int(scores.isnan().sum())} of {len(scores)} scores are nan")
    choose = top if rule == "topk" else above
    if scope == "global":
        groups = [layout.prunable()]
    else:
        groups = []
        for leaf in layout.leaves:
            if leaf.prunable:
                group = torch.zeros(layout.size, dtype=torch.bool)
                group[layout.places()[leaf.name]] = True
                groups.append(group)
    stays = ~layout.prunable()
    for group in groups:
        stays[group] = choose(scores.cpu()[group], pruned)
    return stays.to(scores.device)


def top(scores: Float[Tensor, " K"], pruned: float) -> Bool[Tensor, " K"]:
    """The highest scores, exactly `K - round(pruned * K)` of them."""
    stays = torch.zeros(len(scores), dtype=torch.bool)
    count = len(scores) - round(pruned * len(scores))
    stays[scores.argsort(descending=True, stable=True)[:count]] = True
    return stays


def above(scores: Float[Tensor, " K"], pruned: float) -> Bool[Tensor, " K"]:
    """Scores at or above the percentile, interpolated between float32 values, as published."""
    values = scores.numpy().astype(np.float32)
    return torch.from_numpy(values >= np.percentile(values, 100 * pruned))
