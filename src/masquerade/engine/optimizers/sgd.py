"""SGD with momentum."""

from typing import Any

import torch
from pydantic import Field, model_validator

from masquerade.engine.optimizers.base import OptimizerConfig


class Config(OptimizerConfig):
    """Settings of SGD.

    Attributes:
        momentum: Share of the last update that is kept.
        nesterov: Whether the gradient is taken one momentum step ahead.
    """

    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False

    @model_validator(mode="after")
    def _ahead(self) -> "Config":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=true needs a momentum above 0")
        return self

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, momentum=self.momentum, nesterov=self.nesterov)
