"""Spatter: drops of water, or of mud, on the lens."""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from masquerade.evaluate.corrupting.blur import smoothed
from masquerade.evaluate.corrupting.colour import tinted
from masquerade.evaluate.corrupting.draws import Draws, Number

Images = Float[Tensor, "B C H W"]
Strength = tuple[Number, Number, Number, Number, Number, bool]
WATER = (175 / 255, 238 / 255, 238 / 255)
MUD = (63 / 255, 42 / 255, 20 / 255)
LOW, HIGH = 50, 150  # slopes of a weak and of a strong edge, in 8-bit levels
FAR = 20  # pixels from its rim, where a drop is as bright as it gets
LENS = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])  # light from one side


def spatter(
    x: Images, c: tuple[Number, Number, Number, Number, Number, bool], draws: Draws
) -> Images:
    """Smooth noise above a threshold is wet; water brightens, mud covers.

    `c` is the noise's mean, deviation and smoothness, the threshold, how strong water is or how
    soft the rim of mud, and whether it is mud.
    """
    mean, deviation, sigma, threshold, strength, mud = c
    liquid = smoothed(mean + deviation * draws.normal(1, *x.shape[2:]), sigma)
    liquid = liquid.where(liquid >= threshold, 0)
    if mud:
        cover = smoothed((liquid > threshold).to(x), strength)
        cover = cover.where(cover >= 0.8, 0)
        return x * (1 - cover) + tinted(cover, MUD, x.shape[1])
    light = torch.stack([torch.from_numpy(lit(one[0].numpy())) for one in liquid])[:, None]
    return x + tinted(strength * light, WATER, x.shape[1])


def lit(liquid: NDArray[np.float64]) -> NDArray[np.float64]:
    """How drops shine, 0..1: by the distance from their rims, relief added."""
    levels = (liquid.clip(0, 1) * 255).astype(np.uint8)
    far = np.minimum(ndimage.distance_transform_edt(~edges(levels)), FAR)
    far = equalised(ndimage.uniform_filter(far, 3, mode="mirror").astype(np.uint8))
    relief = ndimage.correlate(far.astype(np.float64), LENS, mode="mirror").clip(0, 255)
    shine = levels * ndimage.uniform_filter(relief, 3, mode="mirror")
    brightest: NDArray[np.float64] = shine / (shine.max() or 1)
    return brightest


def edges(levels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Canny's edges: ridges of the slope that are strong, or weak and joined to a strong one."""
    values = levels.astype(np.float64)
    across, down = (ndimage.sobel(values, axis=axis, mode="nearest") for axis in (1, 0))
    slope = np.abs(across) + np.abs(down)
    around = np.pad(slope, 1)
    h, w = slope.shape

    def beside(rows: int, columns: int) -> NDArray[np.float64]:
        return around[1 + rows : 1 + rows + h, 1 + columns : 1 + columns + w]

    angle = np.abs(down) / np.maximum(np.abs(across), 1e-12)
    flat, steep = angle < np.tan(np.pi / 8), angle > np.tan(3 * np.pi / 8)
    same = across * down > 0
    ahead = np.select(
        [flat, steep, same], [beside(0, 1), beside(1, 0), beside(1, 1)], beside(-1, 1)
    )
    behind = np.select(
        [flat, steep, same], [beside(0, -1), beside(-1, 0), beside(-1, -1)], beside(1, -1)
    )
    ridge = (slope > LOW) & (slope > behind) & (slope >= ahead)
    parts = ndimage.label(ridge, np.ones((3, 3)))[0]
    strong = np.unique(parts[ridge & (slope > HIGH)])
    joined: NDArray[np.bool_] = np.isin(parts, strong) & ridge
    return joined


def equalised(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The histogram spread over all levels."""
    counts = np.bincount(levels.ravel(), minlength=256)
    below = counts.cumsum()
    first = below[levels.min()]
    if first == levels.size:
        return levels
    table = ((below - first) / (levels.size - first) * 255).round().clip(0, 255)
    spread: NDArray[np.uint8] = table.astype(np.uint8)[levels]
    return spread
