"""Snapshots: what the maskers make of a few images, as arrays in `masks/step_0000010.npz`.

- `images` [n, H, W, C], grey or colour, and `hidden` [n, N, H, W]: the masks of all maskers that
  learn, in order; 255 = hidden. No more where all of them erase: then the rest follows.
- `copy_images` [n, K, H, W, C] and `copy_hidden` [n, K, H, W]: each copy as the encoder sees it,
  and its mask. `copy_partner` [n, K]: the row of the image that fills it, -1 = none; `copy_share`
  and `copy_weight` [n, K]; `copy_masker` [K]: the place of its masker in the settings, and
  `copy_learned` [K]. Where a masker draws by chance or fills, for every masker of the run.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.data.augment.plain import plain
from masquerade.data.images import ImageSet
from masquerade.engine.extract import evaluating
from masquerade.maskers.base import Masker, Occluded

PICTURES = 12  # an even number, so that no image need be its own partner

Arrays = dict[str, NDArray[Any]]


class Sitters(NamedTuple):
    """The images that pictures are taken of, as they are, without augmentation.

    Attributes:
        pixels: In [0, 1], at the training size.
        images: The same standardised.
        mean: Of each channel, in units of `pixels`.
        std: Likewise.
    """

    pixels: Float[Tensor, "n C H W"]
    images: Float[Tensor, "n C H W"]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def seen(self, images: Float[Tensor, "n C H W"]) -> UInt8[np.ndarray, "n H W c"]:
        """Standardised images to be looked at."""
        return coloured(images.detach().float().cpu() * column(self.std) + column(self.mean))


class Made(NamedTuple):
    """What one masker makes of the images.

    Attributes:
        masks: Where it hides.
        copies: What the encoder is shown.
        learned: Whether the masker learns.
    """

    masks: Float[Tensor, "n N H W"]
    copies: list[Occluded]
    learned: bool


def sitters(
    images: ImageSet, size: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> Sitters:
    """Some images, evenly spaced; an even number of them."""
    rows = np.unique(np.linspace(0, len(images) - 1, PICTURES).round().astype(int))
    rows = rows[: len(rows) // 2 * 2]
    pixels, extents = images.read(rows), images.extents(rows)
    zero, one = (0.0,) * images.channels, (1.0,) * images.channels
    return Sitters(
        plain(pixels, extents, size, zero, one), plain(pixels, extents, size, mean, std), mean, std
    )


def snapshot(maskers: Sequence[Masker], of: Sitters, seed: Seed, step: int) -> Arrays:
    """What maskers make of images after a step, in evaluation mode.

    Every process of a run must ask, as partners may be gathered from all of them. Chance draws
    anew at each step; what a learned masker draws stays the same, so that its masks can be
    followed.
    """
    made = [made_by(m, of.images, seed.fold(place), step) for place, m in enumerate(maskers)]
    n, _, height, width = of.images.shape
    learned = [one.masks for one in made if one.learned]
    hidden = torch.cat(learned, 1) if learned else torch.zeros(n, 0, height, width)
    found: Arrays = {"images": coloured(of.pixels), "hidden": grey(hidden)}
    if all(one.learned and erases(one.copies) for one in made):
        return found
    copies = [(place, one.learned, c) for place, one in enumerate(made) for c in one.copies]
    return found | {
        "copy_images": np.stack([of.seen(c.images) for _, _, c in copies], 1),
        "copy_hidden": np.stack([grey(c.hidden[:, 0]) for _, _, c in copies], 1),
        "copy_partner": np.stack([row_of_partner(c) for _, _, c in copies], 1),
        "copy_share": np.stack([c.share.float().cpu().numpy() for _, _, c in copies], 1),
        "copy_weight": np.stack([c.weight.float().cpu().numpy() for _, _, c in copies], 1),
        "copy_masker": np.array([place for place, _, _ in copies]),
        "copy_learned": np.array([one for _, one, _ in copies]),
    }


@torch.no_grad()
def made_by(masker: Masker, images: Float[Tensor, "n C H W"], seed: Seed, step: int) -> Made:
    """The masks and copies of one masker."""
    like = next(masker.parameters(), None)
    shown = images if like is None else images.to(like)
    where = seed.fold(step) if like is None else seed
    with evaluating(masker):
        masks = masker.propose(shown, where.fold("propose"))
        copies = masker.occlude(shown, masks, where.fold("occlude"))
    return Made(masks.float().cpu(), copies, like is not None)


def erases(copies: Sequence[Occluded]) -> bool:
    """Whether nothing fills what is hidden."""
    return all(copy.partner is None for copy in copies)


def row_of_partner(copy: Occluded) -> NDArray[np.int64]:
    """Whose pixels fill each image, -1 = nobody's; all processes have the same images."""
    if copy.partner is None:
        return np.full(len(copy.images), -1)
    return np.asarray((copy.partner % len(copy.images)).cpu().numpy(), np.int64)


def coloured(pixels: Float[Tensor, "n C H W"]) -> UInt8[np.ndarray, "n H W c"]:
    """Images in [0, 1] as bytes: the first three channels, or the first of fewer."""
    few = pixels[:, :3] if pixels.shape[1] >= 3 else pixels[:, :1]
    return grey(few.permute(0, 2, 3, 1))


def grey(values: Float[Tensor, "*S"]) -> UInt8[np.ndarray, "*S"]:
    """Numbers in [0, 1] as bytes."""
    found: NDArray[np.uint8] = (
        (values.detach().clamp(0, 1) * 255).round().to(torch.uint8).cpu().contiguous().numpy()
    )
    return found


def column(values: Sequence[float]) -> Float[Tensor, "C 1 1"]:
    """One number for each channel of images."""
    return torch.tensor(values)[:, None, None]
