"""Positives: whose key a query belongs to, and how much of it, where masks are filled.

A filled copy of image j shows j and its partner, so it belongs to two keys: its own and its
partner's, in shares of its pixels. The published codes encode the mixture again, re-ordered; the
two positives of one encoding give the same loss and gradient (papers/mixmask.md, section 1).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from masquerade.core.types import precise
from masquerade.engine import gather
from masquerade.maskers.base import Occluded
from masquerade.objectives.base import Pair
from masquerade.pretext.branches import copy_of

Copies = dict[int, list[Occluded]]  # of each masked view


class Positives(NamedTuple):
    """What `Objective.compare` is asked for.

    Attributes:
        row: Keys of the batch of all processes.
        share: Of each of them; rows add up to 1.
    """

    row: Int[Tensor, "B M"]
    share: Float[Tensor, "B M"]


def positives(pair: Pair, copies: Copies, like: Float[Tensor, "B D"]) -> Positives:
    """The positives of each query of a pair.

    Where the filled copy is the key, image i is in two keys: its own, and the one of the image
    whose partner it is.

    Args:
        pair: What is compared.
        copies: The masked copies of each masked view.
        like: Embeddings, for their batch and device.
    """
    size, device = len(like), like.device
    own = torch.arange(size, device=device) + gather.rank() * size
    branch = copy_of(pair)
    copy = None if branch is None or branch.copy is None else copies[branch.view][branch.copy]
    if copy is None or copy.partner is None:
        return Positives(own[:, None], torch.ones(size, 1, device=device))
    other, rest = copy.partner, 1 - copy.share
    if branch == pair.key:
        other = gather.own(gather.gathered(copy.partner).argsort())
        rest = gather.gathered(rest)[other]
    return Positives(torch.stack([own, other], 1), torch.stack([copy.share, rest], 1))


def shared(made: list[Occluded]) -> list[Occluded]:
    """A masker's copies with weights that add up to 1 for each image."""
    total = torch.stack([precise(copy.weight) for copy in made]).sum(0).clamp_min(1e-12)
    exact = made[0].images.dtype if made[0].images.dtype == torch.float64 else total.dtype
    return [c._replace(weight=c.weight.to(exact) / total.to(exact)) for c in made]


def weight_of(pair: Pair, copy: int, copies: Copies) -> Float[Tensor, " B"]:
    """What each image counts in a pair of the plan of one copy, the pair's own weight apart."""
    branch = copy_of(pair)
    view = min(copies) if branch is None else branch.view
    return copies[view][copy].weight
