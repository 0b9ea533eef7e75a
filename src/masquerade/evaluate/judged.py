"""What corruptions, shifts and attacks share: a classifier that is fitted once, then asked.

The classifier is another protocol's head: a linear probe unless told otherwise, kNN, or a whole
network after fine-tuning.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import model_validator
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.data.augment.plain import plain
from masquerade.data.images import ImageSet
from masquerade.engine.extract import extract
from masquerade.evaluate import linear
from masquerade.evaluate.base import Head, ProtocolConfig
from masquerade.evaluate.frozen import Frozen, projected


class JudgedConfig(ProtocolConfig):
    """Settings of a protocol that asks a fitted classifier.

    Attributes:
        head: The protocol that fits the classifier: `linear`, `knn` or `finetune`. What it sees
            (crop, layer, bn) is set outside of it.
    """

    head: ProtocolConfig = linear.Config()

    @model_validator(mode="after")
    def _outside(self) -> "JudgedConfig":
        usual = type(self.head)()
        for name in ("crop", "layer", "bn"):
            if getattr(self.head, name) != getattr(usual, name):
                raise ValueError(
                    f"head.{name} is not read; set {name} of {self.kind} itself, which both use"
                )
        if isinstance(self.head, JudgedConfig):
            raise ValueError(f"{self.head.kind} leaves no classifier; use head=linear, for example")
        return self

    def suits(self, encoder: Frozen) -> bool:
        """Whether the classifier can be fitted on an encoder."""
        return self.head.suits(encoder)

    def judge(self, encoder: Frozen, train: ImageSet, seed: Seed) -> "Judge":
        """Fit the classifier on the training images."""
        config = self.head.replace(crop=self.crop, layer=self.layer)
        result = config.build().run(encoder, train, {}, seed)
        if result.head is None:
            raise ValueError(f"{config.kind} leaves no classifier; use head=linear, for example")
        return Judge(result.head, result.head.encoder(encoder), result.notes)


class Judge(NamedTuple):
    """A fitted classifier and the encoder whose features it takes.

    Attributes:
        head: The classifier.
        encoder: Its encoder.
        notes: What was fitted.
    """

    head: Head
    encoder: Frozen
    notes: tuple[str, ...]

    def pixels(self, images: ImageSet, bicubic: bool = False) -> Iterator[Float[Tensor, "B C S S"]]:
        """A set as the encoder is shown it, before it is standardised: in [0, 1]."""
        size, channels = self.encoder.size, len(self.encoder.mean)
        if images.channels != channels:
            raise ValueError(
                f"the encoder takes images of {channels} channels, {images.name} has "
                f"{images.channels}. Load the images with as many channels as it was trained on"
            )
        for rows in torch.split(torch.arange(len(images)), self.encoder.batch):
            read, extent = images.read(rows), images.extents(rows)
            zeros, ones = (0.0,) * channels, (1.0,) * channels
            crop = self.head.config.crop
            yield plain(read, extent, size, zeros, ones, crop, bicubic).clamp_(0, 1)

    def scores(self, batches: Iterable[Float[Tensor, "_ C S S"]]) -> Float[Tensor, "N K"]:
        """Each class's score, 0 to 1, for images in [0, 1], on the CPU."""
        encoder = self.encoder
        mean, std = (torch.tensor(v)[:, None, None] for v in (encoder.mean, encoder.std))
        lower = torch.bfloat16 if encoder.bf16 else None
        shown = ((batch - mean) / std for batch in batches)
        features = extract(encoder.encoder, shown, device=encoder.device, autocast=lower)
        if self.head.config.layer == "projector" and encoder.projector is not None:
            features = projected(encoder.projector, features, encoder.device)
        return self.head.predict(features).score


def spaced(rows: Int[Tensor, " N"], most: int) -> Int[Tensor, " M"]:
    """At most so many of some rows, evenly spaced; 0 takes all."""
    if most == 0 or len(rows) <= most:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, most).round().long()]


def share(scores: Float[Tensor, "N K"], labels: Int[Tensor, " N"]) -> float:
    """How often the highest score is the right class's; images with label -1 do not count."""
    rows = labels >= 0
    return float((scores.argmax(dim=1)[rows] == labels[rows]).double().mean())
