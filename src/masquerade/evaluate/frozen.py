"""An encoder that is only looked at: image sets in, features out.

Raw pixels and untrained networks are encoders too, so every protocol measures them as it
measures a trained one.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from masquerade.core.errors import Diverged
from masquerade.data.augment.plain import plain
from masquerade.data.images import ImageSet
from masquerade.engine import gather
from masquerade.engine.extract import cached, digest, evaluating, extract
from masquerade.engine.launch import launched
from masquerade.engine.runtime import Runtime
from masquerade.networks.backbone import Backbone

Layer = Literal["backbone", "projector"]
LARGEST = 32  # side of an image whose pixels are taken as features; 3 x 32 x 32 = 3072 numbers


class Pixels(nn.Module):
    """The pixels of a standardised image as its features: what learning must beat."""

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """Each image as one row: channel by channel, line by line."""
        return images.flatten(1)


class Frozen:
    """An encoder, and how images are shown to it.

    Attributes:
        encoder: Maps standardised images to features.
        projector: The head it was trained with, None if it is not at hand.
        size: Side of the images it is shown, in pixels.
        mean: Per-channel mean of images in [0, 1], subtracted.
        std: Per-channel standard deviation of images in [0, 1], divided by.
        bf16: Whether it runs under bfloat16 autocast; features are float32 in any case.
        cache: Folder where features are kept, by content; None keeps nothing.
        batch: Images per forward pass.
        devices: Processes that share the images of a set; each image is seen by one of them.
    """

    def __init__(
        self,
        encoder: nn.Module,
        size: int,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        projector: nn.Module | None = None,
        bf16: bool = False,
        cache: Path | None = None,
        batch: int = 256,
        devices: int = 1,
    ) -> None:
        self.encoder = encoder
        self.projector = projector
        self.size = size
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.bf16 = bf16
        self.cache = cache
        self.batch = batch
        self.devices = devices

    @classmethod
    def of(
        cls,
        backbone: Backbone,
        *,
        projector: nn.Module | None = None,
        bf16: bool = False,
        cache: Path | None = None,
        devices: int = 1,
    ) -> "Frozen":
        """A backbone, shown images of the size and standardisation it was built for."""
        mean, std = backbone.mean.flatten().tolist(), backbone.std.flatten().tolist()
        return cls(
            backbone,
            backbone.size,
            mean,
            std,
            projector=projector,
            bf16=bf16,
            cache=cache,
            devices=devices,
        )

    def pixels(self) -> "Frozen":
        """Raw pixels in the place of this encoder, at the same size or 32 px if that is less."""
        return Frozen(Pixels(), min(self.size, LARGEST), self.mean, self.std, cache=self.cache)

    @property
    def device(self) -> torch.device:
        """Where the encoder lies."""
        return next((p.device for p in self.encoder.parameters()), torch.device("cpu"))

    def features(
        self, images: ImageSet, crop: float = 1.0, layer: Layer = "backbone"
    ) -> Float[Tensor, "N D"]:
        """The features of all images, in order, float32, on the CPU.

        Args:
            images: With as many channels as the encoder was made for.
            crop: The centred share of the shorter side that is shown, above 0 and at most 1.
                1 shows all of it, 0.875 is the ImageNet habit, 96/256 what ADIOS's code does.
            layer: Where features are taken: the backbone's output or the projector's.

        Raises:
            ValueError: Wrong channels, no image, or a projector that is not at hand.
            Diverged: A feature is nan or infinite.
        """
        if images.channels != len(self.mean):
            raise ValueError(
                f"the encoder takes images of {len(self.mean)} channels, {images.name} has "
                f"{images.channels}. Load the images with as many channels as it was trained on"
            )
        if layer == "projector" and self.projector is None:
            raise ValueError("layer=projector, but this encoder comes without its projector")
        key = self._key(images, crop) if self.cache else ""
        features = cached(self.cache, key, lambda: self._extracted(images, crop))
        if layer == "projector" and self.projector is not None:
            features = projected(self.projector, features, self.device)
        wrong = int((~features.isfinite()).any(dim=1).sum())
        if wrong:
            raise Diverged(
                f"the encoder gives nan or infinite features for {wrong} of {len(features)} images "
                f"of {images.name}; it diverged in training, or its weights file is damaged"
            )
        return features

    def shown(self, images: ImageSet, crop: float = 1.0) -> Iterator[Float[Tensor, "B C S S"]]:
        """The images as the encoder sees them, batch by batch."""
        for rows in torch.split(torch.arange(len(images)), self.batch):
            pixels, extents = images.read(rows), images.extents(rows)
            yield plain(pixels, extents, self.size, self.mean, self.std, crop)

    def runtime(self, devices: int) -> Runtime:
        """Where the encoder lies, for so many processes that share its work and its threads."""
        return Runtime(
            accelerator="cuda" if self.device.type == "cuda" else "cpu",
            devices=devices,
            precision="bf16" if self.bf16 else "float32",
            threads=max(1, torch.get_num_threads() // devices),
        ).resolved()

    def _extracted(self, images: ImageSet, crop: float) -> Float[Tensor, "N D"]:
        if self.devices > 1 and len(images) >= self.devices:
            return shared(self, images, crop)
        lower = torch.bfloat16 if self.bf16 else None
        batches = self.shown(images, crop)
        return extract(self.encoder, batches, device=self.device, autocast=lower)

    def _key(self, images: ImageSet, crop: float) -> str:
        content = blake2b("".join(images.digests()).encode(), digest_size=16).hexdigest()
        transform = f"size {self.size} crop {crop} mean {self.mean} std {self.std}"
        precision = "bf16" if self.bf16 else "float32"
        return f"encoder {digest(self.encoder)} images {content} {transform} {precision}"


def shared(frozen: Frozen, images: ImageSet, crop: float) -> Float[Tensor, "N D"]:
    """The features of all images, in order, computed by several processes."""
    runtime = frozen.runtime(frozen.devices)
    encoder = deepcopy(frozen.encoder).cpu()
    alone = Frozen(
        encoder, frozen.size, frozen.mean, frozen.std, bf16=frozen.bf16, batch=frozen.batch
    )
    return torch.from_numpy(launched(runtime, part, alone, images, crop, two_players=False))


def part(fabric: Fabric, frozen: Frozen, images: ImageSet, crop: float) -> NDArray[np.float32]:
    """What one of them does: every world-th image; then all hear of all.

    An array, as a tensor would be shared memory of a process that ends.
    """
    rank, world = fabric.global_rank, fabric.world_size
    frozen.encoder.to(fabric.device)
    own = frozen._extracted(images.subset(torch.arange(rank, len(images), world)), crop)
    whole = own.new_empty(len(images), own.shape[1])
    for start, rows in enumerate(gather.everyone(own)):
        whole[start::world] = rows
    found: NDArray[np.float32] = whole.numpy()
    return found


def projected(
    projector: nn.Module, features: Float[Tensor, "N D"], device: torch.device
) -> Float[Tensor, "N E"]:
    """What a projector in eval mode makes of features, in float32, on the CPU."""
    with torch.no_grad(), evaluating(projector):
        parts = [projector(part.to(device)).cpu() for part in torch.split(features, 4096)]
    return torch.cat(parts)
