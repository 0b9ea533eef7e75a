"""The settings of a pretraining run, and the objects they stand for."""

import json
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch
from pydantic import Field, model_validator

from masquerade.core.config import Settings
from masquerade.core.seed import Seed
from masquerade.data.augment.augmenter import Augmenter
from masquerade.data.augment.policy import Policy
from masquerade.data.images import ImageSet
from masquerade.data.sources import toybox
from masquerade.data.sources.base import SourceConfig
from masquerade.engine.optimizers import sgd
from masquerade.engine.optimizers.base import OptimizerConfig
from masquerade.engine.runtime import Runtime
from masquerade.maskers.base import Masker, MaskerConfig
from masquerade.networks import backbone as backbones
from masquerade.networks.backbone import Backbone
from masquerade.networks.norms import synchronised
from masquerade.objectives import simclr
from masquerade.objectives.base import ObjectiveConfig
from masquerade.pretext.base import Pretext, PretextConfig
from masquerade.pretext.game import Game, Step
from masquerade.pretext.siamese import BnStats, Combine, Siamese

J = TypeVar("J", bound="OnImages")


class OnImages(Settings):
    """Settings of a job that reads images.

    Attributes:
        data: Where the images come from.
    """

    data: SourceConfig = toybox.Config()

    def override(self: J, texts: Sequence[str]) -> J:
        """As for all settings; after `data=photos`, `data.strict=true` is a folder's setting."""
        return super().override([in_full(text) for text in texts])


def in_full(text: str) -> str:
    """A `data=` word with its source spelled out: a path may look like a number or a list."""
    key, _, value = text.partition("=")
    if key != "data" or value.lstrip().startswith("{"):
        return text
    return f"data={json.dumps(SourceConfig.shorthand(value))}"


class Statistics(Settings):
    """What images are standardised with, in units where white is 1.

    Attributes:
        mean: Of each channel.
        std: Of each channel.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


class Optimizers(Settings):
    """One optimizer for each player.

    Attributes:
        encoder: Of backbone and heads.
        masker: Of what learns to hide; unused where nothing does.
        probe: Of the online linear probe; unused without labels.
    """

    encoder: OptimizerConfig = sgd.Config()
    masker: OptimizerConfig = sgd.Config()
    probe: OptimizerConfig = sgd.Config()

    def by_player(self) -> dict[str, OptimizerConfig]:
        """The same as a dict."""
        return {"encoder": self.encoder, "masker": self.masker, "probe": self.probe}


class Pretrain(OnImages):
    """Settings of a pretraining run.

    Attributes:
        title: What the run is called in reports.
        data: Where the images come from.
        split: The part that is trained on; `auto` is the source's first.
        limit: At most so many of its images, evenly spaced; 0 takes all.
        size: Side of the training images in pixels.
        normalise: What views are standardised with: `data` measures the images, `published`
            takes the constants people use for this set, or numbers.
        backbone: The encoder.
        pretext: What is learned instead of matching views: `mae`, `simmim` or `aemim`. With `none`
            views are matched, as objective, maskers, step, combine and game say.
        objective: Which branches meet and how they are compared.
        maskers: What hides; empty is the baseline without masks.
        augment: How views are drawn.
        optimizers: One for each player.
        step: How encoder and masker alternate, where something is learned that masks.
        combine: Whether a masker's copies of an image count as one together (`mean`) or one each
            (`sum`). Several maskers are summed.
        bn_stats: Whether masked copies update batch norm's running statistics (`reference`, as
            published) or only clean images do (`clean_only`).
        game: When what is learned that masks is trained, and how strong its wish is.
        probe: Whether a linear probe is trained along on labels, where there are any. It reads
            detached features: the encoder never sees a label.
        epochs: Passes over the images.
        batch: Images of one step, over all processes.
        seed: Root of all randomness.
        runtime: Device, precision, threads, processes.
        log_every: Steps between two lines of metrics.jsonl.
        checkpoint_seconds: The least time between two checkpoints.
        collapse: Whether a collapsed encoder is only reported or ends the run.
    """

    title: str = "pretrain"
    split: str = "auto"
    limit: int = Field(0, ge=0)
    size: int = Field(32, ge=16)
    normalise: Literal["data", "published"] | Statistics = "data"
    backbone: backbones.Config = backbones.Config()
    pretext: PretextConfig | None = None
    objective: ObjectiveConfig = simclr.Config()
    maskers: tuple[MaskerConfig, ...] = ()
    augment: Policy = Policy()
    optimizers: Optimizers = Optimizers()
    step: Step = "reversal"
    combine: Combine = "mean"
    bn_stats: BnStats = "reference"
    game: Game = Game()
    probe: bool = True
    epochs: int = Field(100, ge=1)
    batch: int = Field(256, ge=2)
    seed: int = Field(0, ge=0)
    runtime: Runtime = Runtime()
    log_every: int = Field(10, ge=1)
    checkpoint_seconds: float = Field(20.0, ge=0)
    collapse: Literal["report", "stop"] = "report"

    @model_validator(mode="after")
    def _shared(self) -> "Pretrain":
        if self.batch % self.runtime.devices:
            raise ValueError(
                f"batch={self.batch} cannot be shared equally by {self.runtime.devices} devices"
            )
        if self.pretext:
            self.pretext.check(self.runtime.devices)
            if self.maskers:
                raise ValueError(
                    f"pretext={self.pretext.kind} hides patches itself, and maskers would do "
                    "nothing; set maskers=[]"
                )
        self.objective.check(self.batch, self.runtime.devices)
        for masker in self.maskers:
            masker.check(self.batch, self.runtime.devices)
        return self

    def images(self) -> ImageSet:
        """The images that are trained on."""
        split = self.data.splits()[0] if self.split == "auto" else self.split
        return limited(self.data.load(split, self.size), self.limit)

    def statistics(self, images: ImageSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel."""
        if isinstance(self.normalise, Statistics):
            return self.normalise.mean, self.normalise.std
        if self.normalise == "published":
            known = self.data.normalise()
            if known is None:
                raise ValueError(
                    f"nobody published statistics of data={self.data.kind}; use normalise=data"
                )
            return known
        return images.statistics()

    def encoder(self, images: ImageSet) -> Backbone:
        """The encoder as it is before the first step."""
        torch.manual_seed(Seed(self.seed).fold("init", "backbone").integer())
        mean, std = self.statistics(images)
        return self.backbone.build(self.size, images.channels, mean, std)

    @property
    def views(self) -> int:
        """Random views of each image in a step."""
        return 1 if self.pretext else 2

    def task(self, images: ImageSet) -> Pretext:
        """What is trained, as it is before the first step."""
        encoder = self.encoder(images)
        classes = len(images.classes) if self.probe and images.labels is not None else 0
        torch.manual_seed(Seed(self.seed).fold("init", "heads").integer())
        if self.pretext:
            return self.pretext.build(encoder, classes)
        objective = self.objective.build(encoder)
        torch.manual_seed(Seed(self.seed).fold("init", "maskers").integer())
        maskers = built(self.maskers, self.size, images.channels)
        return synchronised(
            Siamese(objective, maskers, self.step, self.combine, classes, self.game, self.bn_stats)
        )

    def augmenter(self, images: ImageSet) -> Augmenter:
        """How views are drawn and standardised."""
        mean, std = self.statistics(images)
        return Augmenter(self.augment, self.size, mean, std)


