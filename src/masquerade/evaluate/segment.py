"""Segmentation: an FCN on the encoder names the class of every pixel; mIoU as Pascal VOC has it.

Long et al., "Fully Convolutional Networks for Semantic Segmentation", 2015,
https://arxiv.org/abs/1411.4038; Sequential's paper measures VOC so and says neither crop nor rate
(papers/adversarial_masking.md, section 10). Pixels that are 255 do not count; the intersections and
unions of a class are summed up over the whole set, and the mean is over classes.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from lightning_fabric import Fabric
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.core.types import precise
from masquerade.data.augment.augmenter import Augmenter
from masquerade.data.augment.policy import Policy
from masquerade.data.images import ImageSet
from masquerade.data.loader import Loader
from masquerade.engine import gather
from masquerade.engine.clock import Clock
from masquerade.engine.extract import evaluating
from masquerade.engine.loop import train
from masquerade.engine.task import Carry, Group, Progress, Task, Terms
from masquerade.evaluate import dense, training
from masquerade.evaluate.base import Protocol, Result, Unlabelled
from masquerade.evaluate.dense import IGNORED, DenseConfig, Job
from masquerade.evaluate.frozen import Frozen
from masquerade.evaluate.metrics import confusion
from masquerade.networks.backbone import Backbone
from masquerade.networks.fcn import FCN, Form
from masquerade.networks.norms import synchronised

BACKGROUND, OBJECT = "background", "object"
CROPS = Policy(crop_scale=(0.25, 1.0), jitter=0, grey=0, blur=0)


class Config(DenseConfig):
    """Settings of segmentation.

    Attributes:
        agnostic: Whether all objects count as one class: where they are, not what.
        form: How many of the last maps are read: `32s` one, `16s` two, `8s` three.
        head_scale: The learning rate of the new layers, in that of the encoder.
        kept_statistics: Whether batch norms keep the statistics of pre-training.
        augment: How images are cropped, flipped and coloured in training; masks follow.
    """

    agnostic: bool = False
    form: Form = "8s"
    head_scale: float = Field(10.0, gt=0)
    kept_statistics: bool = False
    augment: Policy = CROPS

    def build(self) -> "Segment":
        return Segment(self)

    def classes(self, images: ImageSet) -> tuple[str, ...]:
        """What is told apart, by its number: the background, then the classes of the images."""
        return (BACKGROUND, *((OBJECT,) if self.agnostic else images.classes))


class Marked(NamedTuple):
    """Views and the class of each of their pixels, 255 where it does not count."""

    images: Float[Tensor, "B C S S"]
    classes: Int[Tensor, "B S S"]


class Segmenting(Task):
    """One player, `encoder`: the FCN; its backbone stays as it is where that is asked for."""

    def __init__(self, network: FCN, config: Config) -> None:
        super().__init__()
        self.network = network
        self.config = config
        if config.frozen:
            network.backbone.requires_grad_(False)

    def players(self) -> dict[str, list[Group]]:
        heads = list(self.network.heads.parameters())
        if self.config.frozen:
            return {"encoder": [Group("heads", heads)]}
        body = list(self.network.backbone.parameters())
        return {"encoder": [Group("backbone", body), Group("heads", heads, self.config.head_scale)]}

    def rounds(self, progress: Progress) -> tuple[tuple[str, ...], ...]:
        return (("encoder",),)

    def before_step(self, progress: Progress) -> None:
        """The mode that training asks for, whatever looked at the network between two steps."""
        self.network.backbone.train(not (self.config.frozen or self.config.kept_statistics))

    def forward(
        self, batch: Marked, players: tuple[str, ...], seed: Seed, progress: Progress, carry: Carry
    ) -> Terms:
        """Cross entropy, the mean over all pixels of the global batch that count."""
        with torch.set_grad_enabled(not self.config.frozen):
            maps = self.network.backbone.maps(batch.images)
        side = batch.images.shape[2]
        scores = precise(self.network.scores(maps, (side, side)))
        total = F.cross_entropy(scores, batch.classes, ignore_index=IGNORED, reduction="sum")
        counted = batch.classes != IGNORED
        everywhere = sum(gather.everyone(int(counted.sum())))
        loss = total * gather.world() / max(everywhere, 1)
        right = (scores.argmax(1) == batch.classes)[counted].float().mean()
        return Terms(loss, {"encoder/loss": loss.detach(), "encoder/pixels": right})

    def encoder(self) -> Backbone:
        return self.network.backbone


def untrained(config: Config, job: Job, seed: Seed) -> Segmenting:
    """What is trained, as it is before the first step."""
    torch.manual_seed(seed.fold("init").integer())
    network = FCN(job.backbone, len(config.classes(job.images)), config.form)
    return synchronised(Segmenting(network, config))


class Segment(Protocol):
    """Trains an FCN on masks and measures it on others.

    `Result.arrays` has `iou/NAME` of each class, `pixels/NAME`, how many pixels of class [row] were
    called class [column], and `classes`.
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(
        self, encoder: Frozen, train: ImageSet, tests: dict[str, ImageSet], seed: Seed
    ) -> Result:
        """Train on `train`, measure on each of `tests`.

        Training that was cut goes on at its last checkpoint where the encoder has a cache.
        """
        config, seed = self.config, seed.fold("segment")
        if train.dense is None or not train.dense.has_masks:
            raise Unlabelled(
                f"segment needs a class for each pixel, and {train.name} has none; data=scenes "
                "and data=voc have"
            )
        measured, notes = dense.comparable(train, tests, masks=True)
        config = config.replace(batch=training.fitting(config.batch, config.devices, len(train)))
        job = Job(dense.backbone_of(encoder, config.side), train, measured)
        metrics: dict[str, float] = {}
        arrays: dict[str, NDArray[Any]] = {}
        for name, counts in dense.done(config, job, work, encoder, seed).items():
            table = torch.from_numpy(counts)
            each = intersection_over_union(table)
            metrics[f"{name}/miou"] = float(each.nanmean())
            metrics[f"{name}/pixels"] = float(table.diagonal().sum() / table.sum())
            arrays |= {f"iou/{name}": each.numpy(), f"pixels/{name}": table.numpy()}
        names = config.classes(train)
        arrays["classes"] = np.array(names, dtype=np.str_)
        line = (
            f"FCN-{config.form} {'on the frozen encoder' if config.frozen else 'with the encoder'}"
            f", {len(train):,} images, {config.epochs} epochs, batch {config.batch}, "
            f"{config.optimizer.described()}; mIoU over {len(names)} classes, background too"
        )
        return Result(metrics, arrays, None, (line, *notes))


