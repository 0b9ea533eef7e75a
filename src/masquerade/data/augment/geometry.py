"""Crop, flip and resize of a whole batch as two matrix products, antialiased exactly.

Resampling a box is separable: `view = rows @ image @ columns.T`. Each image has its own two small
matrices, built here for the whole batch, whose entries are the antialiased filter of Pillow and
torchvision; flip and blur are folded into them. Compared with a grid-sample of a mipmap this is as
fast on a CPU core with matrix units, and it agrees with torchvision to rounding at any scale.
"""

import math

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

ATTEMPTS = 10  # as torchvision: so many boxes are tried before the centred one is taken


def boxes(
    extent: Int[Tensor, "B 2"],
    tries: Float[Tensor, "B A 2"],
    place: Float[Tensor, "B 2"],
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> Int[Tensor, "B 4"]:
    """Random boxes (top, left, height, width), distributed as torchvision's RandomResizedCrop.

    Args:
        extent: Height and width of each image.
        tries: Uniform numbers in [0, 1): area and log-ratio of each attempt. The first attempt
            that fits is taken, and the largest centred box of a fitting ratio if none does.
        place: Uniform numbers in [0, 1): where the box lies, vertically and horizontally.
        scale: Bounds of the box's share of the area.
        ratio: Bounds of its width / height.
    """
    full = extent.double()
    height, width = full[:, :1], full[:, 1:]
    area = height * width * (scale[0] + (scale[1] - scale[0]) * tries[..., 0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = torch.exp(low + (high - low) * tries[..., 1])
    tall, wide = torch.sqrt(area / aspect).round(), torch.sqrt(area * aspect).round()
    fits = (tall > 0) & (tall <= height) & (wide > 0) & (wide <= width)
    first = fits.int().argmax(1, keepdim=True)
    none = ~fits.any(1)
    height, width = full.unbind(1)
    tall = torch.where(
        none, (width / ratio[0]).round().minimum(height), tall.gather(1, first)[:, 0]
    )
    wide = torch.where(
        none, (height * ratio[1]).round().minimum(width), wide.gather(1, first)[:, 0]
    )
    top = torch.where(none, (height - tall) / 2, place[:, 0] * (height - tall + 1)).floor()
    left = torch.where(none, (width - wide) / 2, place[:, 1] * (width - wide + 1)).floor()
    return torch.stack([top, left, tall, wide], 1).long()


def sampling(
    start: Num[Tensor, " B"],
    length: Num[Tensor, " B"],
    size: int,
    canvas: int,
    *,
    bicubic: bool = False,
    flip: Bool[Tensor, " B"] | None = None,
    scale: Float[Tensor, " B"] | None = None,
    first: Num[Tensor, " B"] | None = None,
) -> Float[Tensor, "B S L"]:
    """Matrices that resample the pixels [start, start + length) of an axis to `size` samples.

    Every row sums to 1 and reads nothing outside the range, as if it had been cut out first. Where
    it shrinks, the filter widens with it (Pillow's and torchvision's `antialias=True`).

    Args:
        start: First pixel of the range.
        length: Pixels in the range, at least 1.
        size: Samples, S.
        canvas: Pixels of the axis, L.
        bicubic: Cubic filter with a = -0.5 instead of the triangle.
        flip: Where true, the samples come out in reverse.
        scale: Pixels per sample, `length / size` if not given.
        first: Number of the first sample, 0 if not given: with `scale`, a crop after a resize.
    """
    start, length = start.float(), length.float()
    step = length / size if scale is None else scale.float()
    sample = torch.arange(size, device=start.device) + 0.5
    if first is not None:
        sample = sample + first[:, None]
    if flip is not None:
        sample = torch.where(flip[:, None], sample.flip(-1), sample)
    widen = 1 / step.clamp(min=1)
    pixel = torch.arange(canvas, device=start.device) + 0.5
    inside = (pixel > start[:, None]) & (pixel < (start + length)[:, None])
    at = torch.where(inside, pixel * widen[:, None], math.inf)  # infinitely far: weight 0
    centre = (start[:, None] + sample * step[:, None]) * widen[:, None]
    distance = (at[:, None, :] - centre[:, :, None]).abs_()
    weight = cubic(distance) if bicubic else torch.relu_(distance.neg_().add_(1))
    return weight.div_(weight.sum(2, keepdim=True))


def cubic(distance: Float[Tensor, "B S L"]) -> Float[Tensor, "B S L"]:
    """Keys' cubic filter with a = -0.5, 0 from 2 on; `distance` is used up."""
    far = distance.clamp_(max=2)
    outer = ((far * -0.5 + 2.5).mul_(far).sub_(4)).mul_(far).add_(2)
    near = far.neg_().add_(1).clamp_(min=0)  # 1 - x below 1, where the inner piece takes over:
    return outer.addcmul_(near.square(), 1 - 2 * near)  # it exceeds the outer by near^2 (2 x - 1)


def resample(
    source: Float[Tensor, "B H W C"],
    rows: Float[Tensor, "V S H"],
    columns: Float[Tensor, "V T W"],
) -> Float[Tensor, "V C S T"]:
    """`rows @ image @ columns.T` of every channel, for one or more views of each image.

    Both products read their left side transposed, so that the channels, innermost in memory at
    first, end up outermost without a pass that only moves them.

    Args:
        source: The images.
        rows: B matrices for the first view of every image, then B for the second and so on.
        columns: As many.
    """
    b, h, w, c = source.shape
    v, s = rows.shape[:2]
    flat = source.reshape(b, h, w * c).mT
    tall = torch.empty(v, w * c, s, dtype=source.dtype, device=source.device)
    for view in range(0, v, b or 1):
        torch.bmm(flat, rows[view : view + b].mT, out=tall[view : view + b])  # (W C) x S
    wide = torch.bmm(tall.view(v, w, c * s).mT, columns.mT)  # (C S) x T
    return wide.view(v, c, s, columns.shape[1])
