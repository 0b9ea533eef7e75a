"""Rows of all processes joined, with gradients: a loss may be written for the whole batch."""

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if world() > 1 else 0


def gathered(x: Float[Tensor, "B *S"]) -> Float[Tensor, "G *S"]:
    """The rows of all processes in rank order, `G = B * world()`.

    The gradient of a row is the sum of what all processes ask of it, so that averaging the
    processes' parameter gradients gives exactly the gradient of the mean loss.
    """
    return _Gather.apply(x) if world() > 1 else x


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(world())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        total = grad.contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(world())[rank()]
