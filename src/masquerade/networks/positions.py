"""Fixed positions of patches: sines and cosines of their column and row, as in MAE.

He et al., "Masked Autoencoders Are Scalable Vision Learners", 2021. https://arxiv.org/abs/2111.06377
"""

import torch
from jaxtyping import Float
from torch import Tensor


def sincos(dim: int, grid: int) -> Float[Tensor, "1 T D"]:
    """The positions of a class token (zeros) and of `grid * grid` patches, row by row.

    With q = D / 4 and w_k = 10000^(-k / q) a patch in row i and column j has
    [sin(j w), cos(j w), sin(i w), cos(i w)], each q long: the column comes first.

    Args:
        dim: Width of a token, D; divisible by 4.
        grid: Patches along each side.

    Returns:
        T = 1 + grid * grid rows, computed in float64, in the default dtype.

    Note:
        timm's `build_sincos2d_pos_embed` orders the channels otherwise; weights trained with one
        do not work with the other.
    """
    if dim % 4:
        raise ValueError(f"sin-cos positions need a width that is a multiple of 4, got {dim}")
    quarter = dim // 4
    waves = 10000.0 ** -(torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.arange(grid, dtype=torch.float64)[:, None] * waves
    line = torch.cat([angles.sin(), angles.cos()], 1)
    columns = line[None].expand(grid, grid, -1)
    rows = line[:, None].expand(grid, grid, -1)
    table = torch.cat([columns, rows], 2).flatten(0, 1)
    whole = torch.cat([torch.zeros(1, dim, dtype=torch.float64), table])
    return whole[None].to(torch.get_default_dtype())
