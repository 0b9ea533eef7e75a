"""Learning rates as functions of progress.

The warm-up cosine is the one of the official ADIOS code (papers/adversarial_masking.md,
section 8): stepped per epoch, every group starts at the same `start`. What MixMask's code bases
do otherwise (papers/mixmask.md, section 6) is a setting each.
"""

import math
from typing import Literal

from pydantic import Field, model_validator

from masquerade.core.config import Settings
from masquerade.engine.task import Progress


class Schedule(Settings):
    """How a learning rate moves.

    Attributes:
        shape: `cosine` falls to `end` along half a cosine, `drops` is multiplied by `factor` at
            each of `drops`, `constant` stays after the warm-up.
        warmup: Epochs of linear rise from `start` to the base rate, which the warm-up's last
            unit has. Per epoch the first one has the rate `start`, as published; per step the
            first one is a step above it, so that no step is wasted on a rate of 0.
        warmup_unit: Whether `warmup` counts epochs or, with `per=step`, steps.
        from_start: Whether per step, too, the first one has the rate `start`, as in PatrickHua's
            SimSiam.
        start: The rate at the beginning of the warm-up.
        end: The rate at the end of a cosine.
        count_from: The number of the first epoch or step of a cosine. 0 gives it the base rate
            and the last one a rate above `end`; 1, as in Un-Mix, the last one `end`.
        drops: Epochs, counted from 0, from which on the rate is `factor` times what it was.
        factor: Of the drops.
        per: Whether the rate changes every `epoch` (as published) or every `step`.
    """

    shape: Literal["cosine", "drops", "constant"] = "cosine"
    warmup: float = Field(10, ge=0)
    warmup_unit: Literal["epoch", "step"] = "epoch"
    from_start: bool = False
    start: float = Field(0.003, ge=0)
    end: float = Field(0.0, ge=0)
    count_from: Literal[0, 1] = 0
    drops: tuple[int, ...] = ()
    factor: float = Field(0.1, gt=0)
    per: Literal["epoch", "step"] = "epoch"

    @model_validator(mode="after")
    def _read(self) -> "Schedule":
        by_step = self.per == "step" and self.warmup > 0
        if self.warmup_unit == "step" and not by_step:
            raise ValueError("warmup_unit=step needs per=step and a warmup above 0")
        if self.from_start and not by_step:
            raise ValueError(
                "from_start=true needs per=step and a warmup above 0; per epoch a warm-up "
                "always begins at start"
            )
        if self.count_from and self.shape != "cosine":
            raise ValueError(f"count_from=1 is not read with shape={self.shape}")
        dropping = self.shape == "drops"
        if dropping != bool(self.drops) or (self.factor != 0.1 and not dropping):
            raise ValueError(
                "shape=drops needs drops, and drops and factor are read with it only; "
                f"got shape={self.shape}, drops={list(self.drops)}, factor={self.factor:g}"
            )
        if dropping and self.end:
            raise ValueError(f"end={self.end:g} is not read with shape=drops")
        return self

    def described(self) -> str:
        """The shape and the warm-up in a few words."""
        unit = f"{self.warmup_unit}{'' if self.warmup == 1 else 's'}"
        return f"{self.shape}, warm-up {self.warmup:g} {unit}"

    def rate(self, base: float, progress: Progress) -> float:
        """The learning rate of this step for a group whose base rate is `base`."""
        unit = progress.epoch_steps if self.per == "epoch" else 1
        now = progress.step // unit
        total = progress.steps / unit
        length = 1 if self.warmup_unit == "step" else progress.epoch_steps
        warm = min(self.warmup * length / unit, total)
        if now < warm and self.per == "step" and not self.from_start:
            return self.start + min(1.0, (now + 1) / warm) * (base - self.start)
        if now < warm:
            return self.start + now * (base - self.start) / max(warm - 1, 1)
        if self.shape == "drops":
            return base * self.factor ** sum(d <= progress.epoch for d in self.drops)
        if self.shape == "constant" or total <= warm:
            return base
        done = now + self.count_from - warm
        swing = (1 + math.cos(math.pi * done / (total - warm))) / 2
        return self.end + (base - self.end) * swing
