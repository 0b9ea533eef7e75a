"""Images, boxes and masks cut to the same window and brought to one square size."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from masquerade.data.augment.geometry import boxes, resample, sampling
from masquerade.data.augment.precision import peak
from masquerade.data.dense import IGNORED, Objects
from masquerade.data.images import ImageSet, Rows, where

EDGE = 1.0  # pixels; boxes that have less left of them are left out, as torchvision does


class Window(NamedTuple):
    """What of each image becomes the square, in its pixels; fractions and outsides are allowed.

    Attributes:
        start: Top and left edge.
        length: Height and width.
        flip: Whether left and right change places.
    """

    start: Float[Tensor, "B 2"]
    length: Float[Tensor, "B 2"]
    flip: Bool[Tensor, " B"]


class Square(NamedTuple):
    """A batch of one size.

    Attributes:
        images: Standardised, float32; 0, the mean colour, outside the image.
        objects: Per image, boxes and masks in pixels of the square; what lies outside is left out.
        semantic: 0 = background, 1 + class, 255 = ignored; None where it is not known.
    """

    images: Float[Tensor, "B C S S"]
    objects: list[Objects]
    semantic: UInt8[Tensor, "B S S"] | None


def centred(extent: Int[Tensor, "B 2"], size: int, crop: float = 1.0) -> Window:
    """The window that `plain` shows: the shorter side becomes `round(size / crop)`, the centre."""
    shorter = round(size / crop)
    resized = torch.div(shorter * extent, extent.min(1).values[:, None], rounding_mode="floor")
    scale = extent.double() / resized  # torchvision truncates the longer side, so two scales
    start = ((resized - size) / 2).round() * scale
    return Window(start.float(), (size * scale).float(), torch.zeros(len(extent), dtype=torch.bool))


def jittered(
    extent: Int[Tensor, "B 2"],
    tries: Float[Tensor, "B A 2"],
    place: Float[Tensor, "B 2"],
    flip: Bool[Tensor, " B"],
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> Window:
    """Windows as torchvision's RandomResizedCrop draws them; arguments as `geometry.boxes`."""
    found = boxes(extent, tries, place, scale, ratio).float()
    return Window(found[:, :2], found[:, 2:], flip)


def square(
    images: ImageSet,
    rows: Rows,
    window: Window,
    size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Square:
    """Some images of a set and their objects, each through its window.

    Pixels are resampled antialiased, masks take the nearest pixel, boxes are moved and cut off at
    the window's edges. Objects of which less than a pixel is left, in either direction, are left
    out.

    Args:
        images: With `dense`.
        rows: Which images.
        window: One for each.
        size: Side of the square, S.
        mean: Of each channel in [0, 1] units; becomes 0.
        std: Of each channel in [0, 1] units; becomes 1.

    Raises:
        ValueError: No objects are drawn in these images.
    """
    if images.dense is None:
        raise ValueError(
            f"{images.name} has no boxes and no masks; scenes, voc, coco and clevr have"
        )
    picked = where(rows, len(images))
    extents = images.extents(picked)
    pixels = images.read(picked).permute(0, 2, 3, 1)
    tall, wide = (
        sampling(
            torch.zeros(len(picked)),
            extents[:, a],
            size,
            images.shape[a],
            flip=window.flip if a else None,
            scale=window.length[:, a] / size,
            first=window.start[:, a] * size / window.length[:, a],
        )
        for a in (0, 1)
    )
    shift, spread = (torch.tensor(n)[:, None, None] for n in (mean, std))
    shown = resample(pixels.float(), tall, wide).div_(peak(images.read(picked[:1])))
    near = [nearest(window, extents, size, a) for a in (0, 1)]
    objects = [
        moved(images.dense.objects(int(row)), window, i, size, (near[0][i], near[1][i]))
        for i, row in enumerate(picked)
    ]
    semantic = None
    if images.dense.has_semantic:
        maps = images.dense.semantic(picked)
        semantic = torch.stack(
            [taken(maps[i : i + 1], (near[0][i], near[1][i]), IGNORED)[0] for i in range(len(maps))]
        )
    outside = (near[0] < 0)[:, None, :, None] | (near[1] < 0)[:, None, None, :]
    return Square(shown.sub_(shift).div_(spread).masked_fill_(outside, 0), objects, semantic)


def nearest(window: Window, extent: Int[Tensor, "B 2"], size: int, axis: int) -> Int[Tensor, "B S"]:
    """The pixel under the centre of each sample of an axis; -1 outside the image."""
    sample = (torch.arange(size) + 0.5) / size
    if axis:
        sample = torch.where(window.flip[:, None], sample.flip(0), sample)
    at = (window.start[:, axis, None] + sample * window.length[:, axis, None]).floor().long()
    return at.where((at >= 0) & (at < extent[:, axis, None]), torch.tensor(-1))


def taken(maps: Tensor, near: tuple[Int[Tensor, " S"], Int[Tensor, " S"]], outside: int) -> Tensor:
    """Maps [n, H, W] read at some rows and columns; `outside` where these are -1."""
    rows, columns = near
    found = maps[:, rows.clamp(min=0)][:, :, columns.clamp(min=0)]
    found[:, rows < 0] = outside
    found[:, :, columns < 0] = outside
    return found


def moved(
    found: Objects,
    window: Window,
    i: int,
    size: int,
    near: tuple[Int[Tensor, " S"], Int[Tensor, " S"]],
) -> Objects:
    """One image's objects in the pixels of its square."""
    start, length = window.start[i].flip(0).repeat(2), window.length[i].flip(0).repeat(2)
    edges = (found.boxes - start) * (size / length)
    if window.flip[i]:
        edges = torch.stack([size - edges[:, 2], edges[:, 1], size - edges[:, 0], edges[:, 3]], 1)
    edges = edges.clamp(0, size)
    kept = ((edges[:, 2:] - edges[:, :2]) >= EDGE).all(1)
    masks = None if found.masks is None else taken(found.masks[kept], near, 0)
    return Objects(edges[kept], found.labels[kept], found.crowd[kept], masks)
