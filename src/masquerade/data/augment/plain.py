"""What evaluation sees: the image resized, its centre, standardised. No chance."""

import torch
from jaxtyping import Float, Int, UInt8, UInt16
from torch import Tensor

from masquerade.data.augment.geometry import resample, sampling
from masquerade.data.augment.precision import peak, pieces


def plain(
    images: UInt8[Tensor, "B C H W"] | UInt16[Tensor, "B C H W"],
    extent: Int[Tensor, "B 2"],
    size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    crop: float = 1.0,
    bicubic: bool = False,
) -> Float[Tensor, "B C S S"]:
    """The centre `size` x `size` pixels of each image, resized and standardised in float32.

    The shorter side becomes `round(size / crop)`, antialiased, as torchvision's v2 Resize and
    CenterCrop do.

    Args:
        images: Pixels from 0 to 255 or 65535. Not changed.
        extent: Height and width of what each canvas holds, from its top left corner.
        size: Height and width of the result.
        mean: Mean of each channel in [0, 1] units; becomes 0.
        std: Standard deviation of each channel in [0, 1] units; becomes 1.
        crop: Share of the shorter side that is kept, above 0, at most 1. 0.875 is the habit on
            ImageNet (256 to 224).
        bicubic: Cubic resampling instead of bilinear; it may go beyond the range of the pixels,
            and what does is cut.

    Returns:
        float32, channels last in memory where there are 3 channels.
    """
    if not 0 < crop <= 1:
        raise ValueError(f"crop must be above 0 and at most 1, got {crop}")
    b, channels, height, width = images.shape
    if not len(mean) == len(std) == channels:
        raise ValueError(f"images have {channels} channels, mean {len(mean)} and std {len(std)}")
    layout = torch.channels_last if channels == 3 else torch.contiguous_format
    out = torch.empty(b, channels, size, size, device=images.device, memory_format=layout)
    shift, spread = (torch.tensor(n, device=images.device)[:, None, None] for n in (mean, std))
    extent = extent.cpu()
    rows, columns = centred(extent, size, round(size / crop), (height, width), bicubic)
    boxes = torch.cat([torch.zeros_like(extent), extent], 1)[None]
    for some, _, _, source in pieces(images, boxes, torch.float32):
        tall, wide = (
            (m[some] if len(m) == b else m.expand(len(source), -1, -1))[..., :seen].to(source)
            for m, seen in zip((rows, columns), source.shape[1:3], strict=True)
        )
        pixels = resample(source, tall, wide).div_(peak(images))
        if bicubic:
            pixels.clamp_(0, 1)
        out[some] = pixels.sub_(shift).div_(spread)
    return out


def centred(
    extent: Int[Tensor, "B 2"],
    size: int,
    shorter: int,
    canvas: tuple[int, int],
    bicubic: bool = False,
) -> tuple[Float[Tensor, "R S H"], Float[Tensor, "R S W"]]:
    """Sampling matrices of rows and columns; one of each if all images have the same extent."""
    if (extent == extent[:1]).all():
        extent = extent[:1]
    short = extent.min(1).values[:, None]
    resized = torch.div(shorter * extent, short, rounding_mode="floor")  # torchvision truncates
    first = ((resized - size) / 2).round()
    scale = extent.double() / resized
    start = torch.zeros(len(extent))
    rows, columns = (
        sampling(
            start,
            extent[:, a],
            size,
            canvas[a],
            bicubic=bicubic,
            scale=scale[:, a],
            first=first[:, a],
        )
        for a in (0, 1)
    )
    return rows, columns
