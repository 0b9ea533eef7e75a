"""Certificates against poisoned training data: ballots in, labels and radii out.

K models are trained on parts of the training set that are told apart by content alone, so one
poisoned image reaches few of them. A rule makes one prediction of their scores and proves how
many poisoned parts it survives.
"""

import warnings
from abc import abstractmethod
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from masquerade.core.config import Plug

Ties = Literal["index", "abstain"]


class Ballots(NamedTuple):
    """What K models say of T test images, and which models a training image can reach.

    Attributes:
        logits: Float [T, K, C]. Higher is better; -inf = this model never saw that class. Model i
            stands in column i, whatever order the models were trained or read in.
        reach: Int [P, d]. The d models that saw training partition p; without a spread P = K and
            d = 1 (`identity`).
    """

    logits: Float[Tensor, "T K C"]
    reach: Int[Tensor, "P d"]


class Certificate(NamedTuple):
    """The ensemble's predictions and what they survive.

    Attributes:
        label: The predicted class.
        radius: Partitions that may be poisoned, in any way, without changing the label. One
            inserted, removed or relabelled training image poisons one partition, a changed image
            at most two.
    """

    label: Int[Tensor, " T"]
    radius: Int[Tensor, " T"]


class RuleConfig(Plug):
    """Base of the settings of rules.

    Attributes:
        ties: What a model with several highest scores does: `abstain` votes for none of them,
            `index` for the lowest class. In a run-off likewise.
        tight: Whether the radius is the largest one that can be proven here, never smaller than
            the published one; false gives the published value.
    """

    family: ClassVar[str] = "masquerade.certify"
    noun: ClassVar[str] = "rule"
    ties: Ties = "abstain"
    tight: bool = True

    @abstractmethod
    def certify(self, ballots: Ballots) -> Certificate:
        """Labels and radii.

        Raises:
            ValueError: The ballots are no ballots (`checked`), or not of this rule's kind.
        """


def identity(models: int) -> Int[Tensor, "K 1"]:
    """The reach where every partition has a model of its own."""
    return torch.arange(models)[:, None]


def ring(models: int, offsets: Int[Tensor, " d"]) -> Int[Tensor, "K d"]:
    """The reach of Finite Aggregation: partition h is seen by the models h + offset, in a ring."""
    return (torch.arange(models)[:, None] + offsets) % models


def checked(ballots: Ballots) -> Ballots:
    """The same ballots, if their shapes are those of ballots.

    Scores are looked at when they are counted: nan and +inf are refused there. Half precision is
    warned of: it makes different scores equal, and what a tied model does is a policy.

    Raises:
        ValueError: Another shape, fewer than two classes, no model, or a reach that names a model
            that is not there or one model twice for one partition.
    """
    logits, reach = ballots
    if logits.ndim != 3 or not logits.is_floating_point():
        raise ValueError(
            f"logits must be floats [T, K, C], got {logits.dtype} {list(logits.shape)}"
        )
    if logits.dtype in (torch.float16, torch.bfloat16):
        warnings.warn(
            f"scores are {logits.dtype}: many models will be tied. Use float32", stacklevel=3
        )
    _, models, classes = logits.shape
    if models < 1 or classes < 2:
        raise ValueError(f"a certificate needs a model and two classes, got {models} and {classes}")
    if reach.ndim != 2 or reach.is_floating_point() or not reach.numel():
        raise ValueError(f"reach must be whole numbers [P, d], got {list(reach.shape)}")
    ordered = reach.sort(1).values
    if int(ordered[:, 0].min()) < 0 or int(ordered[:, -1].max()) >= models:
        raise ValueError(f"reach names models that are not there: there are {models}, from 0")
    if reach.shape[1] > 1 and bool((ordered[:, 1:] == ordered[:, :-1]).any()):
        raise ValueError("reach names a model twice for one partition")
    return ballots


def curve(
    certificate: Certificate, truth: Int[Tensor, " T"], budget: int | None = None
) -> Float[Tensor, " B"]:
    """Certified accuracy against the number of poisoned partitions.

    Args:
        certificate: Of T test images.
        truth: Their classes.
        budget: The last number of poisoned partitions; the first at which nothing is certified
            if left out.

    Returns:
        At position B the share, 0 to 1, of images that are classified rightly and whose radius is
        at least B; position 0 is the clean accuracy of the ensemble. Float64.
    """
    if not len(truth):
        raise ValueError("there is no test image, so there is no accuracy")
    right: Bool[Tensor, " T"] = certificate.label == truth
    radii = certificate.radius[right]
    last = int(radii.max()) + 1 if len(radii) else 0
    most = last if budget is None else budget
    survivors = torch.bincount(radii.clamp(max=most), minlength=most + 1).flip(0).cumsum(0).flip(0)
    return survivors.double() / len(truth)


def robustness(accuracy: Float[Tensor, " B"], share: float = 0.5) -> int:
    """The largest budget at which a curve is at least `share`; -1 where even 0 is below.

    Note:
        The official scripts count the budgets instead, budget 0 among them, and so print one more.
    """
    return int((accuracy >= share).sum()) - 1


def stable(certificate: Certificate, budget: int) -> Bool[Tensor, " T"]:
    """Which predictions survive so many poisoned partitions; needs no labels."""
    return certificate.radius >= budget
