"""Gaussian noise by address: any process can rebuild any row of a population, bit for bit.

Philox4x64-10, a counter-based generator: Salmon et al., "Parallel random numbers: as easy as
1, 2, 3", 2011. The key is the seed and the row, the counter the block within the row; pairs of
32 bits become normals by Box and Muller's transform.
"""

from collections.abc import Sequence
from math import pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from masquerade.core.seed import Seed

# Words of a block. Below what torch shares among threads: no bit depends on their number.
BLOCK = 8192


def normal(seed: Seed, rows: Sequence[int], width: int) -> Float[Tensor, "N K"]:
    """Independent standard normals, float32, on the CPU; no row depends on which others are asked.

    Args:
        seed: Of the whole population.
        rows: Which rows, from 0.
        width: Numbers in each row. A row of another width is another row.
    """
    key, found = seed.integer(), torch.empty(len(rows), width)
    for place, row in enumerate(rows):
        for block, start in enumerate(range(0, width, 2 * BLOCK)):
            fill(found[place, start : start + 2 * BLOCK], key, row, block)
    return found


def fill(part: Float[Tensor, " K"], key: int, row: int, block: int) -> None:
    """Put the first numbers of a block into `part`: cosines of all its words, then their sines."""
    words = -(-len(part) // 2)
    # Without a state: key and counter are the address, and NumPy guarantees the stream.
    source = np.random.Philox(key=[key, row], counter=[0, block, 0, 0])
    bits = source.random_raw(words).astype("<u8", copy=False).view("<u4").astype(np.float32)
    uniform = torch.from_numpy(bits.reshape(words, 2).T.copy()).mul_(2.0**-32)
    # 2**-33: what rounds to 0 would have an infinite logarithm.
    length = uniform[0].clamp_min_(2.0**-33).log_().mul_(-2).sqrt_()
    angle = uniform[1].mul_(2 * pi)
    torch.mul(length, angle.cos(), out=part[:words])
    rest = len(part) - words
    torch.mul(length[:rest], angle.sin_()[:rest], out=part[words:])
