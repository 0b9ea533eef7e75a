"""Fields: smooth random surfaces over an image, every pixel of them standard normal.

A surface is a sum of bumps, one at the middle of each cell of a grid, each as high as a normal
number. The weights of a pixel are scaled to a sum of squares of 1, so that a level is passed with
the same probability everywhere, at the rim as in the middle.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

BUMP = 0.5  # standard deviation of a bump, in cells: pixels two cells apart hardly agree


def smooth(heights: Float[Tensor, "M n n"], size: tuple[int, int]) -> Float[Tensor, "M H W"]:
    """The surfaces of `size` pixels whose bumps have these heights, on the device of the heights.

    Pixels d cells apart correlate as exp(-d^2) or a little more, in rows and columns alike.
    """
    down, across = (_bumps(side, heights.shape[1]).to(heights) for side in size)
    with torch.autocast(heights.device.type, enabled=False):
        return down @ heights @ across.T


def _bumps(side: int, cells: int) -> Float[Tensor, "H n"]:
    """How much each bump adds to each pixel along an axis."""
    pixels = (torch.arange(side) + 0.5) / side * cells
    far = pixels[:, None] - (torch.arange(cells) + 0.5)
    return F.normalize(torch.exp(-0.5 * (far / BUMP).square()), dim=1)
