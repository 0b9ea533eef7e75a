"""The same views, rendered image by image with torchvision's v2 functions.

The slow reference that the batched path is tested against, and what `Policy.exact` uses. It reads
the same parameters, so the two differ only in how pixels are computed.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, UInt8, UInt16
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from masquerade.data.augment.draw import Draw
from masquerade.data.augment.policy import Policy

COLOURS: tuple[Callable[[Tensor, float], Tensor], ...] = (
    F.adjust_brightness,
    F.adjust_contrast,
    F.adjust_saturation,
    F.adjust_hue,
)


def render(
    images: UInt8[Tensor, "B C H W"] | UInt16[Tensor, "B C H W"],
    drawn: Draw,
    policy: Policy,
    out: Float[Tensor, "V C S S"],
) -> None:
    """Writes views, in [0, 1], into `out`; uint8 images stay uint8 until the end.

    Args:
        images: The images.
        drawn: Parameters of the first view of every image, then of the second and so on.
        policy: Says how pixels are resampled.
        out: As many views.

    Raises:
        ValueError: The images have neither 1 nor 3 channels.
    """
    if images.shape[1] not in (1, 3):
        raise ValueError(
            f"augment.exact=true needs images of 1 or 3 channels, as torchvision does; these have "
            f"{images.shape[1]}. Leave it false"
        )
    for row in range(len(out)):
        image = images[row % len(images)]
        pixels = image if image.dtype == torch.uint8 else image.float() / 65535
        made = view(pixels, drawn.rows(slice(row, row + 1)), policy, out.shape[-1])
        out[row] = F.to_dtype(made, torch.float32, scale=True)


def view(image: Tensor, drawn: Draw, policy: Policy, size: int) -> Tensor:
    """One view of one image (C x H x W), from a draw for one image."""
    top, left, tall, wide = drawn.box[0].tolist()
    mode = InterpolationMode(policy.interpolation)
    image = F.resized_crop(image, top, left, tall, wide, [size, size], mode, antialias=True)
    factors = drawn.factors[0].tolist()
    for which in drawn.order[0].tolist():
        if which < 2 or image.shape[0] == 3:
            image = COLOURS[which](image, factors[which])
    if drawn.grey[0] and image.shape[0] == 3:
        image = F.rgb_to_grayscale(image, num_output_channels=3)
    sigma = float(drawn.sigma[0])
    if sigma:
        radius = min(math.ceil(4 * sigma), size - 1)
        image = F.gaussian_blur(image, [2 * radius + 1, 2 * radius + 1], [sigma, sigma])
    if drawn.solarise[0]:
        image = F.solarize(image, 128 if image.dtype == torch.uint8 else 128 / 255)
    return F.horizontal_flip(image) if drawn.flip[0] else image
