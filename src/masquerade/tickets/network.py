"""The networks of the tickets, run for a whole population at once.

Convolutions with one group a candidate, dense layers as one batched product; a first layer that
all candidates feed with the same images is a single product.
"""

from math import prod, sqrt
from typing import Literal, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from masquerade.core.config import Settings
from masquerade.core.seed import Seed
from masquerade.tickets.layout import Layout

BIAS = 0.05  # biases start in [0, BIAS), as published
TRUNCATED = 0.87962566103423978  # standard deviation of a standard normal cut at -2 and 2


class Shape(Settings):
    """Settings of a network.

    Attributes:
        channels: Of each convolution; none for a network of dense layers only.
        hidden: Widths of the dense layers before the last.
        kernel: Side of the convolutions' kernels, an odd number.
        pool: What max pooling after each convolution divides height and width by.
        activation: After every layer but the last.
    """

    channels: tuple[int, ...] = ()
    hidden: tuple[int, ...] = (32,)
    kernel: int = Field(5, ge=1)
    pool: int = Field(2, ge=1)
    activation: Literal["relu", "tanh"] = "relu"


class Layer(NamedTuple):
    """One layer: the name of its leaves and the shape of its kernel."""

    name: str
    shape: tuple[int, ...]


class Network:
    """A network without weights: `layout` says which it needs, `forward` takes them.

    Attributes:
        layout: Of its weights; kernels are [in, out] or [height, width, in, out].
        widest: Numbers that one example takes in the widest layer.
    """

    def __init__(
        self, shape: Shape, inputs: tuple[int, ...], outputs: int, last_bias: bool = False
    ) -> None:
        """Describes a network.

        Args:
            shape: Its settings.
            inputs: [channels, height, width] of an image, or [numbers].
            outputs: Width of the last layer.
            last_bias: Whether the biases of the last layer start like the others, and not at 0.

        Raises:
            ValueError: Images are too small for so much pooling, or there are none to convolve.
        """
        self._shape = shape
        self._last_bias = last_bias
        self._convolutions: list[Layer] = []
        self._dense: list[Layer] = []
        self.widest = outputs
        if shape.channels:
            if len(inputs) != 3:
                raise ValueError("channels needs images; these inputs are rows of numbers")
            if shape.kernel % 2 == 0:
                raise ValueError(f"kernel must be odd, got {shape.kernel}")
        width, *sides = inputs
        for k, channels in enumerate(shape.channels, 1):
            kernel = (shape.kernel, shape.kernel, width, channels)
            self._convolutions.append(Layer(f"conv_{k}", kernel))
            self.widest = max(self.widest, channels * prod(sides))
            sides, width = [side // shape.pool for side in sides], channels
            if not all(sides):
                raise ValueError(
                    f"images of {inputs[1]} x {inputs[2]} are too small for "
                    f"{len(shape.channels)} layers that each divide by {shape.pool}"
                )
        width *= prod(sides)
        for k, out in enumerate((*shape.hidden, outputs), 1):
            self._dense.append(Layer(f"dense_{k}", (width, out)))
            self.widest = max(self.widest, out)
            width = out
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in (*self._convolutions, *self._dense):
            shapes[f"{layer.name}/kernel"] = layer.shape
            shapes[f"{layer.name}/bias"] = layer.shape[-1:]
        self.layout = Layout.of(shapes)

    def start(self, seed: Seed) -> Float[Tensor, " P"]:
        """Fresh weights: LeCun's truncated normal for kernels, small positive biases."""
        found = {}
        for leaf in self.layout.leaves:
            drawn = torch.rand(
                leaf.shape, generator=seed.fold(leaf.name).generator(), dtype=torch.float64
            )
            if leaf.prunable:
                deviation = sqrt(1 / prod(leaf.shape[:-1])) / TRUNCATED
                edge = torch.special.ndtr(torch.tensor(2.0, dtype=torch.float64))
                normal = torch.special.ndtri(1 - edge + drawn * (2 * edge - 1))
                found[leaf.name] = (deviation * normal).float()
            else:
                last = leaf.name == f"{self._dense[-1].name}/bias"
                found[leaf.name] = (drawn * (self._last_bias or not last) * BIAS).float()
        return self.layout.flat(found)

    def forward(
        self, population: Float[Tensor, "N P"], inputs: Float[Tensor, "..."]
    ) -> Float[Tensor, "N B O"]:
        """Outputs of every candidate.

        Args:
            population: One row of weights a candidate.
            inputs: Images [B, C, H, W] or rows [B, D] for all candidates, or [N, B, D] for each.
        """
        leaves = self.layout.tree(population)
        x = inputs
        if self._convolutions:
            x = self._convolved(leaves, inputs)
        elif inputs.ndim == 4:
            x = rearrange(inputs, "b c h w -> b (h w c)")
        for layer in self._dense:
            kernel, bias = leaves[f"{layer.name}/kernel"], leaves[f"{layer.name}/bias"]
            if x.ndim == 2:
                joined = x @ rearrange(kernel, "n d h -> d (n h)")
                x = rearrange(joined, "b (n h) -> n b h", n=len(population)) + bias[:, None]
            else:
                x = torch.baddbmm(bias[:, None], x, kernel)
            if layer is not self._dense[-1]:
                x = self._activated(x)
        return x

    def _convolved(
        self, leaves: dict[str, Tensor], images: Float[Tensor, "B C H W"]
    ) -> Float[Tensor, "N B D"]:
        """What the convolutions make of images that all candidates see, as rows."""
        x, count = images, 1
        for layer in self._convolutions:
            kernel, bias = leaves[f"{layer.name}/kernel"], leaves[f"{layer.name}/bias"]
            filters = rearrange(kernel, "n h w i o -> (n o) i h w")
            x = functional.conv2d(x, filters, bias.reshape(-1), padding="same", groups=count)
            x = functional.max_pool2d(self._activated(x), self._shape.pool)
            count = len(kernel)
        return rearrange(x, "b (n c) h w -> n b (h w c)", n=count)

    def _activated(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return x.relu() if self._shape.activation == "relu" else x.tanh()
