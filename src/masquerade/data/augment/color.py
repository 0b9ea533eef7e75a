"""Brightness, contrast, saturation, hue and grey of each image as one matrix and one offset.

All five are linear in the pixel except for contrast, which blends with the image's mean grey; that
mean is linear in the mean colour. So a whole chain, in any order, is `M x + P mean(x)` with two
small matrices that need no pixel to be computed.

Note:
    torchvision clips to [0, 1] after every operation, this once at the end; and it turns hue in
    HSV, where this turns the colour cube about its grey axis: equal for turns of 0 and +-1/3, and
    in between nearer to HSV than the customary rotation in YIQ. On photographs, with equal
    parameters, a pixel of a view differs by 3.7 of 255 levels on average at colour strength 0.5 (5
    at strength 1), and mean, spread and chroma of the views by less than 0.01 (0.015) in [0, 1];
    tests/data/augment/test_color.py holds it to that. `Policy.exact` renders with torchvision.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow and torchvision


def luma(channels: int) -> Float[Tensor, "C C"]:
    """The matrix that makes a pixel grey; the identity unless there are 3 channels."""
    if channels != 3:
        return torch.eye(channels)
    return torch.tensor(LUMA).expand(3, 3)


def turning(turns: Float[Tensor, " B"], channels: int) -> Float[Tensor, "B C C"]:
    """Rotations about the grey axis by a share of the circle; +1/3 takes red to green."""
    if channels != 3:
        return torch.eye(channels, dtype=turns.dtype).expand(len(turns), channels, channels)
    third = torch.arange(3, dtype=turns.dtype) / 3
    ring = (1 + 2 * torch.cos(2 * math.pi * (turns[:, None] - third))) / 3
    index = (torch.arange(3)[:, None] - torch.arange(3)) % 3  # circulant
    return ring[:, index]


def mixing(
    factors: Float[Tensor, "B 4"],
    order: Int[Tensor, "B 4"],
    grey: Bool[Tensor, " B"],
    channels: int,
) -> Float[Tensor, "2 B C C"]:
    """M and P of every image, stacked: its colours x become `M x + P mean(x)`, not yet clipped.

    Args:
        factors: Brightness, contrast and saturation factors, and hue in turns.
        order: The order in which they apply, 0 = brightness; grey comes last.
        grey: Whether colour goes.
        channels: C. Saturation, hue and grey do nothing unless it is 3, and contrast is then
            around each channel's own mean.
    """
    one, to_grey = torch.eye(channels), luma(channels)
    brightness, contrast, saturation = factors.float()[:, :3, None, None].unbind(1)
    turned = turning(factors[:, 3].float(), channels)
    softer = saturation * one + (1 - saturation) * to_grey
    steps = torch.stack([brightness * one, contrast * one, softer, turned], 1)
    rows = torch.arange(len(factors))
    image, mean = one.expand_as(turned), torch.zeros_like(turned)
    for which in order.unbind(1):
        step = steps[rows, which]
        blend = torch.where((which == 1)[:, None, None], 1 - contrast, 0)
        image, mean = step @ image, step @ mean + blend * (to_grey @ (image + mean))
    both = torch.stack([image, mean])
    return torch.where(grey[:, None, None], to_grey @ both, both)
