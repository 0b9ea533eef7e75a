"""How often a classifier is right: top-k, balanced accuracy, confusion. All are shares, 0 to 1."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def top(scores: Float[Tensor, "N C"], labels: Int[Tensor, " N"], k: int) -> Bool[Tensor, " N"]:
    """Whether the right class is among the k with the highest scores.

    Of equal scores the lower class number ranks first. A class with score 0 (no neighbour voted
    for it) is never counted as found.
    """
    own = scores.gather(1, labels[:, None])
    before = torch.arange(scores.shape[1], device=labels.device) < labels[:, None]
    ahead = (scores > own) | ((scores == own) & before)
    return (ahead.sum(dim=1) < k) & (own[:, 0] > 0)


def confusion(
    labels: Int[Tensor, " N"], predicted: Int[Tensor, " N"], classes: int
) -> Int[Tensor, "C C"]:
    """How many images of class [row] were called class [column]."""
    flat = torch.bincount(labels * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes)


def recall(table: Int[Tensor, "C C"]) -> Float[Tensor, " C"]:
    """Each class's share of right answers, from a confusion table; nan for an empty class."""
    return table.diagonal().double() / table.sum(dim=1).double()


def balanced(table: Int[Tensor, "C C"]) -> float:
    """The mean of `recall` over the classes that have images."""
    return float(recall(table).nanmean())


def classified(
    scores: Float[Tensor, "N C"], labels: Int[Tensor, " N"]
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """All metrics and arrays of a classifier on one labelled set.

    Args:
        scores: At least 0, higher is better.
        labels: 0 to C - 1.

    Returns:
        Numbers: `top1`, `balanced`, and `top5` where there are more than 5 classes. Arrays:
        `confusion` [C, C] (rows are the truth), `per_class` [C].
    """
    classes = scores.shape[1]
    table = confusion(labels, scores.argmax(dim=1), classes)
    numbers = {"top1": float(top(scores, labels, 1).double().mean()), "balanced": balanced(table)}
    if classes > 5:
        numbers["top5"] = float(top(scores, labels, 5).double().mean())
    return numbers, {"confusion": table.numpy(), "per_class": recall(table).numpy()}
