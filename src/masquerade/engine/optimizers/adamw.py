"""AdamW: Adam with decoupled weight decay."""

from typing import Any

import torch
from pydantic import Field

from masquerade.engine.optimizers.base import OptimizerConfig, Share
from masquerade.engine.schedule import Schedule


class Config(OptimizerConfig):
    """Settings of AdamW.

    Attributes:
        betas: Memory of the mean and of the square of the gradient.
    """

    lr: float = Field(0.001, gt=0)
    schedule: Schedule = Schedule(start=0.0)
    betas: tuple[Share, Share] = (0.9, 0.999)

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(groups, betas=self.betas)
