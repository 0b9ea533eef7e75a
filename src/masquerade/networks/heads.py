"""Projectors and predictors: the small networks between an encoder's features and the loss."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import nn

from masquerade.core.config import Settings

Norm = Literal["none", "hidden", "batch"]
Last = Literal["affine", "scale", "plain"]


def mlp(
    sizes: Sequence[int], norm: Norm = "none", last: Last = "scale", bias: bool = False
) -> nn.Sequential:
    """Linear layers of the given widths with ReLU between them, none after the last.

    Args:
        sizes: Width of the input, of each hidden layer and of the output; at least two.
        norm: Where batch normalisation follows a linear layer: nowhere, after the hidden ones,
            or after all.
        last: What the normalisation after the last layer learns (`norm="batch"`): scale and
            shift; a scale, as in SimCLR's official code; nothing, as in SimSiam's, where the
            last linear layer keeps its bias as it was drawn.
        bias: Whether linear layers that are followed by normalisation have a bias, too.

    Raises:
        ValueError: There are fewer than two sizes.
    """
    if len(sizes) < 2:
        raise ValueError(f"an mlp needs an input and an output size, got {list(sizes)}")
    layers: list[nn.Module] = []
    for k, (before, after) in enumerate(pairwise(sizes)):
        end = k == len(sizes) - 2
        follows = norm == "batch" or (norm == "hidden" and not end)
        layers.append(nn.Linear(before, after, bias=bias or not follows))
        if follows and end and last == "plain":
            layers[-1] = unmoved(before, after)
        if follows:
            layers.append(normalisation(after, last if end else "affine"))
        if not end:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def normalisation(width: int, learned: Last) -> nn.BatchNorm1d:
    """Batch normalisation that learns a scale and a shift, a scale, or nothing."""
    norm = nn.BatchNorm1d(width, affine=learned != "plain")
    if learned == "scale":
        norm.register_parameter("bias", None)
    return norm


def unmoved(before: int, after: int) -> nn.Linear:
    """A linear layer whose bias is no parameter: what follows subtracts it again."""
    layer = nn.Linear(before, after)
    assert layer.bias is not None
    drawn = layer.bias.detach().clone()
    del layer.bias
    layer.register_buffer("bias", drawn)
    return layer


class ProjectorConfig(Settings):
    """Settings of a projector. The defaults are those of ADIOS with SimCLR on STL-10.

    Attributes:
        hidden: Width of the hidden layers.
        out: Length of the embedding that is compared.
        layers: Linear layers; 1 is a linear projector, 0 compares the features themselves.
        norm: Where batch normalisation follows: nowhere, after `hidden` layers, or after every
            one (`batch`), as SimCLR's official code does.
        last: What the last normalisation learns: scale and shift, a scale, or nothing.
        bias: Whether layers that are followed by normalisation have a bias.
    """

    hidden: int = Field(2048, ge=1)
    out: int = Field(128, ge=1)
    layers: int = Field(2, ge=0)
    norm: Norm = "none"
    last: Last = "scale"
    bias: bool = False

    def build(self, dim: int) -> nn.Module:
        """The projector of features of length `dim`."""
        if self.layers == 0:
            return nn.Identity()
        sizes = [dim, *[self.hidden] * (self.layers - 1), self.out]
        return mlp(sizes, self.norm, self.last, self.bias)

    def length(self, dim: int) -> int:
        """The length of the embedding of features of length `dim`."""
        return self.out if self.layers else dim


class PredictorConfig(Settings):
    """Settings of a predictor: from embeddings to embeddings, normalised after hidden layers.

    Attributes:
        hidden: Width of the hidden layer.
        bias: Whether the hidden layer has a bias beside its normalisation.
    """

    hidden: int = Field(8192, ge=1)
    bias: bool = True

    def build(self, length: int) -> nn.Module:
        """The predictor of embeddings of this length."""
        return mlp([length, self.hidden, length], "hidden", bias=self.bias)


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
