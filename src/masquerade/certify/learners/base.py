"""Base learners: models that are each fitted on one partition's images alone.

A model is a function of the multiset of (image, label) pairs that it sees, and of nothing else, bit
for bit: rows come sorted by content, sums are exact, and what cannot be exact is computed one
model at a time, on one thread, in the model's own shape.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from masquerade.core.config import Plug


class Examples(NamedTuple):
    """Labelled features in canonical order.

    Attributes:
        features: Int16 [N, W]; see `whole`.
        labels: 0 to C - 1.
        classes: C.
    """

    features: Int[Tensor, "N W"]
    labels: Int[Tensor, " N"]
    classes: int


class LearnerConfig(Plug):
    """Base of the settings of base learners.

    Attributes:
        portable: Whether models have the same bits on every machine, rather than on each its own.
    """

    family: ClassVar[str] = "masquerade.certify.learners"
    noun: ClassVar[str] = "base learner"
    portable: ClassVar[bool] = False


class HeadConfig(LearnerConfig):
    """Base of the settings of linear heads on whole-number features."""

    @abstractmethod
    def fit(self, examples: Examples, members: Sequence[Int[Tensor, " _"]]) -> Int[Tensor, "C W M"]:
        """The weights of M heads, whole numbers (int32, `whole.fraction` bits after the point).

        Args:
            examples: All images.
            members: The rows that each head sees, at least one, in increasing order.
        """


def counts(examples: Examples, members: Sequence[Int[Tensor, " _"]]) -> Int[Tensor, "M C"]:
    """How many images of each class a head sees."""
    each = [torch.bincount(examples.labels[m], minlength=examples.classes) for m in members]
    return torch.stack(each) if each else torch.zeros(0, examples.classes, dtype=torch.int64)


@contextmanager
def alone() -> Iterator[None]:
    """One compute thread inside: a factorisation's last bits may depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
