"""A copy of a network that follows it: an exponential moving average of its parameters.

The keys of MoCo (https://arxiv.org/abs/1911.05722) and BYOL (https://arxiv.org/abs/2006.07733).
"""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def follower(module: M) -> M:
    """A copy whose parameters take no gradient; it stays in train mode with the original."""
    copied = copy.deepcopy(module)
    copied.requires_grad_(False)
    return copied


@torch.no_grad()
def follow(copied: nn.Module, module: nn.Module, momentum: float) -> None:
    """Move the copy: momentum x copy + (1 - momentum) x original.

    Parameters only, as in both official codes: batch-norm statistics of the copy come from what
    passes through it.

    Args:
        copied: From `follower(module)`.
        module: What it follows.
        momentum: In 0..1; 1 leaves the copy where it is.
    """
    followers: list[Tensor] = list(copied.parameters())
    leaders: list[Tensor] = list(module.parameters())
    if followers:
        torch._foreach_lerp_(followers, leaders, 1 - momentum)
