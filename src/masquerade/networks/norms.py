"""Batch normalisation: whose statistics it uses, and when it remembers them.

`statistics` lets a pass leave the running statistics alone. `SyncBatchNorm` normalises with the
statistics of the batch of all processes, on CPUs (gloo) and on GPUs (nccl), so that two processes
train to the same weights as one: torch's own needs a GPU, and its plain one is inexact on a CPU.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm as AnyBatchNorm

M = TypeVar("M", bound=nn.Module)
S = TypeVar("S", bound="SyncBatchNorm")
CACHED = 2**16  # numbers; a quarter of a megabyte of float32


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
    unequal parts of it. In eval mode it is `BatchNorm`; where there is one process only, too,
    unless that would be inexact: torch sums a float32 batch that lies in channels_last on a CPU
    one by one, and is off by 1e-4 after a quarter of a million pixels.

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
        if self._left_to_torch(input):
            out = super().forward(input)
        else:
            out, mean, variance, count = Normalise.apply(input, self.weight, self.bias, self.eps)
            if self.track_running_stats:
                self._remember(mean, variance, count)
        for then in (self.drop, self.act):
            out = out if then is None else then(out)
        return out

    def _left_to_torch(self, input: Tensor) -> bool:
        if not self.training and self.running_mean is not None:
            return True
        return processes() == 1 and not summed_one_by_one(input)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        self._average(mean, variance * (count / (count - 1).clamp_min(1)))

    @torch.no_grad()
    def _average(self, mean: Tensor, unbiased: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        rate = 0.0 if self.momentum is None else self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # a plain average over all batches
                rate = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean), rate)
        self.running_var.lerp_(unbiased.to(self.running_var), rate)


class SplitBatchNorm(SyncBatchNorm):
    """Batch normalisation in groups: sample i belongs to group `i % groups`.

    Each group is normalised by its own statistics, as many GPUs would do; what is remembered is
    the mean of the groups' means and of their unbiased variances (Un-Mix's code for MoCo).
    """

    groups: int = 1

    def forward(self, input: Tensor) -> Tensor:
        """The normalised batch; it must be a multiple of the groups."""
        self._check_input_dim(input)
        if self.groups == 1 or (not self.training and self.running_mean is not None):
            return super().forward(input)
        size, channels, *rest = input.shape
        if size % self.groups:
            raise ValueError(
                f"a batch of {size} images in one process cannot be split into {self.groups} "
                "groups; choose a batch that is a multiple"
            )
        apart = input.reshape(size // self.groups, self.groups * channels, *rest)
        weight = None if self.weight is None else self.weight.repeat(self.groups)
        bias = None if self.bias is None else self.bias.repeat(self.groups)
        out, mean, variance, count = Normalise.apply(apart, weight, bias, self.eps)
        if self.track_running_stats:
            unbiased = variance * (count / (count - 1).clamp_min(1))
            self._average(*(v.view(self.groups, channels).mean(0) for v in (mean, unbiased)))
        out = out.reshape(input.shape)
        for then in (self.drop, self.act):
            out = out if then is None else then(out)
        return cast(Tensor, out)


def processes() -> int:
    """How many train together."""
    joined = dist.is_available() and dist.is_initialized()
    return dist.get_world_size() if joined else 1


def summed_one_by_one(input: Tensor) -> bool:
    """Whether torch's own batch norm loses digits on a batch."""
    return (
        input.device.type == "cpu"
        and input.dtype == torch.float32
        and input.ndim == 4
        and not input.is_contiguous()
    )


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
        x = rows(input)
        mean = x.sum(0, dtype=precision(x)) / max(len(x), 1)
        squares = total(((part - mean).square_() for part in parts(x)), mean)
        mean, variance, count = joined(mean, squares, len(x))
        inverse = (variance + eps).rsqrt()
        out = F.batch_norm(input, mean, variance, weight, bias, False, 0.0, eps)
        ctx.save_for_backward(input, weight, bias, mean, inverse, count)
        ctx.mark_non_differentiable(mean, variance, count)
        return out, mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        """The gradient of the sum of all processes' losses."""
        input, weight, bias, mean, inverse, count = ctx.saved_tensors
        x, g = rows(input), rows(grad)
        down = g.sum(0, dtype=mean.dtype)
        along = total(((p - mean).mul_(q) for p, q in zip(parts(x), parts(g), strict=True)), mean)
        along = along * inverse
        sums = torch.cat([down, along])
        if processes() > 1:
            dist.all_reduce(sums)
        down_all, along_all = (sums / count).chunk(2)
        scale = inverse if weight is None else inverse * weight
        back = torch.empty_like(x)
        tilt, shift = -scale * inverse * along_all, -scale * down_all
        for p, q, out in zip(parts(x), parts(g), parts(back), strict=True):
            out.copy_((p - mean).mul_(tilt).add_(shift).addcmul_(q.to(mean), scale))
        return (
            back.view(len(input), *input.shape[2:], input.shape[1]).movedim(-1, 1),
            None if weight is None else along.to(weight),
            None if bias is None else down.to(bias),
            None,
        )


