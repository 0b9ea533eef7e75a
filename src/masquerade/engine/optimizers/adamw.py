"""AdamW: Adam with decoupled weight decay."""

from functools import partial
from typing import Any

import torch
from pydantic import Field
from torch.nn.utils import clip_grad_norm_

from masquerade.engine.optimizers.base import OptimizerConfig, Share
from masquerade.engine.schedule import Schedule


class Config(OptimizerConfig):
    """Settings of AdamW.

    Attributes:
        betas: Memory of the mean and of the square of the gradient.
        longest: A gradient over all of the player's weights that is longer is shortened to this
            length before each step, as SimMIM has it; 0 leaves all as they are.
    """

    lr: float = Field(0.001, gt=0)
    schedule: Schedule = Schedule(start=0.0)
    betas: tuple[Share, Share] = (0.9, 0.999)
    longest: float = Field(0.0, ge=0)

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        found = torch.optim.AdamW(groups, betas=self.betas)
        if self.longest:
            found.register_step_pre_hook(partial(shortened, self.longest))
        return found


def shortened(longest: float, optimizer: torch.optim.Optimizer, *called: Any) -> None:
    """Shorten the gradient of all weights together; a hook before a step."""
    clip_grad_norm_((p for group in optimizer.param_groups for p in group["params"]), longest)
