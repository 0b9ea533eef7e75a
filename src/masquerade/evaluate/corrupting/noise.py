"""Noise: what sensors and transmission add to each value."""

import torch
from jaxtyping import Float
from torch import Tensor

from masquerade.evaluate.corrupting.draws import Draws, Number

Images = Float[Tensor, "B C H W"]


def gaussian_noise(x: Images, deviation: Number, draws: Draws) -> Images:
    """Normal noise of one deviation."""
    return x + deviation * draws.normal(*x.shape[1:])


def shot_noise(x: Images, photons: Number, draws: Draws) -> Images:
    """Counts of so many photons where the image is white."""
    return draws.poisson(x * photons) / photons


def impulse_noise(x: Images, share: Number, draws: Draws) -> Images:
    """A share of the values is 0 or 1, one as often as the other."""
    hit, salt = draws.uniform(*x.shape[1:]), draws.uniform(*x.shape[1:])
    return torch.where(hit < share, (salt < 0.5).to(x), x)


def speckle_noise(x: Images, deviation: Number, draws: Draws) -> Images:
    """Normal noise in proportion to the value."""
    return x + x * deviation * draws.normal(*x.shape[1:])
