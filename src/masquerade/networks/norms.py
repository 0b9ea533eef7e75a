"""Batch normalisation: whose statistics it uses, and when it remembers them.

`statistics` lets a pass leave the running statistics alone. `SyncBatchNorm` normalises with the
statistics of the batch of all processes, on CPUs (gloo) and on GPUs (nccl), so that two processes
train to the same weights as one: torch's own needs a GPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm as AnyBatchNorm

M = TypeVar("M", bound=nn.Module)


@contextmanager
def statistics(module: nn.Module, update: bool) -> Iterator[None]:
    """Within it, `update=False` keeps every batch norm's running statistics as they are.

    Layers in train mode still normalise with the statistics of their batch, layers in eval mode
    with the running ones.

    Note:
        A pass that is recomputed in backward (activation checkpointing) must run its backward
        within the context, too.
    """
    tracking = [
        m for m in module.modules() if isinstance(m, AnyBatchNorm) and m.track_running_stats
    ]
    if update:
        tracking = []
    for norm in tracking:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in tracking:
            norm.track_running_stats = True


class SyncBatchNorm(AnyBatchNorm):
    """Batch normalisation over the joined batch of all processes, dimension 1 being the channels.

    Forward and gradients equal those of `BatchNorm` on the joined batch; processes may hold
    unequal parts of it. In eval mode, and where there is one process only, it is `BatchNorm`.

    Attributes:
        drop: What the timm layer it replaces applies next, else nothing.
        act: What the timm layer applies last, else nothing.
    """

    drop: nn.Module | None
    act: nn.Module | None

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        super().__init__(channels, eps, momentum)
        self.register_module("drop", None)
        self.register_module("act", None)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"batch norm takes [B, C, ...], got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        """The normalised batch."""
        self._check_input_dim(input)
        if self._alone():
            out = super().forward(input)
        else:
            out, mean, variance, count = Normalise.apply(input, self.weight, self.bias, self.eps)
            if self.track_running_stats:
                self._remember(mean, variance, count)
        for then in (self.drop, self.act):
            out = out if then is None else then(out)
        return out

    def _alone(self) -> bool:
        if not self.training and self.running_mean is not None:
            return True
        return not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        rate = 0.0 if self.momentum is None else self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # a plain average over all batches
                rate = 1 / float(self.num_batches_tracked)
        unbiased = variance * (count / (count - 1).clamp_min(1))
        self.running_mean.lerp_(mean.to(self.running_mean), rate)
        self.running_var.lerp_(unbiased.to(self.running_var), rate)


class Normalise(torch.autograd.Function):
    """Batch norm over all processes: one gather forward, one sum backward.

    Each process sends its count, its mean and its sum of squared deviations from that mean; they
    are joined as in Chan, Golub and LeVeque, 1979, which loses no digits where the mean is large.
    """

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The normalised batch, and the joined mean, biased variance and count per channel."""
        x = precise(input)
        axes = [d for d in range(x.ndim) if d != 1]
        count = x.numel() // x.shape[1]
        mean = x.sum(axes) / max(count, 1)
        squares = (x - along(mean, x)).square().sum(axes)
        mine = torch.cat([mean, squares, mean.new_tensor([count])])
        parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, mine)
        joined = torch.stack(parts)
        means, deviations = joined[:, :-1].chunk(2, 1)
        counts = joined[:, -1:]
        total = counts.sum()
        mean = (means * counts).sum(0) / total
        variance = (deviations + counts * (means - mean).square()).sum(0) / total
        inverse = (variance + eps).rsqrt()
        out = F.batch_norm(input, mean, variance, weight, bias, False, 0.0, eps)
        ctx.save_for_backward(input, weight, bias, mean, inverse, total)
        ctx.mark_non_differentiable(mean, variance, total)
        return out, mean, variance, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        """The gradient of the sum of all processes' losses."""
        input, weight, bias, mean, inverse, total = ctx.saved_tensors
        x, g = precise(input), precise(grad)
        axes = [d for d in range(x.ndim) if d != 1]
        centred = (x - along(mean, x)) * along(inverse, x)
        down, along_x = g.sum(axes), (g * centred).sum(axes)
        joined = torch.cat([down, along_x])
        dist.all_reduce(joined)
        down_all, along_all = (joined / total).chunk(2)
        scale = inverse if weight is None else inverse * weight
        back = (g - along(down_all, x) - centred * along(along_all, x)) * along(scale, x)
        return (
            back.to(input),
            None if weight is None else along_x.to(weight),
            None if bias is None else down.to(bias),
            None,
        )


def precise(x: Tensor) -> Tensor:
    """At least float32: sums over a batch in bfloat16 are worthless."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def along(values: Tensor, x: Tensor) -> Tensor:
    """One value per channel, shaped to meet a batch."""
    return values.reshape(1, -1, *[1] * (x.ndim - 2))


def synchronised(module: M) -> M:
    """The module with every batch norm replaced by `SyncBatchNorm`.

    Parameters and buffers stay the same objects under the same names, so optimizers and
    checkpoints do not notice. Returns the module itself unless it is a batch norm.
    """
    if isinstance(module, AnyBatchNorm) and not isinstance(
        module, nn.SyncBatchNorm | SyncBatchNorm
    ):
        return cast(M, replaced(module))
    for name, child in module.named_children():
        setattr(module, name, synchronised(child))
    return module


def replaced(norm: AnyBatchNorm) -> SyncBatchNorm:
    """One batch norm made synchronised; timm's also carry a dropout and an activation."""
    sync = SyncBatchNorm(norm.num_features, norm.eps, norm.momentum)
    sync.affine, sync.track_running_stats = norm.affine, norm.track_running_stats
    sync.train(norm.training)
    for name in ("weight", "bias"):
        sync.register_parameter(name, getattr(norm, name))
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        sync.register_buffer(name, getattr(norm, name))
    for name, child in norm.named_children():
        if name not in ("drop", "act"):
            raise ValueError(f"cannot synchronise {type(norm).__name__}: it has a part {name!r}")
        setattr(sync, name, child)
    return sync