def built(maskers: Sequence[MaskerConfig], size: int, channels: int) -> list[Masker]:
    """The maskers of images of `size` x `size` pixels; a mistake is told with its place."""
    found = []
    for place, masker in enumerate(maskers):
        try:
            found.append(masker.build(size, channels))
        except ValueError as error:
            raise ValueError(f"maskers.{place}: {error}") from None
    return found


def limited(images: ImageSet, limit: int) -> ImageSet:
    """At most `limit` images, evenly spaced, so that sets sorted by class keep their shares."""
    if limit == 0 or len(images) <= limit:
        return images
    rows = np.linspace(0, len(images) - 1, limit).round().astype(np.int64)
    return images.subset(rows).noted(f"{images.name}: {limit:,} of {len(images):,} images are used")


class Length(NamedTuple):
    """How long a run is."""

    epoch_steps: int
    steps: int


def length(config: Pretrain, images: ImageSet) -> Length:
    """Steps of an epoch and in all; an incomplete last batch of an epoch is left out.

    Raises:
        ValueError: There are fewer images than one batch.
    """
    per_epoch = len(images) // config.batch
    if per_epoch == 0:
        if len(images) < 2:
            raise ValueError(f"{images.name} has {len(images)} images; at least 2 are needed")
        raise ValueError(
            f"batch={config.batch} is more than the {len(images)} images of {images.name}; "
            f"choose batch={2 ** (len(images).bit_length() - 1)} or less"
        )
    return Length(per_epoch, per_epoch * config.epochs)


def fitting(config: Pretrain, say: Callable[[str], None]) -> Pretrain:
    """The settings with a batch that the images fill; says so where it had to be smaller."""
    images = config.images()
    if len(images) >= config.batch or len(images) < 2 * config.runtime.devices:
        return config
    batch = 2 ** (len(images).bit_length() - 1)
    batch -= batch % config.runtime.devices
    say(f"batch={batch}, because {images.name} has only {len(images)} images")
    return config.replace(batch=batch)
