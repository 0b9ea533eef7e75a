"""What an attack on a classifier raises: cross entropy, the margin, or the DLR loss.

The margin is the loss of Carlini & Wagner, "Towards Evaluating the Robustness of Neural Networks",
2017, https://arxiv.org/abs/1608.04644; DLR, the difference of logits ratio, is that of Croce &
Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
Attacks", 2020, https://arxiv.org/abs/2003.01690.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from masquerade.attacks.base import Loss

Measure = Literal["ce", "margin", "dlr"]
Network = Callable[[Float[Tensor, "B C H W"]], Float[Tensor, "B K"]]


def cross_entropy(logits: Float[Tensor, "B K"], labels: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Minus the logarithm of the right class's softmax probability, in nats."""
    return F.cross_entropy(logits, labels, reduction="none")


def margin(logits: Float[Tensor, "B K"], labels: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
    """The highest logit of another class minus that of the right one; above 0 = misclassified."""
    return rival(logits, labels) - own(logits, labels)


def dlr(logits: Float[Tensor, "B K"], labels: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
    """The margin divided by the distance of the highest logit from the third highest.

    Scaling or shifting the logits changes nothing, so no softmax can hide the gradient. Above 0
    = misclassified.

    Raises:
        ValueError: There are fewer than 3 classes.
    """
    if logits.shape[1] < 3:
        raise ValueError(
            f"the DLR loss needs at least 3 classes, got {logits.shape[1]}; use measure=margin"
        )
    ranked = logits.sort(dim=1, descending=True).values
    # 1e-12: as in the authors' code; three equal logits divide by it.
    return margin(logits, labels) / (ranked[:, 0] - ranked[:, 2] + 1e-12)


def own(logits: Float[Tensor, "B K"], labels: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
    """The logit of the right class."""
    return logits.gather(1, labels[:, None])[:, 0]


def rival(logits: Float[Tensor, "B K"], labels: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
    """The highest logit of a wrong class."""
    return logits.scatter(1, labels[:, None], -torch.inf).max(dim=1).values


MEASURES: dict[Measure, Callable[[Tensor, Tensor], Tensor]] = {
    "ce": cross_entropy,
    "margin": margin,
    "dlr": dlr,
}


def against(network: Network, labels: Int[Tensor, " B"], measure: Measure) -> Loss:
    """The loss of images that are to be misclassified.

    Args:
        network: Logits of images in [0, 1], in evaluation mode.
        labels: The right classes.
        measure: Which loss.
    """
    return lambda images: MEASURES[measure](network(images), labels)
