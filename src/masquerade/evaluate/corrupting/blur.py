"""Blur: a lens out of focus, frosted glass, and what moves while the shutter is open."""

from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from masquerade.evaluate.corrupting.draws import Draws, Number

Images = Float[Tensor, "B C H W"]


def gaussian_blur(x: Images, sigma: Number, draws: Draws) -> Images:
    """A Gaussian of `sigma` pixels; the border pixels go on outside."""
    return smoothed(x, sigma)


def defocus_blur(x: Images, lens: tuple[Number, Number], draws: Draws) -> Images:
    """The mean over a disk of (radius) pixels, whose rim is softened by (alias) pixels."""
    kernel = torch.from_numpy(disk(*lens))
    reach = len(kernel) // 2
    b, c, h, w = x.shape
    padded = F.pad(x.reshape(b * c, 1, h, w), (reach,) * 4, mode="reflect")
    return F.conv2d(padded, kernel[None, None]).reshape(x.shape)


def glass_blur(x: Images, glass: tuple[Number, int, int], draws: Draws) -> Images:
    """Pixels copied from neighbours at most (reach) away, (passes) times, between two blurs.

    Note:
        The official code means to swap two pixels, but the two are views of one array, so one is
        copied over the other; the published files were made so, and this does the same.
    """
    sigma, reach, passes = glass
    h, w = x.shape[2:]
    soft = (smoothed(x, sigma).clamp(0, 1) * 255).floor() / 255
    flat = soft.flatten(2).permute(2, 0, 1).contiguous().numpy()  # pixels first
    image = np.arange(len(x))
    for _ in range(passes):
        dy, dx = draws.whole(-reach, reach - 1, 2, h, w).long().permute(1, 2, 3, 0).numpy()
        for row in range(h - reach, reach, -1):
            for column in range(w - reach, reach, -1):
                source = (row + dy[row, column]) * w + column + dx[row, column]
                flat[row * w + column] = flat[source, image]
    moved = torch.from_numpy(flat).permute(1, 2, 0).reshape(x.shape)
    return smoothed(moved, sigma)


def motion_blur(x: Images, motion: tuple[int, Number], draws: Draws) -> Images:
    """The trace of a movement within 45 degrees of the horizontal, fading as a Gaussian."""
    return dragged(x, *motion, 90 * draws.uniform() - 45)


def zoom_blur(x: Images, factors: NDArray[np.float64], draws: Draws) -> Images:
    """The mean of the image and of its centre enlarged by each factor."""
    zooms = [enlarged(x, float(factor)) for factor in factors]
    return torch.stack([x, *zooms]).mean(dim=0)


def smoothed(x: Images, sigma: Number) -> Images:
    """A Gaussian over 4 deviations to each side; the border pixels go on outside."""
    h, w = x.shape[2:]
    return smoothing(h, sigma, 4.0) @ x @ smoothing(w, sigma, 4.0).T


@cache
def smoothing(
    size: int, sigma: Number, truncate: float, mirrored: bool = False
) -> Float[Tensor, "S S"]:
    """The Gaussian of an axis as a matrix.

    Args:
        size: Length of the axis.
        sigma: Standard deviation in pixels; 0 changes nothing.
        truncate: At how many deviations it ends.
        mirrored: Whether the axis is mirrored outside, its border pixel included, instead of
            going on with that pixel.
    """
    reach = int(truncate * sigma + 0.5)
    offset = np.arange(-reach, reach + 1)
    weight = np.exp(-0.5 * (offset / sigma) ** 2) if reach else np.ones(1)
    place = np.arange(size)[:, None] + offset
    place = folded(place, size, repeat=True) if mirrored else place.clip(0, size - 1)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], place), weight / weight.sum())
    return torch.from_numpy(matrix)


def folded(place: NDArray[np.int64], size: int, repeat: bool) -> NDArray[np.int64]:
    """Places outside an axis mirrored into it; `repeat` shows the border pixel twice."""
    period = 2 * size if repeat else 2 * size - 2
    place = place % period
    return np.minimum(place, period - int(repeat) - place)


def disk(radius: Number, alias: Number) -> NDArray[np.float64]:
    """A disk that adds up to 1, softened by a Gaussian of 3 x 3 pixels, 5 x 5 above radius 8."""
    reach, window = (8, 1) if radius <= 8 else (int(radius), 2)
    axis = np.arange(-reach, reach + 1)
    inside = (axis[:, None] ** 2 + axis**2 <= radius**2).astype(np.float64)
    soft = np.exp(-0.5 * (np.arange(-window, window + 1) / alias) ** 2)
    rows = ndimage.correlate1d(inside / inside.sum(), soft / soft.sum(), axis=0, mode="mirror")
    both: NDArray[np.float64] = ndimage.correlate1d(rows, soft / soft.sum(), axis=1, mode="mirror")
    return both


def dragged(x: Images, radius: int, sigma: Number, degrees: Float[Tensor, " B"]) -> Images:
    """One-sided Gaussian weights along a line; the border pixels go on outside.

    Args:
        x: Images.
        radius: The line has 2 * radius + 1 pixels.
        sigma: Standard deviation of the weights, in pixels.
        degrees: The line's direction in each image; 0 is along a row, 90 down a column.
    """
    b, _, h, w = x.shape
    count = torch.arange(2 * radius + 1, dtype=torch.float64)
    weight = torch.exp(-0.5 * (count / sigma) ** 2)
    angle = degrees.deg2rad()[:, None]
    down = (count * angle.sin() - 0.5).ceil().long()
    right = (count * angle.cos() - 0.5).ceil().long()
    image, total = torch.arange(b)[:, None, None], torch.zeros_like(x)
    for k, share in enumerate((weight / weight.sum()).tolist()):
        rows = (torch.arange(h) + down[:, k, None]).clamp(0, h - 1)
        columns = (torch.arange(w) + right[:, k, None]).clamp(0, w - 1)
        seen = x.movedim(1, -1)[image, rows[:, :, None], columns[:, None, :]]
        total += share * seen.movedim(-1, 1)
    return total


def enlarged(x: Images, factor: Number) -> Images:
    """The centre of the images, enlarged to their size by linear interpolation."""
    h, w = x.shape[2:]
    seen = [int(np.ceil(side / factor)) for side in (h, w)]
    top, left = (h - seen[0]) // 2, (w - seen[1]) // 2
    centre = x[:, :, top : top + seen[0], left : left + seen[1]].numpy()
    large = ndimage.zoom(centre, (1, 1, factor, factor), order=1)
    top, left = (large.shape[2] - h) // 2, (large.shape[3] - w) // 2
    return torch.from_numpy(large[:, :, top : top + h, left : left + w])
