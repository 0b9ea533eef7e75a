"""Partitions: which models see a training image, decided by the image alone.

Everything a certificate promises rests on this: the place of an image depends on its own pixels
and on constants fixed beforehand, never on its label, its position, another image or the size of
the set. It need not be hard to guess: the attacker may choose partitions anyway.

Levine and Feizi, 2021, https://arxiv.org/abs/2006.14768; the spread: Wang, Levine and Feizi, 2022,
https://arxiv.org/abs/2202.02628
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from masquerade.certify.base import ring
from masquerade.core.config import Settings
from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet

Assign = Literal["content", "pixel_sum", "dealt"]
OFFSETS = Seed(0).fold("certify", "offsets")  # fixed: it must not be chosen with the data in sight


class Partition(NamedTuple):
    """Where every training image lies, and who sees it.

    Attributes:
        own: The partition of each image, 0 to P - 1.
        reach: The models that see each partition.
        models: K.
    """

    own: Int[Tensor, " N"]
    reach: Int[Tensor, "P d"]
    models: int

    def members(self) -> list[Int[Tensor, " _"]]:
        """The images that each model sees, in the order of the set."""
        order = self.own.argsort(stable=True)
        ends = torch.bincount(self.own, minlength=len(self.reach)).cumsum(0)
        inside = order.tensor_split(ends[:-1])
        seen: list[list[Tensor]] = [[] for _ in range(self.models)]
        for images, models in zip(inside, self.reach.tolist(), strict=True):
            for model in models:
                seen[model].append(images)
        none = order[:0]
        return [torch.cat(parts).sort().values if parts else none for parts in seen]


class Parts(Settings):
    """Into how many partitions a training set is divided.

    Attributes:
        parts: k: each model sees about N / k images.
        spread: d: partitions that each model sees, of k * d. 1 is DPA, more is Finite
            Aggregation with k * d models.
        assign: What an image's partition follows from: its bytes (`content`), the sum of its
            pixels (`pixel_sum`, as published; unbalanced), or its rank among the distinct images
            (`dealt`: balanced, but only where images are trusted and labels alone are not).
    """

    parts: int = Field(50, ge=1)
    spread: int = Field(1, ge=1)
    assign: Assign = "content"

    @property
    def models(self) -> int:
        """How many models there are, and how many partitions: k * d."""
        return self.parts * self.spread

    def of(self, images: ImageSet) -> Partition:
        """The partition of an image set."""
        if self.assign == "pixel_sum":
            return self.joined(summed(images, self.models))
        return self.named(images.digests())

    def named(self, digests: Sequence[str]) -> Partition:
        """The partition of images of which only the digests are known.

        Raises:
            ValueError: `assign=pixel_sum` needs pixels.
        """
        if self.assign == "pixel_sum":
            raise ValueError("assign=pixel_sum adds up pixels, and there are none: assign=content")
        place = dealt if self.assign == "dealt" else hashed
        return self.joined(place(digests, self.models))

    def joined(self, own: Int[Tensor, " N"]) -> Partition:
        """A partition with the spread of these settings."""
        return Partition(own, ring(self.models, offsets(self.models, self.spread)), self.models)


def hashed(digests: Sequence[str], partitions: int) -> Int[Tensor, " N"]:
    """Partitions by content: the digest of an image, as a number, modulo their number.

    Args:
        digests: blake2b of each image's type, shape and bytes, as hex (`ImageSet.digests`).
        partitions: P.
    """
    return torch.tensor([int(d, 16) % partitions for d in digests], dtype=torch.int64)


def summed(images: ImageSet, partitions: int) -> Int[Tensor, " N"]:
    """Partitions by the sum of the pixels modulo their number, as published."""
    own = np.empty(len(images), np.int64)
    for start in range(0, len(images), 1024):
        rows = np.arange(start, min(start + 1024, len(images)))
        for row, image, (height, width) in zip(
            rows, images.read(rows), images.extents(rows).tolist(), strict=True
        ):
            own[row] = int(image[:, :height, :width].sum(dtype=torch.int64)) % partitions
    return torch.from_numpy(own)


def dealt(digests: Sequence[str], partitions: int) -> Int[Tensor, " N"]:
    """Partitions by rank: the distinct images, sorted by digest, are dealt in turn.

    An image that is there twice lies in one partition. The place of an image depends on which
    other images there are, so this is for threats in which images are intact and labels are not.

    Note:
        The official code sorts by pixels and refuses equal images. Their partitions, too, have
        sizes that differ by one at most.
    """
    _, ranks = np.unique(np.array(digests, dtype=np.str_), return_inverse=True)
    return torch.from_numpy(ranks.astype(np.int64) % partitions)


def offsets(models: int, spread: int) -> Int[Tensor, " d"]:
    """The distinct steps by which Finite Aggregation spreads a partition over a ring of models.

    A function of the two numbers alone; 0 where the spread is 1.
    """
    if spread == 1:
        return torch.zeros(1, dtype=torch.int64)
    if spread > models:
        raise ValueError(f"a partition cannot reach {spread} of {models} models")
    drawn = torch.randperm(models, generator=OFFSETS.fold(models, spread).generator())
    return drawn[:spread].sort().values


class Health(NamedTuple):
    """How much each model has to learn from.

    Attributes:
        models: How many there are.
        mean: Images a model sees, on average.
        least: Those of the smallest.
        median: Of the middle one.
        most: Of the largest.
        empty: The share of models that see no image.
        absent: The share of pairs of a model and a class of which it sees no image.
    """

    models: int
    mean: float
    least: int
    median: float
    most: int
    empty: float
    absent: float


def health(partition: Partition, labels: Int[Tensor, " N"], classes: int) -> Health:
    """Sizes of what models see, from the partition of N labelled images."""
    cells = partition.own * classes + labels
    table = torch.bincount(cells, minlength=len(partition.reach) * classes)
    table = table.reshape(-1, classes)
    seen = torch.zeros(partition.models, classes, dtype=torch.int64)
    for column in partition.reach.T:
        seen.index_add_(0, column, table)
    sizes = seen.sum(1)
    return Health(
        models=partition.models,
        mean=sizes.double().mean().item(),
        least=int(sizes.min()),
        median=sizes.double().quantile(0.5).item(),
        most=int(sizes.max()),
        empty=(sizes == 0).double().mean().item(),
        absent=(seen == 0).double().mean().item(),
    )
