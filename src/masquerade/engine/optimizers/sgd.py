"""SGD with momentum."""

from typing import Any

import torch
from pydantic import Field

from masquerade.engine.optimizers.base import OptimizerConfig


class Config(OptimizerConfig):
    """Settings of SGD.

    Attributes:
        momentum: Share of the last update that is kept.
        nesterov: Whether the gradient is taken one momentum step ahead.
    """

    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, momentum=self.momentum, nesterov=self.nesterov)
