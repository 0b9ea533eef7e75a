"""Training a backbone and a linear classifier together on labels: settings, task, and run."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from json import dumps
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from lightning_fabric import Fabric
from pydantic import Field, model_validator
from torch import nn

from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.core.types import precise
from masquerade.data.augment.augmenter import Augmenter
from masquerade.data.augment.policy import Policy
from masquerade.data.images import ImageSet
from masquerade.data.loader import Loader
from masquerade.engine.clock import Clock
from masquerade.engine.extract import digest
from masquerade.engine.loop import train
from masquerade.engine.optimizers import adamw
from masquerade.engine.optimizers.base import OptimizerConfig
from masquerade.engine.runtime import Runtime
from masquerade.engine.schedule import Schedule
from masquerade.engine.task import Carry, Group, Progress, Task, Terms
from masquerade.evaluate import training
from masquerade.evaluate.adapting import Adapt, Pool
from masquerade.evaluate.base import ProtocolConfig
from masquerade.evaluate.frozen import Frozen
from masquerade.evaluate.layerwise import groups
from masquerade.evaluate.mixing import Labelled, Mixing
from masquerade.networks.backbone import Backbone
from masquerade.networks.norms import synchronised

HEAD = 2e-5  # deviation of the classifier's first weights, as MAE's fine-tuning has it
MAE = adamw.Config(
    lr=2e-3, decay=0.05, schedule=Schedule(warmup=5, start=0.0, end=1e-6, per="step")
)
CROPS = Policy(jitter=0, grey=0, blur=0, interpolation="bicubic")


class TuningConfig(ProtocolConfig):
    """Settings of training a whole network; the defaults are MAE's for ViT-B.

    Attributes:
        epochs: Passes over the labelled training images.
        batch: Images of one step; the largest power of two that they fill where there are fewer.
            The learning rate is not scaled with it.
        optimizer: Of network and classifier.
        layer_decay: What a layer's learning rate is to that of the layer above it; 1 trains all
            layers at one rate.
        drop_path: Highest chance that a block is skipped in training; deeper blocks have more.
        pool: Where a vision transformer's features come from: `patches` is the mean of its patch
            tokens, then a new norm; `encoder` leaves everything as it was. Other networks have no
            class token, and keep their features.
        fresh: Parts of the network that start anew, as `conv1`; others go on from pre-training.
        kept_statistics: Whether the network stays in evaluation mode while it is trained: batch
            norms keep the statistics of pre-training, and nothing is dropped.
        head_scale: The classifier's learning rate, in that of the network's last layer.
        frozen: Whether the network stays as it is, and the classifier alone is trained.
        augment: How views are drawn.
        mixing: Mixup, CutMix, erasing, smoothed labels.
        devices: Processes that train together, each with a device of its own.
    """

    epochs: int = Field(100, ge=1)
    batch: int = Field(1024, ge=1)
    optimizer: OptimizerConfig = MAE
    layer_decay: float = Field(0.65, gt=0, le=1)
    drop_path: float = Field(0.1, ge=0, lt=1)
    pool: Pool = "patches"
    fresh: tuple[str, ...] = ()
    kept_statistics: bool = False
    head_scale: float = Field(1.0, gt=0)
    frozen: bool = False
    augment: Policy = CROPS
    mixing: Mixing = Mixing(mixup=0.8, cutmix=1.0, smoothing=0.1, erase=0.25)
    devices: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _read(self) -> "TuningConfig":
        if self.layer != "backbone":
            raise ValueError(f"{self.kind} trains the backbone; layer=projector is not read")
        if self.kept_statistics and self.drop_path:
            raise ValueError("with kept_statistics=true no block is ever dropped; set drop_path=0")
        if self.frozen and self.drop_path:
            raise ValueError("with frozen=true no block is ever dropped; set drop_path=0")
        return self

    def suits(self, encoder: Frozen) -> bool:
        """Whether there is a network to train; raw pixels are none."""
        return isinstance(encoder.encoder, Backbone)

    def adapt(self) -> Adapt:
        """How the backbone is changed before it is trained."""
        return Adapt(self.pool, self.drop_path, self.fresh)


class Tuning(Task):
    """One player, `encoder`: the backbone and its classifier."""

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        layer_decay: float,
        kept_statistics: bool,
        head_scale: float = 1.0,
        frozen: bool = False,
    ) -> None:
        """Takes a backbone and draws a classifier for it.

        Args:
            backbone: Trained as it is.
            classes: Of the labels.
            layer_decay: What a layer's rate is to that of the layer above it.
            kept_statistics: Whether the backbone stays in evaluation mode while it is trained.
            head_scale: What the classifier's rate is to that of the last layer.
            frozen: Whether the classifier alone is trained.
        """
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Linear(backbone.dim, classes)
        nn.init.trunc_normal_(self.classifier.weight, std=HEAD, a=-2, b=2)
        nn.init.zeros_(self.classifier.bias)
        self.layer_decay = layer_decay
        self.kept_statistics = kept_statistics or frozen
        self.head_scale = head_scale
        self.frozen = frozen
        if frozen:
            backbone.requires_grad_(False)

    def players(self) -> dict[str, list[Group]]:
        *body, last = groups(self.backbone.body, self.classifier, self.layer_decay)
        scaled = last._replace(lr_scale=self.head_scale)
        return {"encoder": [scaled] if self.frozen else [*body, scaled]}

    def rounds(self, progress: Progress) -> tuple[tuple[str, ...], ...]:
        return (("encoder",),)

    def before_step(self, progress: Progress) -> None:
        """The mode that training asks for, whatever looked at the backbone between two steps."""
        self.backbone.train(not self.kept_statistics)

    def forward(
        self,
        batch: Labelled,
        players: tuple[str, ...],
        seed: Seed,
        progress: Progress,
        carry: Carry,
    ) -> Terms:
        """Cross entropy with the targets, the mean over the batch; how often the answer is right.

        An answer is right if it is the class that has the largest part of the target.
        """
        logits = precise(self.classifier(self.backbone(batch.images)))
        loss = -(batch.targets * logits.log_softmax(dim=1)).sum(dim=1).mean()
        right = (logits.argmax(dim=1) == batch.targets.argmax(dim=1)).float().mean()
        return Terms(loss, {"encoder/loss": loss.detach(), "encoder/top1": right})

    def encoder(self) -> Backbone:
        return self.backbone


class Job(NamedTuple):
    """What every process of a fine-tuning is told.

    Attributes:
        config: The settings, with the batch that fits.
        backbone: What is fine-tuned, on the CPU.
        images: All of them labelled.
        classes: Of the labels.
    """

    config: TuningConfig
    backbone: Backbone
    images: ImageSet
    classes: int

    def task(self, seed: Seed) -> Tuning:
        """What is trained, as it is before the first step."""
        config = self.config
        torch.manual_seed(seed.fold("init").integer())
        backbone = config.adapt().backbone(self.backbone)
        kept, scale = config.kept_statistics, config.head_scale
        task = Tuning(backbone, self.classes, config.layer_decay, kept, scale, config.frozen)
        return synchronised(task)


def work(fabric: Fabric, job: Job, path: str, seed: Seed) -> None:
    """The part of a fine-tuning that every process does."""
    config, backbone = job.config, job.backbone
    rank, world = fabric.global_rank, fabric.world_size
    plan = training.plan(len(job.images), config.epochs, config.batch, config.optimizer)
    mean, std = backbone.mean.flatten().tolist(), backbone.std.flatten().tolist()
    augmenter = Augmenter(config.augment, backbone.size, tuple(mean), tuple(std))
    with Loader(job.images, config.batch, seed, fabric.device, rank, world) as loader:

        def at(step: int, clock: Clock) -> Labelled:
            clock.to("data")
            batch = loader.batch_at(step)
            clock.to("augmentation")
            where = seed.fold("step", step)
            view = augmenter.views(
                batch.images, batch.extent, where.fold("augment"), 1, rank, world
            )[0]
            assert batch.labels is not None
            return config.mixing.mixed(view, batch.labels, job.classes, where, rank, world)

        train(fabric, job.task(seed), at, plan, seed, RunDir(path))


@contextmanager
def place(encoder: Frozen, job: Job, runtime: Runtime, seed: Seed) -> Iterator[RunDir]:
    """The folder of a fine-tuning: one for all that decides how it ends, or a temporary one."""
    if encoder.cache is None:
        with TemporaryDirectory() as folder:
            yield RunDir(folder)
        return
    labels = job.images.targets["label"].tobytes()
    pixels = "".join(job.images.digests()).encode()
    about = dumps(
        [job.config.tree(), digest(job.backbone), runtime.tree(), repr(seed)], sort_keys=True
    )
    name = blake2b(about.encode() + pixels + labels, digest_size=16).hexdigest()
    yield RunDir(encoder.cache / f"finetune-{name}")
