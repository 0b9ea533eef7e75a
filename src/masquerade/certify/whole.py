"""Features as whole numbers: sums of them have no rounding, so no order in which they are made.

A floating-point sum depends on the order of its terms, on padding, threads and batch size; the sum
of whole numbers in float64 is exact below 2^53. Each row is scaled by itself: statistics of other
images would let one poisoned image reach every model.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

UNIT = 1 << 11  # what the root mean square of a row becomes
LIMIT = (1 << 14) - 1  # larger entries, eight times that, are cut
EXACT = 53  # bits of a whole number that float64 holds
WIDEST = 4096  # features at most, so that every sum below stays exact
WEIGHT = 16  # weights this large or larger are cut


def whole(features: Float[Tensor, "N D"]) -> Int[Tensor, "N D+1"]:
    """Rows of whole numbers up to 2^14 with root mean square 2^11, and a constant 2^11 at the end.

    A row's numbers follow from that row alone. Every operation on the way is exact or rounds one
    number as IEEE 754 says, so they are the same on every machine. A row of zeros stays zero.
    Int16.

    Raises:
        ValueError: A feature is nan or infinite, or there are more than 4096.
    """
    if features.shape[1] > WIDEST:
        raise ValueError(
            f"features have {features.shape[1]} numbers, at most {WIDEST} can be summed exactly. "
            "Use an encoder, or smaller images"
        )
    if not bool(features.isfinite().all()):
        bad = int((~features.isfinite()).any(1).nonzero()[0])
        raise ValueError(f"the features of image {bad} are nan or infinite")
    out = np.empty((len(features), features.shape[1] + 1), np.int16)
    out[:, -1] = UNIT
    for start in range(0, len(features), 4096):
        rows = slice(start, start + 4096)
        part = features[rows].detach().cpu().double().numpy()
        _, exponent = np.frexp(np.abs(part).max(1, keepdims=True, initial=0))
        coarse = np.rint(np.ldexp(part, 19 - exponent))  # squares of 38 bits, 4096 of them of 50
        size = np.sqrt((coarse * coarse).sum(1, keepdims=True) / part.shape[1])
        size[size == 0] = 1
        out[rows, :-1] = np.clip(np.rint(coarse * (UNIT / size)), -LIMIT, LIMIT)
    return torch.from_numpy(out)


def fraction(columns: int) -> int:
    """How many bits of a weight come after the point where scores sum so many columns."""
    bits = min(28, EXACT - 14 - (columns - 1).bit_length())
    return bits - (WEIGHT - 1).bit_length()


def rounded(weights: NDArray[np.float64], columns: int) -> NDArray[np.int32]:
    """Weights as whole numbers with `fraction(columns)` bits after the point."""
    bits = fraction(columns)
    most = (WEIGHT << bits) - 1
    return np.clip(np.rint(np.ldexp(weights, bits)), -most, most).astype(np.int32)


def scores(features: Int[Tensor, "T W"], weights: Int[Tensor, "C W K"]) -> Float[Tensor, "T K C"]:
    """Exact products of whole features and weights, in float64 and class-major in memory.

    Whole numbers: equal scores are equal, whatever the batch, the machine or the number of threads.
    """
    exact = features.double()
    out = torch.empty(len(weights), len(features), weights.shape[2], dtype=torch.float64)
    for table, place in zip(weights, out, strict=True):
        torch.mm(exact, table.double(), out=place)
    return out.permute(1, 2, 0)
