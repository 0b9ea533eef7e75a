"""Learning rates as functions of progress.

The warm-up cosine is the one of the official ADIOS code (papers/adversarial_masking.md,
section 8): stepped per epoch, every group starts at the same `start`.
"""

import math
from typing import Literal

from pydantic import Field

from masquerade.core.config import Settings
from masquerade.engine.task import Progress


class Schedule(Settings):
    """How a learning rate moves.

    Attributes:
        shape: `cosine` falls to `end` along half a cosine, `constant` stays after the warm-up.
        warmup: Epochs of linear rise from `start` to the base rate, which the warm-up's last
            unit has. Per epoch the first one has the rate `start`, as published; per step the
            first one is a step above it, so that no step is wasted on a rate of 0.
        start: The rate at the beginning of the warm-up.
        end: The rate at the end.
        per: Whether the rate changes every `epoch` (as published) or every `step`.
    """

    shape: Literal["cosine", "constant"] = "cosine"
    warmup: float = Field(10, ge=0)
    start: float = Field(0.003, ge=0)
    end: float = Field(0.0, ge=0)
    per: Literal["epoch", "step"] = "epoch"

    def rate(self, base: float, progress: Progress) -> float:
        """The learning rate of this step for a group whose base rate is `base`."""
        unit = progress.epoch_steps if self.per == "epoch" else 1
        now = progress.step // unit
        total = progress.steps / unit
        warm = min(self.warmup * progress.epoch_steps / unit, total)
        if now < warm and self.per == "step":
            return self.start + min(1.0, (now + 1) / warm) * (base - self.start)
        if now < warm:
            return self.start + now * (base - self.start) / max(warm - 1, 1)
        if self.shape == "constant" or total <= warm:
            return base
        swing = (1 + math.cos(math.pi * (now - warm) / (total - warm))) / 2
        return self.end + (base - self.end) * swing
