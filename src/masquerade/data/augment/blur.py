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
    far = torch.arange(2 * size - 1, device=sigma.device)
    gauss = torch.exp(-0.5 * (far / sigma[:, None]) ** 2).to(torch.float32)
    gauss.masked_fill_(gauss < 1e-8, 0)  # denormal weights would make products 10 times slower
    both = torch.cat([gauss[:, 1:size].flip(1), gauss[:, :size]], 1)
    weight = both.unfold(1, size, 1).flip(1)  # unfold: entry (i, j) is number i + j of the table
    # the edge pixel itself is not repeated: no second copy of the first column and of the last
    weight[:, :, 1:] += gauss.unfold(1, size, 1)[:, :, 1:]
    weight[:, :, :-1] += gauss.flip(1).unfold(1, size, 1)[:, :, :-1]
    return weight.div_(weight.sum(2, keepdim=True))