def rows(x: Tensor) -> Tensor:
    """A batch as one row of channels per pixel; no copy where it lies in channels_last."""
    return x.movedim(1, -1).reshape(-1, x.shape[1])


def parts(x: Tensor) -> tuple[Tensor, ...]:
    """Rows that fit a CPU's cache together, so that a chain of operations stays there."""
    whole = max(1, len(x))
    return torch.split(x, max(1, CACHED // x.shape[1]) if x.device.type == "cpu" else whole)


def total(pieces: Iterable[Tensor], like: Tensor) -> Tensor:
    """The sum over all rows of all pieces, each summed pairwise by itself."""
    sums = [piece.sum(0) for piece in pieces]
    return torch.stack(sums).sum(0) if sums else torch.zeros_like(like)


def precision(x: Tensor) -> torch.dtype:
    """At least float32: sums over a batch in bfloat16 are worthless."""
    return torch.promote_types(x.dtype, torch.float32)


def joined(mean: Tensor, squares: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, biased variance and count of all processes."""
    own = mean.new_tensor([count])
    if processes() == 1:
        return mean, squares / own, own
    mine = torch.cat([mean, squares, own])
    found = [torch.empty_like(mine) for _ in range(processes())]
    dist.all_gather(found, mine)
    everyone = torch.stack(found)
    means, deviations = everyone[:, :-1].chunk(2, 1)
    counts = everyone[:, -1:]
    whole = counts.sum()
    mean = (means * counts).sum(0) / whole
    variance = (deviations + counts * (means - mean).square()).sum(0) / whole
    return mean, variance, whole


def synchronised(module: M) -> M:
    """The module with every batch norm replaced by `SyncBatchNorm`.

    Parameters and buffers stay the same objects under the same names, so optimizers and
    checkpoints do not notice. Returns the module itself unless it is a batch norm.
    """
    if isinstance(module, AnyBatchNorm) and not isinstance(
        module, nn.SyncBatchNorm | SyncBatchNorm
    ):
        return cast(M, replaced(module, SyncBatchNorm))
    for name, child in module.named_children():
        setattr(module, name, synchronised(child))
    return module


def split(module: M, groups: int) -> M:
    """The module with every batch norm replaced by `SplitBatchNorm`, as in `synchronised`."""
    if isinstance(module, AnyBatchNorm):
        apart = replaced(module, SplitBatchNorm)
        apart.groups = groups
        return cast(M, apart)
    for name, child in module.named_children():
        setattr(module, name, split(child, groups))
    return module


def replaced(norm: AnyBatchNorm, kind: type[S]) -> S:
    """One batch norm made another kind; timm's also carry a dropout and an activation."""
    sync = kind(norm.num_features, norm.eps, norm.momentum)
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
