"""Which of an image's masks make copies of it: chance, drawn anew for each image and round.

One of N is ADIOS-s of the official code; K of N lies between it and ADIOS.
papers/adversarial_masking.md, sections 4 and 13.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.engine import gather


def slots(seed: Seed, batch: int, masks: int, shown: int) -> Int[Tensor, "B K"]:
    """`shown` different masks out of `masks` for each image of this process.

    Drawn for the images of all processes, so that their number does not matter. Every mask is
    equally likely in every place.
    """
    drawn = torch.rand(batch * gather.world(), masks, generator=seed.generator())
    return gather.own(drawn.argsort(1)[:, :shown])


def some(hidden: Float[Tensor, "B N H W"], shown: int, seed: Seed) -> Float[Tensor, "B K H W"]:
    """The masks that are shown: all of them, as they are, where `shown` is 0 or N."""
    batch, masks = hidden.shape[:2]
    if shown in (0, masks):
        return hidden
    picks = slots(seed, batch, masks, shown).to(hidden.device)
    return hidden[torch.arange(batch, device=hidden.device)[:, None], picks]


def within(shown: int, masks: int) -> None:
    """Raises `ValueError` where more masks are to be shown than there are."""
    if shown > masks:
        raise ValueError(
            f"shown={shown} is more than masks={masks}: each copy shows another mask. "
            "0 shows all of them"
        )
