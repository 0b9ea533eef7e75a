"""What processes tell each other.

Rows are joined with gradients, so that a loss may be written for the whole batch; numbers and
wishes are exchanged, so that all processes decide alike.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor

T = TypeVar("T")


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if world() > 1 else 0


def own(x: Shaped[Tensor, "G *S"]) -> Shaped[Tensor, "B *S"]:
    """This process's rows of something drawn for the batch of all processes."""
    return x.chunk(world())[rank()]


def gathered(x: Shaped[Tensor, "B *S"]) -> Shaped[Tensor, "G *S"]:
    """The rows of all processes in rank order, `G = B * world()`.

    The gradient of a row is the sum of what all processes ask of it, so that averaging the
    processes' parameter gradients gives exactly the gradient of the mean loss.
    """
    return _Gather.apply(x) if world() > 1 else x


def everyone(value: T) -> list[T]:
    """The value of each process, in rank order; all of them must ask."""
    if world() == 1:
        return [value]
    values: list[Any] = [None] * world()
    dist.all_gather_object(values, value)
    return values


def averaged(values: Mapping[str, Tensor]) -> dict[str, float]:
    """The mean of each scalar over the processes that have it; all of them must ask."""
    rows = everyone({name: float(value) for name, value in values.items()})
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: mean([row[name] for row in rows if name in row]) for name in names}


def mean(values: list[float]) -> float:
    """Their mean; a single value comes back as it is."""
    return sum(values) / len(values)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        mine = x.contiguous()  # all parts in one layout: what travels is memory, not pixels
        parts = [torch.empty_like(mine) for _ in range(world())]
        dist.all_gather(parts, mine)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        total = grad.contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(world())[rank()]
