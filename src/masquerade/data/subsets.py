"""Label fractions and held-out parts as index arrays: seeded, by class, whole groups at a time."""

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from masquerade.core.seed import Seed


def fraction(
    labels: Int[Tensor, " N"],
    ratio: float,
    seed: Seed,
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Indices of about `ratio` of the images of each class, ascending.

    A class with any image keeps at least one. The draw is nested: with one seed, the 1 % are
    among the 10 %.

    Args:
        labels: Class indices; images with -1 are never drawn.
        ratio: Share of each class, above 0 and at most 1.
        seed: Which draw.
        groups: Images of one group show the same object. They are drawn together, until the
            class has its share; the last group may exceed it by less than its own size.

    Raises:
        ValueError: `ratio` is outside (0, 1], or `groups` has another length than `labels`.
    """
    if not 0 < ratio <= 1:
        raise ValueError(f"a label fraction must be above 0 and at most 1, got {ratio}")
    if groups is None:
        groups = np.arange(len(labels))
    if len(groups) != len(labels):
        raise ValueError(f"groups has {len(groups)} entries for {len(labels)} labels")
    classes = labels.cpu().numpy()
    kept = [
        drawn(np.flatnonzero(classes == label), ratio, seed.fold("fraction", int(label)), groups)
        for label in np.unique(classes[classes >= 0])
    ]
    return np.sort(np.concatenate(kept)) if kept else np.zeros(0, np.int64)


def drawn(
    members: NDArray[np.int64], ratio: float, seed: Seed, groups: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Members of one class, group by group in a shuffled order, until the share is reached."""
    names, sizes = np.unique(groups[members], return_counts=True)
    shuffled = torch.randperm(len(names), generator=seed.generator()).numpy()
    wanted = max(1, round(ratio * len(members)))
    before = np.cumsum(sizes[shuffled]) - sizes[shuffled]
    return members[np.isin(groups[members], names[shuffled[before < wanted]])]


def split(
    labels: Int[Tensor, " N"],
    ratio: float,
    seed: Seed,
    groups: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(the rest, the `ratio` held out), stratified by class; a group lies on one side only.

    A group that spans classes is held out if any of its classes draws it. Images with label -1
    and no held-out group stay in the rest. Arguments and errors as `fraction`.
    """
    held = fraction(labels, ratio, seed, groups)
    if groups is not None:
        held = np.flatnonzero(np.isin(groups, groups[held]))
    return np.setdiff1d(np.arange(len(labels)), held), held
