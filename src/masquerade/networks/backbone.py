"""Backbones: any timm or torchvision model as an encoder, with a stem that fits the images.

A stem made for 224-pixel photographs shrinks a 32-pixel image to 8 x 8 before the first block.
The small stem keeps the resolution, as in the CIFAR experiments of "Deep Residual Learning for
Image Recognition", He et al., 2015. https://arxiv.org/abs/1512.03385
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor, nn

from masquerade.core.config import Settings
from masquerade.networks import architectures, weights

SMALL = 64  # the longest side, in pixels, that stem=auto calls small


class Backbone(nn.Module):
    """An image encoder without its classifier.

    Attributes:
        config: The settings it was built from; with `size` and `channels` they build it again.
        size: Side of the images it was built for, in pixels.
        channels: Channels of these images.
        stem: The stem it has: `small`, `pooled`, `imagenet` or `adios`.
        dim: Length of its features.
        mean: Per-channel mean of the images in [0, 1], subtracted by `from_pixels`.
        std: Per-channel standard deviation of the images in [0, 1].
        body: The timm or torchvision model.
        origin: One line about the weights it started from, empty for a fresh start.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        config: "Config",
        size: int,
        channels: int,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            if len(values) != channels:
                raise ValueError(f"{name} has {len(values)} numbers for {channels} channels")
        if min(std) <= 0:
            raise ValueError(f"std must be positive, got {tuple(std)}")
        self.config = config
        self.size = size
        self.channels = channels
        self.stem = config.resolved(size)
        self.body = architectures.create(
            config.name, self.stem, size, channels, config.options, config.weights == "public"
        )
        self.origin = f"{config.name} with its public weights" if config.weights == "public" else ""
        if config.weights not in (None, "public"):
            self.origin = weights.start(self.body, config.weights)
        shape = (1, channels, 1, 1)
        self.register_buffer("mean", torch.tensor(mean).reshape(shape), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(shape), persistent=False)
        self.dim = self._measured()

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """The features; see `features`."""
        return self.features(images)

    def features(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """Pooled features of standardised images."""
        pooled: Tensor = self.body(images)
        return pooled.flatten(1)

    def maps(self, images: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """The feature maps of standardised images, first to last.

        A convolutional network gives its stem's and one per stage, each the last of its stage;
        a transformer gives one per block, class tokens left out.

        Raises:
            ValueError: The model gives no maps.
        """
        return architectures.maps(self.body, images)

    def from_pixels(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """Features of images in [0, 1], which are standardised here; gradients reach the pixels."""
        return self.features((images - self.mean.to(images)) / self.std.to(images))

    @torch.no_grad()
    def _measured(self) -> int:
        # One blank image tells the length for every architecture, and shows here rather than
        # in the first step that a model cannot take images of this size.
        training = self.body.training
        self.body.eval()
        try:
            return self.features(torch.zeros(1, self.channels, self.size, self.size)).shape[1]
        except (RuntimeError, ValueError, AssertionError) as error:
            raise ValueError(
                f"{self.config.name} with the {self.stem} stem cannot take images of "
                f"{self.size} x {self.size} pixels: {error}. Choose another size or backbone"
            ) from error
        finally:
            self.body.train(training)


class Config(Settings):
    """Settings of a backbone.

    Attributes:
        name: A timm name (`resnet18`, `vit_tiny_patch16_224`, `convnext_atto`), or a torchvision
            name after `torchvision:`.
        stem: `small` keeps the resolution of small images, `imagenet` is the model's own, `auto`
            takes `small` for images of at most 64 pixels where the model can have one. For ResNets
            only: `pooled` is the small stem with the max-pool kept, as W-MSE's code has it at 64
            pixels, and `adios` the small stem with a padding of 2, as in ADIOS's code.
        weights: What to start from: none, `public` (the weights timm or torchvision publish under
            this name), a `.safetensors`, `.pth` or `.pt` file, or the folder of a run.
        options: Passed to the model's constructor, such as `{"layers": [1, 1, 1, 1]}`.
    """

    name: str = Field("resnet18", min_length=1)
    stem: Literal["auto", "small", "pooled", "imagenet", "adios"] = "auto"
    weights: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        architectures.check(name)
        return name

    @field_validator("options")
    @classmethod
    def _allowed(cls, options: dict[str, Any]) -> dict[str, Any]:
        taken = sorted(set(options) & architectures.RESERVED)
        if taken:
            raise ValueError(f"{', '.join(taken)} cannot be set in options; masquerade sets it")
        return options

    def resolved(self, size: int) -> Literal["small", "pooled", "imagenet", "adios"]:
        """The stem that images of `size` pixels get; `auto` is decided here."""
        if self.stem != "auto":
            return self.stem
        fits = size <= SMALL and architectures.stem_of(self.name) is not None
        return "small" if fits else "imagenet"

    def build(
        self, size: int, channels: int, mean: Sequence[float], std: Sequence[float]
    ) -> Backbone:
        """The backbone, with fresh weights unless `weights` names some.

        Args:
            size: Side of the images, in pixels.
            channels: Channels of the images.
            mean: Per-channel mean of the images in [0, 1].
            std: Per-channel standard deviation of the images in [0, 1].

        Raises:
            ValueError: The model cannot have this stem, these options, this size or this file.
            MissingData: The weights cannot be found or downloaded.
        """
        return Backbone(self, size, channels, mean, std)

    def said(self, size: int) -> str:
        """One line for the user: the model, its stem, why, and what it starts from."""
        stem = self.resolved(size)
        shape = architectures.described(self.name, stem, size, self.options)
        why = f"because images are {size} px" if self.stem == "auto" else "as asked"
        if self.stem == "auto" and size <= SMALL and stem == "imagenet":
            why = "because it can have no small one"
        start = {None: "fresh weights", "public": "public weights"}.get(
            self.weights, f"weights of {self.weights}"
        )
        return f"{self.name}, {shape} {why}, {start}"
