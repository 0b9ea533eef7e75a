"""Colour: contrast and saturation, and what grey and tinted mean for one channel or three."""

import torch
from jaxtyping import Float
from torch import Tensor

from masquerade.data.augment.color import LUMA
from masquerade.evaluate.corrupting.draws import Draws, Number

Images = Float[Tensor, "B C H W"]


def contrast(x: Images, kept: Number, draws: Draws) -> Images:
    """A share of each value's distance from the mean of its channel."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    return (x - mean) * kept + mean


def saturate(x: Images, c: tuple[Number, Number], draws: Draws) -> Images:
    """The HSV saturation times (factor) plus (offset); hue and value stay, grey counts as red."""
    factor, offset = c
    value, least = x.amax(dim=1, keepdim=True), x.amin(dim=1, keepdim=True)
    spread = value - least
    saturation = spread / value.where(value > 0, 1)
    wanted = (saturation * factor + offset).clamp(0, 1)
    # How far each channel lies below the value, from 0 to 1; red has 0, the others 1 where grey.
    red = torch.tensor([0.0, 1.0, 1.0], dtype=x.dtype)[None, :, None, None].expand_as(x)
    below = torch.where(spread > 0, (value - x) / spread.where(spread > 0, 1), red)
    return value * (1 - wanted * below)


def grey(x: Images) -> Float[Tensor, "B 1 H W"]:
    """The luma of three channels, or the only channel."""
    if x.shape[1] == 1:
        return x
    weights = torch.tensor(LUMA, dtype=x.dtype)[:, None, None]
    return (weights * x).sum(dim=1, keepdim=True)


def tinted(
    layer: Float[Tensor, "B 1 H W"], colour: tuple[float, float, float], channels: int
) -> Images:
    """A layer in a colour; in that colour's grey where there is one channel."""
    shade = torch.tensor(colour, dtype=layer.dtype)[:, None, None]
    painted = layer * shade
    return painted if channels == 3 else grey(painted)
