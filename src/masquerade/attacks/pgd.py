"""PGD: steps up the gradient's direction, each followed by a projection onto the ball.

Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", 2018.
https://arxiv.org/abs/1706.06083. With one step from a clean start it is the fast gradient (sign)
method.
"""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from masquerade.attacks.base import Attack, AttackConfig, Loss, climbed
from masquerade.attacks.budget import Budget
from masquerade.core.seed import Seed


class Pgd(Attack):
    """Projected gradient ascent; the last image is the answer."""

    def __init__(self, config: "Config", budget: Budget) -> None:
        super().__init__(budget)
        self.config = config

    def perturb(
        self,
        images: Float[Tensor, "B C H W"],
        loss: Loss,
        seed: Seed,
        where: Float[Tensor, "B 1 H W"] | None = None,
    ) -> Float[Tensor, "B C H W"]:
        budget, mask = self.budget, 1 if where is None else where.to(images)
        step = self.config.stride * budget.epsilon / self.config.steps
        changed = images.detach()
        if self.config.start == "random":
            changed = budget.within(changed + mask * budget.start(images, seed), images)
        for _ in range(self.config.steps):
            _, gradient = climbed(changed, loss)
            changed = budget.within(changed + step * budget.ascent(mask * gradient), images)
        return changed if where is None else torch.where(where.to(images) > 0, changed, images)


class Config(AttackConfig):
    """Settings of PGD.

    Attributes:
        steps: Gradients taken.
        stride: Length of a step in units of epsilon / steps. 1 can just cross from the centre to
            the rim of the ball; more than 2 reaches any corner from any start.
        start: `random` is uniform in the ball, `clean` the image itself.
    """

    steps: int = Field(20, ge=1)
    stride: float = Field(2.5, gt=0)
    start: Literal["random", "clean"] = "random"

    def build(self, budget: Budget) -> Pgd:
        return Pgd(self, budget.checked())
