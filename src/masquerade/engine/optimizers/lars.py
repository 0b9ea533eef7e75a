"""LARS on SGD, as in the official ADIOS code: each weight tensor's step is scaled to its size.

You, Gitman, Ginsburg, "Large Batch Training of Convolutional Networks", 2017.
https://arxiv.org/abs/1708.03888. The variant is papers/adversarial_masking.md, section 8.
"""

from collections.abc import Callable
from typing import Any, overload

import torch
from pydantic import Field
from torch import Tensor

from masquerade.engine.optimizers.base import OptimizerConfig


class Lars(torch.optim.SGD):
    """SGD with momentum whose gradients are first scaled per tensor.

    For tensors that are not 1-D and have non-zero norms, with w the weights, g the gradient and
    d the decay: g <- (g + d w) r, r = eta |w| / (|g| + d |w| + 1e-8), and with `clip`
    r <- min(r / lr, 1). 1-D tensors get plain SGD, by default without decay.

    Attributes:
        bounded: Of each scaled tensor of the last step: whether `clip` held its rate at `lr`.
    """

    def __init__(
        self, groups: list[dict[str, Any]], momentum: float, eta: float, clip: bool
    ) -> None:
        super().__init__(groups, momentum=momentum)
        self.eta = eta
        self.clip = clip
        self.bounded: list[Tensor] = []

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update; decay acts inside the scaled gradient."""
        self.bounded = []
        decays = [group["weight_decay"] for group in self.param_groups]
        for group in self.param_groups:
            deep = [p for p in group["params"] if p.ndim != 1]
            for p in deep:
                if p.grad is not None:
                    self._scale(p, p.grad, group["weight_decay"], group["lr"])
            if deep:  # their decay is in the gradient now; `over` keeps 1-D tensors apart
                group["weight_decay"] = 0.0
        loss: float | None = super().step(closure) if closure else super().step()
        for group, decay in zip(self.param_groups, decays, strict=True):
            group["weight_decay"] = decay
        return loss

    def _scale(self, weight: Tensor, grad: Tensor, decay: float, lr: float) -> None:
        size, slope = weight.norm(), grad.norm()
        ratio = self.eta * size / (slope + decay * size + 1e-8)
        if self.clip:
            ratio = (ratio / lr).clamp(max=1)
            self.bounded.append(ratio == 1)
        ratio = torch.where((size > 0) & (slope > 0), ratio, torch.ones_like(ratio))
        moved = torch.where((size > 0) & (slope > 0), decay, 0.0)
        grad.add_(weight * moved).mul_(ratio)


class Config(OptimizerConfig):
    """Settings of LARS; the defaults are the official ADIOS code's.

    Attributes:
        momentum: Share of the last update that is kept.
        eta: The trust coefficient: a step is at most this share of the weights.
        clip: Whether the scaled rate never exceeds the plain one.
    """

    momentum: float = Field(0.9, ge=0, lt=1)
    eta: float = Field(0.02, gt=0)
    clip: bool = True

    def measured(self, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        """`clipped`: the share of scaled tensors whose step is SGD's, because `clip` bounds it."""
        if not isinstance(optimizer, Lars) or not optimizer.bounded:
            return {}
        return {"clipped": torch.stack(optimizer.bounded).float().mean()}

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return Lars(groups, self.momentum, self.eta, self.clip)
