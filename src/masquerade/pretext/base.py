"""Pretexts: what an encoder is asked to do with images that have no labels."""

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from masquerade.core.config import Plug
from masquerade.core.seed import Seed
from masquerade.core.types import precise
from masquerade.engine import gather
from masquerade.engine.task import Task
from masquerade.maskers.base import Masker
from masquerade.networks.backbone import Backbone


class Pretext(Task):
    """A task that leaves an image encoder behind.

    Attributes:
        adversary: Whether something is learned that masks.
    """

    adversary: bool = False

    @abstractmethod
    def encoder(self) -> Backbone:
        """What a run exports."""

    def pictures(self, images: Float[Tensor, "B C H W"], seed: Seed) -> dict[str, Tensor]:
        """What it makes of standardised images, by name, in [0, 1]; none where maskers show it."""
        return {}

    def masker_list(self) -> list[Masker]:
        """What hides parts of a view, in order."""
        return []


class PretextConfig(Plug):
    """Base of the settings of pretexts that match no views."""

    family: ClassVar[str] = "masquerade.pretext"
    noun: ClassVar[str] = "pretext"

    def check(self, devices: int) -> None:
        """Raises ValueError if it cannot be trained by so many processes."""
        return

    @abstractmethod
    def build(self, backbone: Backbone, classes: int) -> Pretext:
        """The task, as it is before the first step.

        Args:
            backbone: The encoder; its weights are fresh unless it has an `origin`.
            classes: Of an online linear probe; 0 = none.

        Raises:
            ValueError: The backbone is not one for this pretext.
        """


def probed(
    probe: nn.Module, features: Float[Tensor, "B D"], labels: Int[Tensor, " B"] | None
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """The loss of a linear probe on features that are held still, and what is logged of it.

    Args:
        probe: From features to one logit for each class.
        features: Of any images; no gradient reaches them.
        labels: -1 where an image has none; these count for nothing.
    """
    assert labels is not None
    logits = precise(probe(features.detach()))
    known = gather.gathered((labels >= 0).sum().float()[None]).sum()
    known = known.clamp(min=1) / gather.world()
    loss = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum") / known
    right = (logits.argmax(1) == labels).sum() / known
    return loss, {"probe/loss": loss.detach(), "probe/top1": torch.as_tensor(right).detach()}
