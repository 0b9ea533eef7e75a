"""APGD: PGD with momentum that halves its own step where the loss stops rising.

Croce & Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse
Parameter-free Attacks", 2020, section 3. https://arxiv.org/abs/2003.01690
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from masquerade.attacks.base import Attack, AttackConfig, Loss, climbed
from masquerade.attacks.budget import Budget
from masquerade.core.seed import Seed

MOMENTUM = 0.75  # share of the new step; the rest repeats the last one
RISING = 0.75  # share of the steps between two checkpoints that must raise the loss


class Point(NamedTuple):
    """Where each image of a batch stands.

    Attributes:
        images: In [0, 1].
        loss: How high.
        gradient: The slope there.
    """

    images: Float[Tensor, "B C H W"]
    loss: Float[Tensor, " B"]
    gradient: Float[Tensor, "B C H W"]

    def but(self, other: "Point", rows: Bool[Tensor, " B"]) -> "Point":
        """The same with some rows of another."""
        wide = rows[:, None, None, None]
        return Point(
            torch.where(wide, other.images, self.images),
            torch.where(rows, other.loss, self.loss),
            torch.where(wide, other.gradient, self.gradient),
        )


class Apgd(Attack):
    """Auto-PGD; the highest image of all steps is the answer."""

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
        *_, best = self.ascent(images, loss, seed, where)
        return (
            best.images if where is None else torch.where(where.to(images) > 0, best.images, images)
        )

    def ascent(
        self,
        images: Float[Tensor, "B C H W"],
        loss: Loss,
        seed: Seed,
        where: Float[Tensor, "B 1 H W"] | None = None,
    ) -> Iterator[Point]:
        """The highest point of each image so far: of the start, then after each step."""
        budget, mask = self.budget, 1 if where is None else where.to(images)
        step = images.new_full((len(images), 1, 1, 1), 2 * budget.epsilon)
        start = budget.within(images.detach() + mask * budget.start(images, seed), images)
        now = best = Point(start, *climbed(start, loss))
        before = now.images
        yield best
        watch, marks = Watch(best.loss), checkpoints(self.config.steps)
        for k in range(self.config.steps):
            there = budget.within(now.images + step * budget.ascent(mask * now.gradient), images)
            if k:
                pull = MOMENTUM * (there - now.images) + (1 - MOMENTUM) * (now.images - before)
                there = budget.within(now.images + pull, images)
            after = Point(there, *climbed(there, loss))
            best = best.but(after, after.loss > best.loss)
            watch.saw(after.loss > now.loss)
            before, now = now.images, after
            if k + 1 in marks:
                stuck = watch.stuck(best.loss)
                step = torch.where(stuck[:, None, None, None], step / 2, step)
                now = now.but(best, stuck)
            yield best


class Watch:
    """Decides at each checkpoint whose step is halved; such an image goes on from its best."""

    def __init__(self, loss: Float[Tensor, " B"]) -> None:
        self.highest = loss
        self.halved = torch.zeros_like(loss, dtype=torch.bool)
        self.rises = torch.zeros_like(loss)
        self.steps = 0

    def saw(self, rose: Bool[Tensor, " B"]) -> None:
        """A step was taken: did the loss rise?"""
        self.rises = self.rises + rose
        self.steps += 1

    def stuck(self, highest: Float[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Too few rises since the last checkpoint, or no new height with an unchanged step."""
        found = (self.rises < RISING * self.steps) | (~self.halved & (highest == self.highest))
        self.highest, self.halved = highest, found
        self.rises, self.steps = torch.zeros_like(self.rises), 0
        return found


def checkpoints(steps: int) -> set[int]:
    """After how many steps the step size is looked at: 22 %, then ever sooner, down to 6 %."""
    earlier, share, found = 0, 22, set()  # in percent: shares as floats would round up
    while share <= 100:
        found.add(-(-share * steps // 100))
        earlier, share = share, share + max(share - earlier - 3, 6)
    return found


class Config(AttackConfig):
    """Settings of APGD.

    Attributes:
        steps: Gradients taken.
    """

    steps: int = Field(100, ge=1)

    def build(self, budget: Budget) -> Apgd:
        return Apgd(self, budget.checked())