def work(
    fabric: Fabric, config: Config, job: Job, path: str, seed: Seed
) -> dict[str, NDArray[np.int64]]:
    """The part of a segmentation that every process does; the confusions of the test sets.

    They are arrays, as a tensor would be shared memory of a process that ends.
    """
    backbone, rank, world = job.backbone, fabric.global_rank, fabric.world_size
    plan = training.plan(len(job.images), config.epochs, config.batch, config.optimizer)
    mean, std = dense.constants(backbone)
    augmenter = Augmenter(config.augment, backbone.size, mean, std)
    task = untrained(config, job, seed)
    with Loader(job.images, config.batch, seed, fabric.device, rank, world) as loader:

        def at(step: int, clock: Clock) -> Marked:
            clock.to("data")
            batch = loader.batch_at(step)
            masks = marks(job.images, batch.indices, config.agnostic).to(fabric.device)
            clock.to("augmentation")
            where = seed.fold("step", step, "augment")
            view = augmenter.views(batch.images, batch.extent, where, 1, rank, world)[0]
            side = backbone.size
            masks = dense.views(config.augment, masks, batch.extent, side, where, rank, world)
            return Marked(view, masks)

        train(fabric, task, at, plan, seed, RunDir(path))
    return {
        name: measure(fabric, task.network, config, job, images).numpy()
        for name, images in job.tests.items()
    }


@torch.no_grad()
def measure(
    fabric: Fabric, network: FCN, config: Config, job: Job, images: ImageSet
) -> Int[Tensor, "K K"]:
    """How many pixels of class [row] were called class [column], in all processes together.

    Every image is seen by one process, whole, and judged in its own resolution.
    """
    many, side = len(config.classes(images)), job.backbone.size
    mean, std = dense.constants(job.backbone)
    table = torch.zeros(many, many, dtype=torch.int64)
    with evaluating(network), fabric.autocast():
        for rows in dense.own_rows(images, fabric.global_rank, fabric.world_size, 64):
            extent = images.extents(rows)
            shown = dense.whole(images.read(rows).to(fabric.device), extent, side, mean, std)
            truth = marks(images, rows, config.agnostic)
            for scores, (h, w), right in zip(network(shown), extent.tolist(), truth, strict=True):
                named = F.interpolate(scores[None].float(), size=(h, w), mode="bilinear")
                right = right[:h, :w]
                counted = right != IGNORED
                table += confusion(right[counted], named[0].argmax(0).cpu()[counted], many)
    return torch.stack(gather.everyone(table)).sum(0)


def intersection_over_union(table: Int[Tensor, "K K"]) -> Float[Tensor, " K"]:
    """Of each class, from how many pixels of class [row] were called [column].

    nan for a class that neither the truth nor the answers have: it does not count in a mean.
    """
    both = table.diagonal().double()
    return both / (table.sum(0) + table.sum(1) - table.diagonal())


def marks(images: ImageSet, rows: Int[Tensor, " B"], agnostic: bool) -> Int[Tensor, "B H W"]:
    """The class of each pixel of some images; raises `ValueError` where there is no such class."""
    assert images.dense is not None
    classes = 1 + len(images.classes)
    found: UInt8[Tensor, "B H W"] = images.dense.semantic(rows.numpy())
    strange = found[(found >= classes) & (found != IGNORED)]
    if len(strange):
        raise ValueError(
            f"a mask of {images.name} holds the number {int(strange[0])}, but its classes are 0 "
            f"(background) to {classes - 1}, and {IGNORED} is ignored"
        )
    if agnostic:
        found = torch.where(found == IGNORED, found, found.clamp(max=1))
    return found.long()
