"""Projectors: the small network between an encoder's features and the loss."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import nn

from masquerade.core.config import Settings

Norm = Literal["none", "batch"]


def mlp(sizes: Sequence[int], norm: Norm = "none") -> nn.Sequential:
    """Linear layers of the given widths with ReLU between them, none after the last.

    With `norm="batch"` every linear layer has no bias and is followed by batch normalisation;
    the last of these scales but does not shift, as in SimCLR's official code.

    Args:
        sizes: Width of the input, of each hidden layer and of the output; at least two.
        norm: What follows each linear layer.

    Raises:
        ValueError: There are fewer than two sizes.
    """
    if len(sizes) < 2:
        raise ValueError(f"an mlp needs an input and an output size, got {list(sizes)}")
    layers: list[nn.Module] = []
    for k, (before, after) in enumerate(pairwise(sizes)):
        last = k == len(sizes) - 2
        layers.append(nn.Linear(before, after, bias=norm == "none"))
        if norm == "batch":
            layers.append(scaling(after) if last else nn.BatchNorm1d(after))
        if not last:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def scaling(width: int) -> nn.BatchNorm1d:
    """Batch normalisation with a learned scale and no shift."""
    norm = nn.BatchNorm1d(width)
    norm.register_parameter("bias", None)
    return norm


class ProjectorConfig(Settings):
    """Settings of a projector. The defaults are those of ADIOS with SimCLR on STL-10.

    Attributes:
        hidden: Width of the hidden layers.
        out: Length of the embedding that is compared.
        layers: Linear layers; 1 is a linear projector, 0 compares the features themselves.
        norm: `batch` normalises after every layer, as SimCLR's official code does.
    """

    hidden: int = Field(2048, ge=1)
    out: int = Field(128, ge=1)
    layers: int = Field(2, ge=0)
    norm: Norm = "none"

    def build(self, dim: int) -> nn.Module:
        """The projector of features of length `dim`."""
        if self.layers == 0:
            return nn.Identity()
        return mlp([dim, *[self.hidden] * (self.layers - 1), self.out], self.norm)


def adios(out: int = 128) -> ProjectorConfig:
    """ADIOS with SimCLR: Linear(dim, 2048), ReLU, Linear(2048, out); no normalisation."""
    return ProjectorConfig(out=out)


def linear(out: int = 128) -> ProjectorConfig:
    """One linear layer, the "single feed-forward layer" of Sequential's appendix D."""
    return ProjectorConfig(layers=1, out=out)


def simclr(dim: int = 512, out: int = 128) -> ProjectorConfig:
    """SimCLR's own: a hidden layer as wide as the features, batch normalisation after both.

    Chen et al., 2020. https://arxiv.org/abs/2002.05709
    """
    return ProjectorConfig(hidden=dim, out=out, norm="batch")
