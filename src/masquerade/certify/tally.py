"""Counting votes: scores are read once, class by class, in pieces that stay in the cache.

Everything below works on arrays [C, b, K] with the models innermost: there a comparison of two
classes is one pass over contiguous memory, and its result is counted eight models at a time.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from masquerade.certify.base import Ties

NEVER = 1 << 40  # the price of what cannot be done: more than there are models or partitions
CHUNK = 1 << 20  # bytes of scores per piece: what a core's own cache holds

Flags = NDArray[np.bool_]
Whole = NDArray[np.int64]
Scores = NDArray[np.floating]


def pieces(logits: Float[Tensor, "T K C"], size: int = CHUNK) -> Iterator[tuple[slice, Scores]]:
    """Rows and their scores [C, b, K], in order; half precision comes as float32."""
    images, models, classes = logits.shape
    step = max(1, size // (models * classes * max(4, logits.element_size())))
    for start in range(0, images, step):
        rows = slice(start, min(start + step, images))
        yield rows, plain(logits[rows].permute(2, 0, 1))


def plain(scores: Float[Tensor, "*S"]) -> Scores:
    """Scores for NumPy, which knows no bfloat16; half precision is exact in float32."""
    there = scores.detach().cpu()
    small = there.dtype in (torch.float16, torch.bfloat16)
    return (there.float() if small else there).contiguous().numpy()


def count(flags: Flags) -> Whole:
    """How many are true along the last axis.

    Eight flags are one word; up to 255 words are added before a byte could run over.
    """
    *front, length = flags.shape
    if length % 8 or not flags.flags.c_contiguous:
        whole = np.zeros((*front, -(-length // 8) * 8), bool)
        whole[..., :length] = flags
        flags = whole
    words = flags.view(np.uint64)
    total = np.zeros(front, np.int64)
    for start in range(0, words.shape[-1], 255):
        added = words[..., start : start + 255].sum(-1, dtype=np.uint64)
        total += np.ascontiguousarray(added)[..., None].view(np.uint8).sum(-1, dtype=np.int64)
    return total


def choices(scores: Scores, ties: Ties, start: int = 0) -> tuple[Flags, Whole]:
    """Whom every model votes for in the first round.

    Args:
        scores: [C, b, K].
        ties: What a model with several highest scores does.
        start: The number of the first image, for messages.

    Returns:
        Flags [C, b, K], at most one true per image and model, and counts [b, C].

    Raises:
        ValueError: A score is nan or +inf.
    """
    best = scores.max(0)
    if not (best < np.inf).all():
        image, model = np.argwhere(~(best < np.inf))[0].tolist()
        raise ValueError(
            f"model {model} gives test image {start + image} a score that is nan or +inf. "
            "Only -inf is allowed, for a class that the model never saw"
        )
    votes = scores == best
    counts = count(votes)
    if (counts.sum(0) != scores.shape[2]).any():  # somebody has several highest scores
        if ties == "index":
            votes[1:] &= ~np.logical_or.accumulate(votes, 0)[:-1]
        else:
            votes &= votes.sum(0, dtype=np.int32) == 1
        counts = count(votes)
    return votes, counts.T


def finalists(counts: Whole) -> tuple[Whole, Whole]:
    """The two classes with the most votes [b], [b]; of equal counts the lower class comes first."""
    classes = counts.shape[1]
    order = counts * classes + np.arange(classes - 1, -1, -1)
    first = order.argmax(1)
    np.put_along_axis(order, first[:, None], -1, 1)
    return first, order.argmax(1)


def need(counts: Whole, first: Whole) -> Whole:
    """By how much N_a - N_c must fall, [b, C], until class c outranks class a = `first`.

    0 or less where c outranks a already; the entry of a itself is 0.
    """
    rows = np.arange(len(counts))
    gaps: Whole = counts[rows, first][:, None] - counts
    gaps += np.arange(counts.shape[1]) > first[:, None]
    return gaps
