"""Colour clusters of an image, found by k-means: what an image falls into without any learning.

Lloyd, "Least squares quantization in PCM", 1982. With `place` above 0 pixels that lie together
count as alike, too, which gives superpixels (Achanta et al., "SLIC Superpixels", 2012).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

STEPS = 10  # of Lloyd's; budgets move by less than 0.01 after them


def clusters(
    images: Float[Tensor, "B C H W"], count: int, place: float = 0.0, steps: int = STEPS
) -> Int[Tensor, "B H W"]:
    """The cluster of each pixel, each image by itself: 0 is the largest, then by size.

    Nothing is drawn: the first centre is the mean, each further one the pixel that is farthest
    from those there are. Clusters may be empty where an image has fewer colours.

    Args:
        images: Standardised, so that all channels count alike.
        count: Clusters, at least 1.
        place: What the image's side is worth, in standard deviations of a channel; 0 looks at
            colours only.
        steps: Of k-means.
    """
    b, _, h, w = images.shape
    rows, columns = torch.meshgrid(torch.arange(h) / h, torch.arange(w) / w, indexing="ij")
    at = place * torch.stack([rows, columns]).to(images).expand(b, 2, h, w)
    points = torch.cat([images.float(), at.float()], 1).flatten(2).mT.contiguous()
    every = torch.arange(b, device=images.device)
    centres = points.mean(1, keepdim=True)
    for _ in range(count - 1):
        far = torch.cdist(points, centres).amin(2).argmax(1)
        centres = torch.cat([centres, points[every, far][:, None]], 1)
    for _ in range(steps):
        member = F.one_hot(torch.cdist(points, centres).argmin(2), count).float()
        many = member.sum(1)[:, :, None]
        centres = torch.where(many > 0, member.mT @ points / many.clamp(min=1), centres)
    found = torch.cdist(points, centres).argmin(2)
    order = F.one_hot(found, count).sum(1).argsort(dim=1, descending=True, stable=True)
    return order.argsort(1).gather(1, found).view(b, h, w)


def shares(
    images: Float[Tensor, "B C H W"], count: int, place: float = 0.0, side: int = 32
) -> Float[Tensor, "B N"]:
    """The part of each image that each of its clusters covers, largest first; they add up to 1.

    Args:
        images: Standardised.
        count: Clusters.
        place: As in `clusters`.
        side: Larger images are shrunk to this side first: a share needs no more.
    """
    if images.shape[-1] > side:
        images = F.adaptive_avg_pool2d(images, side)
    found = clusters(images, count, place)
    return F.one_hot(found.flatten(1), count).float().mean(1)
