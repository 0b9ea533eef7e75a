"""What every optimizer's settings share, and how a player's groups become parameter groups."""

from abc import abstractmethod
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from masquerade.core.config import Plug
from masquerade.engine.schedule import Schedule
from masquerade.engine.task import Group, Progress

# A share of the past that an average keeps: 1 would never forget.
Share = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(Plug):
    """Settings that every optimizer has.

    Attributes:
        lr: The base learning rate for the whole batch; nothing is scaled behind your back.
        decay: Weight decay.
        decay_all: Whether weight decay applies to biases and norms (1-D tensors) too.
        schedule: How the rate moves.
    """

    family: ClassVar[str] = "masquerade.engine.optimizers"
    noun: ClassVar[str] = "optimizer"
    lr: float = Field(0.1, gt=0)
    decay: float = Field(0.0, ge=0)
    decay_all: bool = False
    schedule: Schedule = Schedule()

    def described(self) -> str:
        """One line for the user, with the resolved rate."""
        rate = f"{self.lr:g} ({self.schedule.described()})"
        return f"{self.kind}, learning rate {rate}, decay {self.decay:g}"

    @abstractmethod
    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The optimizer over prepared parameter groups."""

    def measured(self, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        """What there is to log of the last step, by name."""
        return {}

    def over(self, groups: list[Group]) -> torch.optim.Optimizer:
        """The optimizer of one player; 1-D tensors are spared the decay unless `decay_all`."""
        prepared = []
        for group in groups:
            flat = [p for p in group.params if p.ndim < 2]
            deep = [p for p in group.params if p.ndim >= 2]
            kinds = ((deep, group.decay), (flat, group.decay and self.decay_all))
            for params, decayed in kinds:
                if params:
                    prepared.append(
                        {
                            "params": params,
                            "lr": self.lr * group.lr_scale,
                            "base": self.lr * group.lr_scale,
                            "weight_decay": self.decay if decayed else 0.0,
                            "scheduled": group.scheduled,
                        }
                    )
        return self.build(prepared)

    def move(self, optimizer: torch.optim.Optimizer, progress: Progress) -> float:
        """Set every group's rate for this step; returns the player's own rate."""
        for group in optimizer.param_groups:
            base = group["base"]
            group["lr"] = self.schedule.rate(base, progress) if group["scheduled"] else base
        return self.schedule.rate(self.lr, progress)
