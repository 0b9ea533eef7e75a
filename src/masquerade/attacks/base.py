"""What every attack is: images and a loss in, images of a higher loss within a budget out."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from masquerade.attacks.budget import Budget
from masquerade.core.config import Plug
from masquerade.core.seed import Seed

# What an attack raises: one number per image, each a function of that image alone.
Loss = Callable[[Float[Tensor, "B C H W"]], Float[Tensor, " B"]]


class Attack(ABC):
    """Looks for images of a higher loss.

    Attributes:
        budget: How far it may go.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    @abstractmethod
    def perturb(
        self,
        images: Float[Tensor, "B C H W"],
        loss: Loss,
        seed: Seed,
        where: Float[Tensor, "B 1 H W"] | None = None,
    ) -> Float[Tensor, "B C H W"]:
        """Images within the budget of the given ones, and within [0, 1], without a graph.

        No parameter's `.grad` is touched. Where the budget is 0, the images come back unchanged.

        Args:
            images: In [0, 1]. Not changed.
            loss: Of images in [0, 1], as `encoder.from_pixels` takes them.
            seed: Of the random start, which is drawn on the CPU.
            where: 1 = these pixels may change, 0 = these stay as they are, bit for bit. All may
                change if it is not given.
        """


class AttackConfig(Plug):
    """Settings of an attack; what it may spend is not among them, but given to `build`."""

    family: ClassVar[str] = "masquerade.attacks"
    noun: ClassVar[str] = "attack"

    @abstractmethod
    def build(self, budget: Budget) -> Attack:
        """The attack that may spend a budget."""


def climbed(
    images: Float[Tensor, "B C H W"], loss: Loss
) -> tuple[Float[Tensor, " B"], Float[Tensor, "B C H W"]]:
    """The loss of each image and its gradient with respect to the pixels, both detached.

    Losses are summed, never averaged, so that no gradient shrinks with the batch.

    Raises:
        ValueError: The loss is not one number per image.
    """
    with torch.enable_grad():
        leaf = images.detach().requires_grad_()
        found = loss(leaf)
        if found.shape != images.shape[:1]:
            raise ValueError(
                f"an attack needs one loss per image, [{len(images)}], got {list(found.shape)}; "
                "leave the mean or sum over the batch out"
            )
        (gradient,) = torch.autograd.grad(found.sum(), leaf)
    return found.detach(), gradient
