"""Randomness by address: every draw names itself, so no generator has a state worth saving.

`Seed(7).fold("step", 120, "masker", "partner").generator()` gives the same numbers in any
process, on any device, before or after a resume.
"""

from hashlib import blake2b
from typing import NamedTuple

import torch


class Seed(NamedTuple):
    """A root number and the path of names that leads to a draw.

    Attributes:
        root: The run's seed.
        path: Names and numbers, outermost first. `1` and `"1"` are different names.
    """

    root: int
    path: tuple[str | int, ...] = ()

    def fold(self, *names: str | int) -> "Seed":
        """The seed one or more names deeper."""
        return Seed(self.root, self.path + names)

    def integer(self) -> int:
        """63 bits that depend on every name of the path."""
        text = repr((self.root, *self.path)).encode()
        return int.from_bytes(blake2b(text, digest_size=8).digest(), "little") >> 1

    def generator(self) -> torch.Generator:
        """A fresh CPU generator; two calls give equal streams."""
        return torch.Generator().manual_seed(self.integer())
