"""Masked image modelling: hide patches by chance, predict their pixels.

What MAE and SimMIM share, and the task that trains either. papers/aemim.md, sections 2 and 3.
A mask is 1 where a patch is hidden.
"""

from abc import ABC, abstractmethod

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from masquerade.core.seed import Seed
from masquerade.core.types import Views, precise
from masquerade.engine import gather
from masquerade.engine.task import Carry, Group, Progress, Terms
from masquerade.networks import adapters
from masquerade.networks.adapters import Lane
from masquerade.networks.backbone import Backbone
from masquerade.networks.vit import trunk
from masquerade.pretext.base import Pretext, PretextConfig, probed


class MaskedModel(nn.Module, ABC):
    """An encoder that sees a part of an image, and a decoder that predicts the rest.

    Args:
        backbone: A transformer of timm; kept as it is but for its fresh weights.
        checkpointing: Whether the encoder's layers are computed again in the backward pass.

    Attributes:
        decoder: From the encoder's tokens to predictions.
        cells: Places along each side of an image that are hidden or shown as a whole.
        count: How many of the `cells * cells` places are hidden in each image.
    """

    decoder: nn.Module
    cells: int
    count: int

    def __init__(self, backbone: Backbone, checkpointing: bool) -> None:
        super().__init__()
        self.backbone = backbone
        self.lane = Lane()
        self.trunk = trunk(backbone, self.lane, checkpointing)
        if backbone.size % self.trunk.patch:
            raise ValueError(
                f"images of {backbone.size} px cannot be cut into patches of {self.trunk.patch} "
                "px. Choose another size, or backbone.options.patch_size"
            )

    @abstractmethod
    def encode(
        self, images: Float[Tensor, "B C H W"], hidden: Float[Tensor, "B L"], clean: int
    ) -> Float[Tensor, "B T E"]:
        """Tokens of standardised images after the final norm, nothing of what is hidden in them.

        Args:
            images: Standardised.
            hidden: 1 = hidden; the same number in each image.
            clean: The first so many images go through the clean adapters, the others through the
                adversarial ones.
        """

    @abstractmethod
    def decode(
        self, latent: Float[Tensor, "B T E"], hidden: Float[Tensor, "B L"], clean: int
    ) -> Float[Tensor, "B *S"]:
        """What the tokens say of all pixels."""

    @abstractmethod
    def loss(
        self,
        predicted: Float[Tensor, "B *S"],
        images: Float[Tensor, "B C H W"],
        hidden: Float[Tensor, "B L"],
    ) -> Float[Tensor, ""]:
        """How far predictions are from standardised images, over hidden pixels alone."""

    @abstractmethod
    def painted(
        self, predicted: Float[Tensor, "B *S"], images: Float[Tensor, "B C H W"]
    ) -> Float[Tensor, "B C H W"]:
        """Predictions as standardised images, to be looked at."""

    @abstractmethod
    def groups(self) -> list[Group]:
        """The trained parameters."""

    def hide(self, images: int, seed: Seed) -> Float[Tensor, "B L"]:
        """Which patches are hidden: a random set of cells for each image, on the CPU.

        Drawn for the batch of all processes; `images` is this process's part.
        """
        everyone = (images * gather.world(), self.cells**2)
        noise = gather.own(torch.rand(everyone, dtype=torch.float32, generator=seed.generator()))
        return masks(noise, self.count, self.trunk.grid // self.cells)

    def pixels(self, hidden: Float[Tensor, "B L"]) -> Float[Tensor, "B 1 H W"]:
        """The same masks for every pixel."""
        grid, patch = self.trunk.grid, self.trunk.patch
        square = rearrange(hidden, "b (h w) -> b 1 h w", h=grid)
        return square.repeat_interleave(patch, 2).repeat_interleave(patch, 3)

    def to_pixels(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Standardised images in [0, 1]; rounding does not lead out of it."""
        encoder = self.backbone
        return (images * encoder.std.to(images) + encoder.mean.to(images)).clamp(0, 1)

    def standardised(self, pixels: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Images in [0, 1], standardised."""
        return (pixels - self.backbone.mean.to(pixels)) / self.backbone.std.to(pixels)

    def pasted(
        self,
        predicted: Float[Tensor, "B *S"],
        images: Float[Tensor, "B C H W"],
        hidden: Float[Tensor, "B L"],
    ) -> Float[Tensor, "B C H W"]:
        """What is predicted of hidden patches, beside the visible ones as they are, in [0, 1]."""
        where = self.pixels(hidden)
        painted = self.painted(predicted, images)
        return self.to_pixels(images * (1 - where) + painted * where)

    def adapt(self, config: adapters.Adapters, decoder: bool) -> None:
        """Give the encoder, and if asked for the decoder's norms, adversarial adapters."""
        adapters.attach(self.backbone.body, config, self.lane)
        if decoder:
            adapters.double_norms(self.decoder, self.lane)


class Reconstruct(Pretext):
    """Predicts the hidden patches of one view of each image.

    Args:
        model: What hides, encodes, decodes and compares.
        classes: Of an online linear probe on the features of masked images, which costs no pass;
            0 = none.
    """

    def __init__(self, model: MaskedModel, classes: int) -> None:
        super().__init__()
        self.model = model
        self.probe = nn.Linear(model.trunk.dim, classes) if classes else None

    def encoder(self) -> Backbone:
        """The clean path, which is a model of plain timm."""
        trained = self.model.backbone
        config = trained.config.replace(weights=None)
        mean, std = (tuple(v.flatten().tolist()) for v in (trained.mean, trained.std))
        with torch.random.fork_rng(devices=[]):
            fresh = config.build(trained.size, trained.channels, mean, std)
        fresh.body.load_state_dict(adapters.without(trained.body.state_dict()))
        fresh.origin = trained.origin
        return fresh

    def players(self) -> dict[str, list[Group]]:
        found = {"encoder": self.model.groups()}
        if self.probe:
            found["probe"] = [Group("probe", list(self.probe.parameters()))]
        return found

    def rounds(self, progress: Progress) -> tuple[tuple[str, ...], ...]:
        return (("encoder", "probe") if self.probe else ("encoder",),)

    def forward(
        self, batch: Views, players: tuple[str, ...], seed: Seed, progress: Progress, carry: Carry
    ) -> Terms:
        images = precise(batch.views[0])
        rows = len(images)
        hidden = self.model.hide(rows, seed.fold("mask")).to(images.device)
        latent = self.model.encode(images, hidden, rows)
        loss = self.model.loss(self.model.decode(latent, hidden, rows), images, hidden)
        probe, logs = self.told(latent, batch, carry)
        return Terms(loss + probe, {"encoder/loss": loss.detach(), **logs})

    @torch.no_grad()
    def pictures(self, images: Float[Tensor, "B C H W"], seed: Seed) -> dict[str, Tensor]:
        model, n = self.model, len(images)
        hidden = model.hide(n, seed.fold("mask")).to(images.device)
        predicted = model.decode(model.encode(images, hidden, n), hidden, n)
        where = model.pixels(hidden)
        found = {
            "image": model.to_pixels(images),
            "seen": model.to_pixels(images * (1 - where)),
            "reconstruction": model.pasted(predicted, images, hidden),
        }
        looked = model.trunk.attention(images)
        if looked is None:
            return found
        scaled = looked / looked.amax((2, 3), keepdim=True)
        patch = model.trunk.patch
        scaled = scaled.repeat_interleave(patch, 2).repeat_interleave(patch, 3)
        return found | {"attention": scaled.expand_as(images).to(images)}

    def told(
        self, latent: Float[Tensor, "B T E"], batch: Views, carry: Carry
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The probe's loss and logs, 0 and none without one; keeps features for who watches."""
        seen = precise(self.model.trunk.pooled(latent.detach()))
        carry.values["embeddings"] = seen, seen
        if self.probe is None:
            return torch.zeros((), device=seen.device), {}
        return probed(self.probe, seen, batch.labels)


class MimConfig(PretextConfig):
    """Base of the settings of masked image models."""

    @abstractmethod
    def model(self, backbone: Backbone) -> MaskedModel:
        """The model over a backbone.

        Raises:
            ValueError: The backbone is no transformer that can do without hidden patches, or its
                patches do not fit.
        """

    def build(self, backbone: Backbone, classes: int) -> Reconstruct:
        return Reconstruct(self.model(backbone), classes)


def masks(noise: Float[Tensor, "B N"], count: int, repeat: int) -> Float[Tensor, "B L"]:
    """A mask for every row of random numbers: the cells of its `count` highest are hidden.

    Args:
        noise: One number for each cell of a square, row by row.
        count: How many of the N cells are hidden.
        repeat: Patches along each side of a cell; L = N * repeat**2.
    """
    cells, side = noise.shape[1], round(noise.shape[1] ** 0.5)
    rank = noise.argsort(dim=1, stable=True).argsort(1)
    square = (rank >= cells - count).float().view(-1, side, side)
    return square.repeat_interleave(repeat, 1).repeat_interleave(repeat, 2).flatten(1)
