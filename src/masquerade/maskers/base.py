"""Maskers: where an image is hidden, how, and at what price for an adversary."""

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from masquerade.core.config import Plug
from masquerade.core.seed import Seed
from masquerade.engine.task import Progress


class Occluded(NamedTuple):
    """One masked copy of the batch.

    Attributes:
        images: What the encoder sees.
        hidden: 1 = hidden; soft masks are allowed.
        partner: A permutation: whose pixels fill the hidden part, as rows of the batch of all
            processes. None = erased.
        share: The own key's part of the target; the rest goes to the partner's key.
        weight: Of this copy of each image in the loss.
    """

    images: Float[Tensor, "B C H W"]
    hidden: Float[Tensor, "B 1 H W"]
    partner: Int[Tensor, " B"] | None
    share: Float[Tensor, " B"]
    weight: Float[Tensor, " B"]


class Masker(nn.Module):
    """Hides parts of standardised images. Parameters in a masker make it an adversary.

    Attributes:
        wants_clean: Whether the unmasked pair is in the loss too.
        exclusive: Whether each pixel is hidden once in total, its masks adding up to 1.
        fills: Whether what it hides is filled with a partner's pixels.
        single: Whether an image is shown with one mask, drawn from several.
        paid: What the last price was made of, by name and detached, to be logged; may be empty.
    """

    wants_clean: bool = False
    exclusive: bool = False
    fills: bool = False
    single: bool = False
    paid: Mapping[str, Tensor] = MappingProxyType({})

    def propose(self, images: Float[Tensor, "B C H W"], seed: Seed) -> Float[Tensor, "B N H W"]:
        """Where: N masks in [0, 1], 1 = hidden. A float dtype of at least 32 bits."""
        raise TypeError(f"{type(self).__name__} does not say what it hides: define propose")

    def occlude(
        self, images: Float[Tensor, "B C H W"], hidden: Float[Tensor, "B N H W"], seed: Seed
    ) -> list[Occluded]:
        """How: by default one erased copy per mask, the hidden part at the mean colour, 0.

        The seed is the same for all views of a round, another one in the other player's round.
        """
        one = torch.ones(len(images), device=images.device)
        return [
            Occluded(images * (1 - m[:, None]).to(images), m[:, None], None, one, one)
            for m in hidden.unbind(1)
        ]

    def price(
        self,
        views: list[Float[Tensor, "B N H W"]],
        images: list[Float[Tensor, "B C H W"]],
        progress: Progress,
    ) -> Float[Tensor, ""]:
        """What the adversary pays: the sum over masked views of the mean over the N masks.

        It is scaled like the loss, with `combine=sum` by N.
        """
        return torch.zeros((), device=views[0].device)

    def summed(self, parts: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """The sum of the parts of a price, which `paid` keeps."""
        self.paid = {name: part.detach() for name, part in parts.items()}
        return torch.stack(list(parts.values())).sum()

    def after_step(self, progress: Progress) -> None:
        """Runs after the last round of a step."""
        return


class MaskerConfig(Plug):
    """Base of the settings of maskers."""

    family: ClassVar[str] = "masquerade.maskers"
    noun: ClassVar[str] = "masker"

    @abstractmethod
    def build(self, size: int, channels: int) -> Masker:
        """The masker of images of `size` x `size` pixels with so many channels."""

    def check(self, batch: int, devices: int) -> None:
        """Raises ValueError if it cannot work with batches of this size on so many devices."""
        return
