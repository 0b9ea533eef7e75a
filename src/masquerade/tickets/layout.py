"""Where each weight of a network lies in a flat vector, and back."""

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor


class Leaf(NamedTuple):
    """One array of a network.

    Attributes:
        name: Its path, as `hidden_1/kernel`.
        shape: Dense kernels are [in, out], those of convolutions [height, width, in, out].
        prunable: Whether weights of it may be pruned; biases never are.
    """

    name: str
    shape: tuple[int, ...]
    prunable: bool

    @property
    def size(self) -> int:
        """How many weights it has."""
        return prod(self.shape)


class Layout:
    """The leaves of a network in the order of the flat vector, in C order inside a leaf.

    Attributes:
        leaves: In order.
        size: Weights in all.
    """

    def __init__(self, leaves: tuple[Leaf, ...]) -> None:
        self.leaves = leaves
        self.size = sum(leaf.size for leaf in leaves)

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]]) -> "Layout":
        """A layout from shapes by name, sorted by name; what ends in `kernel` can be pruned."""
        return cls(tuple(Leaf(n, shapes[n], n.endswith("kernel")) for n in sorted(shapes)))

    def protecting(self, names: tuple[str, ...]) -> "Layout":
        """The same with some leaves kept from pruning.

        Raises:
            ValueError: There is no such leaf.
        """
        known = {leaf.name for leaf in self.leaves}
        strange = [name for name in names if name not in known]
        if strange:
            raise ValueError(
                f"no leaf is called {strange[0]!r}; there are: {', '.join(sorted(known))}"
            )
        return Layout(
            tuple(
                leaf._replace(prunable=leaf.prunable and leaf.name not in names)
                for leaf in self.leaves
            )
        )

    def places(self) -> dict[str, slice]:
        """Where each leaf lies in the flat vector."""
        found, start = {}, 0
        for leaf in self.leaves:
            found[leaf.name] = slice(start, start + leaf.size)
            start += leaf.size
        return found

    def tree(self, weights: Shaped[Tensor, "*N P"]) -> dict[str, Shaped[Tensor, "..."]]:
        """Views of flat weights by leaf, with leading axes kept."""
        self.fits(weights)
        places = self.places()
        return {
            leaf.name: weights[..., places[leaf.name]].unflatten(-1, leaf.shape)
            for leaf in self.leaves
        }

    def flat(self, tree: Mapping[str, Shaped[Tensor, "..."]]) -> Shaped[Tensor, " P"]:
        """Leaves as one vector."""
        for leaf in self.leaves:
            if leaf.name not in tree or tuple(tree[leaf.name].shape) != leaf.shape:
                came = tuple(tree[leaf.name].shape) if leaf.name in tree else "nothing"
                raise ValueError(f"{leaf.name} must have the shape {leaf.shape}, got {came}")
        return torch.cat([tree[leaf.name].reshape(-1) for leaf in self.leaves])

    def prunable(self) -> Bool[Tensor, " P"]:
        """Which weights may be pruned."""
        return torch.cat([torch.full((leaf.size,), leaf.prunable) for leaf in self.leaves])

    def fits(self, weights: Shaped[Tensor, "*N P"]) -> None:
        """Raises `ValueError` where vectors are not as long as this layout."""
        if weights.shape[-1] != self.size:
            raise ValueError(f"this network has {self.size} weights, got {weights.shape[-1]}")


def scattered(
    values: Float[Tensor, "*N K"], places: Int[Tensor, " K"], size: int, rest: float = 0.0
) -> Float[Tensor, "*N P"]:
    """Vectors of all weights from those of the kept ones; the others are `rest`, exactly."""
    whole = values.new_full((*values.shape[:-1], size), rest)
    whole[..., places] = values
    return whole
