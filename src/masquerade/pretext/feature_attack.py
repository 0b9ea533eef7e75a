"""An attack without labels: pixels that move an encoder's tokens as far as a small budget lets.

The adversary of AEMIM, https://arxiv.org/abs/2407.11537 ; papers/aemim.md, sections 1.1 to 1.3.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from masquerade.core.config import Settings
from masquerade.core.types import precise

Distance = Literal["kl", "l2", "mse"]
Encode = Callable[[Tensor], Tensor]


class FeatureAttack(Settings):
    """Settings of the attack.

    Attributes:
        distance: How far apart two tokens are: `kl` of their softmax, `l2` the length of the
            difference, `mse` its square.
        epsilon: The most that a pixel changes, in units where white is 1.
        steps: Steps of the attack; each costs a pass through the encoder and back.
        stride: Length of a step, in units of epsilon / steps.
        start: Where the random start moves pixels: `visible` patches, or `everywhere`.
        through: The adapters it attacks.
        by: `gradient`, or `noise`: random signs of size epsilon instead, the control.
    """

    distance: Distance = "kl"
    epsilon: float = Field(2 / 255, gt=0, le=1)
    steps: int = Field(2, ge=1)
    stride: float = Field(1.0, gt=0)
    start: Literal["visible", "everywhere"] = "visible"
    through: Literal["adversarial", "clean"] = "adversarial"
    by: Literal["gradient", "noise"] = "gradient"


class Attacked(NamedTuple):
    """What an attack found.

    Attributes:
        images: In [0, 1].
        distances: Mean over tokens before each step.
    """

    images: Float[Tensor, "B C H W"]
    distances: list[Float[Tensor, ""]]


def attack(
    config: FeatureAttack,
    encode: Encode,
    images: Float[Tensor, "B C H W"],
    target: Float[Tensor, "B T E"],
    start: Float[Tensor, "B C H W"],
) -> Attacked:
    """Steps along the sign of the gradient of the distance between `encode(images)` and `target`.

    Args:
        config: Distance, budget, steps.
        encode: From images in [0, 1] to tokens; its parameters must not ask for gradients.
        images: In [0, 1].
        target: The tokens to be left; held still.
        start: Added first, within the budget. Where the two sets of adapters are equal the
            gradient of a start without noise is zero.

    Note:
        The distance is summed, not averaged: only signs matter, and a mean over a batch may
        underflow where precision is low.
    """
    target = target.detach()
    low, high = bounds(images, config.epsilon)
    found = (images + start).clamp(low, high)
    distances = []
    length = config.stride * config.epsilon / config.steps
    for _ in range(config.steps):
        found = found.detach().requires_grad_()
        with torch.enable_grad():
            gap = apart(encode(found), target, config.distance)
            (slope,) = torch.autograd.grad(gap, found)
        distances.append(gap.detach() / tokens(target))
        found = (found.detach() + length * slope.sign()).clamp(low, high)
    return Attacked(found.detach(), distances)


def bounds(images: Float[Tensor, "B C H W"], epsilon: float) -> tuple[Tensor, Tensor]:
    """The least and the most that each pixel may become."""
    return (images - epsilon).clamp(min=0), (images + epsilon).clamp(max=1)


def apart(
    found: Float[Tensor, "B T E"], target: Float[Tensor, "B T E"], distance: Distance
) -> Float[Tensor, ""]:
    """The distance of two batches of tokens, summed over all of them, in float32 or better."""
    a, b = precise(found), precise(target)
    if distance == "kl":
        return F.kl_div(a.log_softmax(2), b.log_softmax(2), reduction="sum", log_target=True)
    if distance == "l2":
        lengths: Tensor = torch.linalg.vector_norm(a - b, dim=2)
        return lengths.sum()
    return (a - b).square().sum()


def tokens(x: Float[Tensor, "B T E"]) -> int:
    """How many tokens a batch has."""
    return math.prod(x.shape[:2])


@contextmanager
def still(module: nn.Module) -> Iterator[None]:
    """Inside, no parameter asks for a gradient: passes keep less, and leave no trace in `.grad`."""
    asking = [p for p in module.parameters() if p.requires_grad]
    try:
        for p in asking:
            p.requires_grad_(False)
        yield
    finally:
        for p in asking:
            p.requires_grad_(True)
