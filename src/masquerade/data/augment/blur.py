"""Gaussian blur as a matrix per axis, to be multiplied into the one that resamples it."""

import torch
from jaxtyping import Float
from torch import Tensor


def blurring(sigma: Float[Tensor, " B"], size: int) -> Float[Tensor, "B S S"]:
    """Matrices that blur an axis of `size` pixels with a whole Gaussian, edges reflected.

    Args:
        sigma: Standard deviations in pixels, above 0. One reflection is counted, which is all there
            is while sigma is well below the size.
        size: Pixels, S.
    """
    place = torch.arange(size, device=sigma.device)
    apart = (place[:, None] - place).abs()
    before, after = place[:, None] + place, 2 * (size - 1) - place[:, None] - place
    gauss = torch.exp(-0.5 * (torch.arange(2 * size, device=sigma.device) / sigma[:, None]) ** 2)
    # the edge pixel itself is not repeated: no second copy of column 0 and of the last one
    weight = gauss[:, apart]
    weight[:, :, 1:] += gauss[:, before[:, 1:]]
    weight[:, :, :-1] += gauss[:, after[:, :-1]]
    return weight / weight.sum(2, keepdim=True)
