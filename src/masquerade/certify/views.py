"""Training images as base networks see them: standardised by their own partition, shifted, flipped.

Random crops after padding with black, as base networks are trained on CIFAR and MNIST in
https://arxiv.org/abs/2006.14768.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.data.augment.plain import plain
from masquerade.data.images import ImageSet

BATCH = 256  # images that are resized at once


class Scale(NamedTuple):
    """What images are standardised with, in units where white is 1.

    Attributes:
        mean: Of each channel.
        std: Of each channel, at least one grey level.
    """

    mean: Float[Tensor, " C"]
    std: Float[Tensor, " C"]

    @classmethod
    def of(cls, pixels: UInt8[Tensor, "N C S S"]) -> "Scale":
        """That of a partition's own images: exact sums, so that their order does not matter."""
        count = pixels.numel() // pixels.shape[1]
        if not count:
            return cls(torch.zeros(pixels.shape[1]), torch.ones(pixels.shape[1]))
        total = pixels.sum((0, 2, 3), dtype=torch.int64).double()
        squares = torch.zeros_like(total)
        for some in pixels.split(BATCH):
            squares += some.long().square().sum((0, 2, 3)).double()
        mean = total / count / 255
        var = squares / count / 255**2 - mean.square()
        return cls(mean.float(), var.clamp(min=0).sqrt().clamp(min=1 / 255).float())

    def applied(self, pixels: UInt8[Tensor, "N C S S"]) -> Float[Tensor, "N C S S"]:
        """Standardised images."""
        mean, std = (n.to(pixels.device)[:, None, None] for n in self)
        return (pixels.float() / 255 - mean) / std


def square(images: ImageSet, size: int) -> UInt8[Tensor, "N C S S"]:
    """Images resized to `size` pixels and rounded to bytes, each by itself.

    The last batch is filled up, so that an image's bytes do not follow from its neighbours.
    """
    count, none = len(images), (0.0,) * images.channels
    out = torch.empty(count, images.channels, size, size, dtype=torch.uint8)
    for start in range(0, count, BATCH):
        rows = torch.arange(start, start + BATCH).clamp(max=count - 1)
        whole = plain(images.read(rows), images.extents(rows), size, none, (1.0,) * len(none))
        out[start : start + BATCH] = (whole * 255).round().byte()[: count - start]
    return out


def shifted(
    pixels: UInt8[Tensor, "B C S S"], pad: int, flip: bool, seed: Seed
) -> UInt8[Tensor, "B C S S"]:
    """Each image moved by up to `pad` pixels over black, and mirrored in half of the cases."""
    b, _, size, _ = pixels.shape
    draw = seed.generator()
    places = torch.randint(2 * pad + 1, (2, b, 1), generator=draw)
    mirrored = torch.rand(b, 1, generator=draw) < 0.5
    line: Int[Tensor, " S"] = torch.arange(size)
    rows = places[0] + line
    columns = places[1] + torch.where(mirrored & flip, line.flip(0), line)
    wide = torch.nn.functional.pad(pixels, (pad, pad, pad, pad))
    rows, columns = rows.to(pixels.device), columns.to(pixels.device)
    image = torch.arange(b, device=pixels.device)[:, None, None]
    found: Tensor = wide[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return found
