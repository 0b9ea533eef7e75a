"""What masks look like in numbers: cheap scalars from [B, N, H, W], logged while a masker trains.

papers/adversarial_masking.md, section 11. A mask is 1 where hidden. Every number is in 0..1 except
pieces and drift, needs no labels and no pass of the encoder, and carries no gradient. In several
processes each number is of the process's own images; the loop logs the mean over processes, so
smallest and largest are means of each process's smallest and largest.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

TINY = 1e-12  # keeps quotients of empty masks at 0
LOOKED_AT = 64  # images of a batch for what costs more than a mean
BINS = 10  # of a histogram of sizes


@torch.no_grad()
def described(masks: Float[Tensor, "B N H W"], exclusive: bool) -> dict[str, Tensor]:
    """The numbers of a batch of masks, by the names under which they are logged.

    `masker/size/{k}` is the hidden share of mask k, a mean over images, with its deviation
    (`size_sd`), smallest and largest over images. `softness`, `dimming`, `coverage`, `overlap`,
    `variation`, `raggedness` and `image_dependence` are the functions of this file, of the first
    `LOOKED_AT` images of the batch.

    Args:
        masks: In [0, 1], 1 = hidden.
        exclusive: Whether the masks of a pixel sum to 1 (a softmax over masks).
    """
    masks = masks.detach().float()
    sizes = masks.mean((2, 3))
    logs = {}
    for k, size in enumerate(sizes.unbind(1)):
        logs[f"masker/size/{k}"] = size.mean()
        logs[f"masker/size_sd/{k}"] = size.std(correction=0)
        logs[f"masker/smallest/{k}"] = size.min()
        logs[f"masker/largest/{k}"] = size.max()
    masks = masks[:LOOKED_AT]
    variation, raggedness = roughness(masks)
    return logs | {
        "masker/softness": softness(masks, exclusive),
        "masker/dimming": dimming(masks),
        "masker/coverage": coverage(masks),
        "masker/overlap": overlap(masks),
        "masker/variation": variation,
        "masker/raggedness": raggedness,
        "masker/image_dependence": image_dependence(masks),
    }


@torch.no_grad()
def detailed(masks: Float[Tensor, "B N H W"], exclusive: bool) -> dict[str, Tensor]:
    """More numbers of the same masks, for now and then: there are many of them.

    `masker/histogram/{k}/{t}` is the share of images in which mask k hides t to t + 1 tenths,
    `masker/cosine/{j}_{k}` and `masker/iou/{j}_{k}` say how much masks j and k hide the same, and
    `masker/pieces/{k}` is the mean number of connected pieces of the hard mask; all but the first
    of the first `LOOKED_AT` images of the batch.

    Args:
        masks: In [0, 1], 1 = hidden.
        exclusive: As for `described`.
    """
    masks = masks.detach().float()
    tenths = (masks.mean((2, 3)) * BINS).long().clamp(max=BINS - 1)
    logs = {
        f"masker/histogram/{k}/{t}": (tenths[:, k] == t).float().mean()
        for k in range(masks.shape[1])
        for t in range(BINS)
    }
    masks = masks[:LOOKED_AT]
    matrices = {"cosine": cosines(masks), "iou": soft_ious(masks)}
    for j, k in torch.combinations(torch.arange(masks.shape[1])).tolist():
        logs |= {f"masker/{name}/{j}_{k}": matrix[j, k] for name, matrix in matrices.items()}
    counts = pieces(hardened(masks, exclusive))
    return logs | {f"masker/pieces/{k}": count for k, count in enumerate(counts)}


def hardened(masks: Float[Tensor, "B N H W"], exclusive: bool) -> Bool[Tensor, "B N H W"]:
    """Hard masks: the strongest of each pixel where masks share it, else those above 1/2."""
    if exclusive:
        return F.one_hot(masks.argmax(1), masks.shape[1]).movedim(-1, 1).bool()
    return masks > 0.5


def pieces(hard: Bool[Tensor, "B N H W"]) -> Float[Tensor, " N"]:
    """How many pieces each mask has, pixels touching by their sides; a mean over images."""
    beside = ndimage.generate_binary_structure(2, 1)[None]  # not across images
    found = [
        ndimage.label(mask, np.pad(beside, ((1, 1), (0, 0), (0, 0))))[1]
        for mask in hard.transpose(0, 1).cpu().numpy()
    ]
    return torch.tensor(found, dtype=torch.float32) / len(hard)


def softness(masks: Float[Tensor, "B N H W"], exclusive: bool) -> Float[Tensor, ""]:
    """How undecided pixels are: 0 where all are hidden or shown, 1 where none is decided.

    Undecided means 1/2, or 1/N where N masks share each pixel (`exclusive`). Two exclusive masks
    are as soft as two others; a single exclusive mask hides everything and is not soft.
    """
    soft = (masks * (1 - masks)).mean()
    count = masks.shape[1]
    most = (count - 1) / count**2 if exclusive else 0.25
    return soft / max(most, TINY)


def dimming(masks: Float[Tensor, "B N H W"]) -> Float[Tensor, ""]:
    """How evenly masks spread over an image: 0 cut out, 1 dim every pixel alike.

    1 - (deviation of a mask's pixels)^2 / s(1 - s), where s is its size in that image and s(1 - s)
    what a binary mask of that size has. Unlike `softness` it does not depend on the size.
    """
    sizes = masks.mean((2, 3))
    most = (sizes * (1 - sizes)).sum()
    found = masks.var((2, 3), correction=0).sum()
    return torch.where(most > TINY, (1 - found / most.clamp(min=TINY)).clamp(0, 1), 0.0)


def coverage(masks: Float[Tensor, "B N H W"]) -> Float[Tensor, ""]:
    """The share of the image that some mask hides; soft masks count as independent chances."""
    return 1 - (1 - masks).prod(1).mean()


def overlap(masks: Float[Tensor, "B N H W"]) -> Float[Tensor, ""]:
    """How much two masks of an image hide the same: 0 nothing, 1 all masks are equal.

    The cosines of all pairs, each weighted by the lengths of its two masks, so that what an empty
    mask points at counts for nothing. 0 for a single mask.
    """
    flat = masks.flatten(2)
    gram = flat @ flat.mT
    lengths = gram.diagonal(dim1=1, dim2=2).sqrt()
    most = lengths[:, :, None] * lengths[:, None, :]
    other = ~torch.eye(masks.shape[1], dtype=torch.bool, device=masks.device)
    return (gram * other).sum() / (most * other).sum().clamp(min=TINY)


def cosines(masks: Float[Tensor, "B N H W"]) -> Float[Tensor, "N N"]:
    """The cosine of each pair of masks of an image, a mean over images; 0 with an empty mask."""
    flat = F.normalize(masks.flatten(2).float(), dim=2)
    return (flat @ flat.mT).mean(0)


def soft_ious(masks: Float[Tensor, "B N H W"]) -> Float[Tensor, "N N"]:
    """The soft IoU of each pair of masks: pixels hidden by both over pixels hidden by either.

    Both is the smaller, either the larger of two soft values (Ruzicka), so that a mask and itself
    give 1 however soft; 0 with an empty mask. A mean over images.
    """
    found = []
    for one in masks.float().unbind(1):
        both = torch.minimum(one[:, None], masks).sum((2, 3))
        either = torch.maximum(one[:, None], masks).sum((2, 3))
        found.append((both / either.clamp(min=TINY)).mean(0))
    return torch.stack(found)


def roughness(masks: Float[Tensor, "B N H W"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """How much neighbouring pixels differ: total variation, and the same beside noise.

    The first is the mean absolute difference of two neighbours. The second, Geary's C (1954), is
    their mean squared difference over that of two pixels drawn anywhere from the same mask: 0
    smooth, 1 pixels know nothing of their neighbours, up to 2 for a chequerboard. It depends
    neither on size nor on softness.
    """
    across, down = masks.diff(dim=3), masks.diff(dim=2)
    count = max(across.numel() + down.numel(), 1)
    variation = (across.abs().sum() + down.abs().sum()) / count
    squares = (across.square().sum() + down.square().sum()) / count
    anywhere = 2 * masks.var((2, 3)).nan_to_num().mean()
    return variation, squares / anywhere.clamp(min=TINY)


def image_dependence(masks: Float[Tensor, "B N H W"]) -> Float[Tensor, ""]:
    """The share of the masks' variance that lies between images; 0 = the same mask everywhere.

    At most 1. A masker that hides a place whatever the image shows has 0. 0 for a single image.
    """
    between = masks.var(0, correction=0).mean()
    total = masks.var((0, 2, 3), correction=0).mean()
    return between / total.clamp(min=TINY)


@torch.no_grad()
def drift(
    kept: Mapping[str, Tensor], clean: Mapping[str, Tensor]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """How far batch-norm statistics kept in training lie from those of clean images.

    Args:
        kept: A state dict; its `*running_mean` and `*running_var` are compared.
        clean: The same statistics, re-estimated on images that nothing hides.

    Returns:
        The mean over all channels of the distance of the two means, in deviations of the clean
        images, and of the absolute logarithm of the quotient of the two deviations. 0 = none;
        0.69 in the second is a factor of 2.

    Raises:
        ValueError: The two have different statistics, or none.
    """
    names = {n.removesuffix("running_mean") for n in kept if n.endswith("running_mean")}
    other = {n.removesuffix("running_mean") for n in clean if n.endswith("running_mean")}
    if not names or names != other:
        raise ValueError(
            f"drift compares statistics of the same network, got {len(names)} batch norms and "
            f"{len(other)}, of which {len(names & other)} have the same name"
        )
    means, ratios = [], []
    for name in sorted(names):
        spread = clean[f"{name}running_var"].double().clamp(min=TINY)
        moved = kept[f"{name}running_mean"].double() - clean[f"{name}running_mean"].double()
        means.append(moved.abs() / spread.sqrt())
        ratios.append(
            (kept[f"{name}running_var"].double().clamp(min=TINY) / spread).log().abs() / 2
        )
    return torch.cat(means).mean().float(), torch.cat(ratios).mean().float()
