"""Do all masks together cut an image into its things? ARI and segmentation covering of label maps.

ARI: Hubert and Arabie, "Comparing partitions", 1985. Covering: Arbelaez et al., 2011, with the
scaled form of Engelcke et al., "GENESIS", 2020, appendix. https://arxiv.org/abs/1907.13052
Numbers agree with those of the official code of ADIOS; papers/adversarial_masking.md, section 10.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


class Scores(NamedTuple):
    """How well the segments of each image agree with its things.

    Attributes:
        ari: Adjusted Rand index of all pixels: 1 the same segments, 0 chance; can be negative.
        ari_fg: The same of the pixels of objects only; nan where an image shows fewer than two,
            as then there is nothing to tell apart.
        msc: Mean over the labels of an image of the best IoU with a segment, in 0..1.
        ssc: The same, each label weighted by its area.
    """

    ari: Float[Tensor, " B"]
    ari_fg: Float[Tensor, " B"]
    msc: Float[Tensor, " B"]
    ssc: Float[Tensor, " B"]

    def means(self) -> dict[str, float]:
        """Means over the images that have a value; without those that no image has."""
        return {n: float(v.nanmean()) for n, v in self._asdict().items() if not v.isnan().all()}


def scores(found: Int[Tensor, "B H W"], truth: Int[Tensor, "B H W"]) -> Scores:
    """The scores of each image; the background (label 0 of `truth`) is a thing like any other."""
    objects = (one_hot(truth) > 0).any(2)[:, 1:].sum(1)
    several = torch.where(objects > 1, ari(found, truth, foreground=True), torch.nan)
    return Scores(ari(found, truth), several, *covering(found, truth))


def segments(masks: Float[Tensor, "B N H W"], threshold: float = 0.5) -> Int[Tensor, "B H W"]:
    """The number of the strongest mask at each pixel, from 0; of equally strong ones the first.

    A single mask gives two segments: 0 below the threshold, 1 at and above it.
    """
    if masks.shape[1] == 1:
        return (masks[:, 0] >= threshold).long()
    return masks.argmax(1)


def labelled(
    objects: Bool[Tensor, "B K H W"], compat: Literal["none", "adios"] = "none"
) -> Int[Tensor, "B H W"]:
    """One label per pixel of K objects: 0 is the background, k + 1 the object k.

    Of objects that share a pixel the first has it.

    Args:
        objects: True on each object.
        compat: "adios" as the official code: the background shares label 0 with the first object,
            because it takes the largest of the object masks and drops that of the background.
            Its scores on objects (`ari_fg`) then pass over the first object.

    Note:
        Published numbers on CLEVR are those of "adios", and compare with nothing else.
    """
    first = objects.long().argmax(1)
    return first if compat == "adios" else torch.where(objects.any(1), first + 1, 0)


def ari(
    found: Int[Tensor, "B H W"], truth: Int[Tensor, "B H W"], foreground: bool = False
) -> Float[Tensor, " B"]:
    """The adjusted Rand index of each image.

    1 where both agree on every pair of pixels, trivially so where both have a single segment.

    Args:
        found: Segments, by any numbers from 0.
        truth: The same of the truth.
        foreground: Only pixels with a label above 0 count. 1 for an image without any.
    """
    given, right = one_hot(found), one_hot(truth)
    if foreground:
        right = right[:, 1:]
    table = right @ given.mT  # [B, labels, segments]: pixels in both
    pixels = pairs(table.sum((1, 2)))
    both = pairs(table).sum((1, 2))
    rows, columns = pairs(table.sum(2)).sum(1), pairs(table.sum(1)).sum(1)
    chance = rows * columns / pixels.clamp(min=1)
    most = (rows + columns) / 2
    return torch.where(most == chance, 1.0, (both - chance) / (most - chance))


def covering(
    found: Int[Tensor, "B H W"], truth: Int[Tensor, "B H W"], foreground: bool = False
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """Mean (mSC) and area-weighted (SSC) segmentation covering of each image.

    For each label of the truth the best IoU with a segment; the labels an image has not do not
    count. 0 where nothing counts.

    Args:
        found: Segments, by any numbers from 0.
        truth: The same of the truth.
        foreground: Only labels above 0 count; segments are judged whole, with what they cover of
            the background.
    """
    given, right = one_hot(found), one_hot(truth)
    both = right @ given.mT
    areas = right.sum(2)
    either = areas[:, :, None] + given.sum(2)[:, None] - both
    best = (both / either.clamp(min=1)).amax(2)
    if foreground:
        best, areas = best[:, 1:], areas[:, 1:]
    there = areas > 0
    mean = (best * there).sum(1) / there.sum(1).clamp(min=1)
    scaled = (best * areas).sum(1) / areas.sum(1).clamp(min=1)
    return mean, scaled


def one_hot(labels: Int[Tensor, "B H W"]) -> Float[Tensor, "B K P"]:
    """One row per label of the batch, 1 on its pixels; float64, as pairs of pixels are many."""
    return F.one_hot(labels.flatten(1).long()).mT.double()


def pairs(count: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """How many pairs so many pixels form."""
    return count * (count - 1) / 2
