"""Detection: Faster or Mask R-CNN on the encoder finds objects; average precision of VOC or COCO.

In the C4 form that MoCo's detection code has, which MixMask's Table 7 follows (papers/mixmask.md,
section 7): the encoder up to its third stage makes one map, its last stage judges each box. Only
ResNets have that form. `voc` and `coco` are the settings of that table.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from pydantic import Field, model_validator
from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.data import order
from masquerade.data.images import ImageSet
from masquerade.engine import gather
from masquerade.engine.clock import Clock
from masquerade.engine.extract import evaluating
from masquerade.engine.loop import train
from masquerade.engine.optimizers import sgd
from masquerade.engine.optimizers.base import OptimizerConfig
from masquerade.engine.schedule import Schedule
from masquerade.engine.task import Carry, Group, Progress, Task, Terms
from masquerade.evaluate import boxes, dense, outlines, training
from masquerade.evaluate.base import Protocol, Result, Unlabelled
from masquerade.evaluate.dense import DenseConfig, Job
from masquerade.evaluate.frozen import Frozen
from masquerade.networks import c4
from masquerade.networks.backbone import Backbone
from masquerade.networks.norms import synchronised

VOC = sgd.Config(
    lr=0.02,
    decay=1e-4,
    schedule=Schedule(
        shape="drops", drops=(18, 22), warmup=100, warmup_unit="step", start=2e-5, per="step"
    ),
)


class Config(DenseConfig):
    """Settings of detection; the defaults are VOC's, but for the size of images.

    Attributes:
        masks: Whether objects get masks, too: Mask R-CNN.
        agnostic: Whether all objects count as one class: where they are, not what.
        metric: `voc07` is the 11-point average precision, `coco` COCO's (needs pycocotools).
        shorter: Sides of which one is drawn for the shorter side of each training image; () takes
            `side` for all. Images are measured at `side`.
        longest: The longer side is at most so long.
        anchors: Sides of the anchors, in pixels of the resized image.
        rois: Proposals of each training image that the box head is trained on.
        proposals: Proposals of each image that are judged.
        flip: Chance that a training image is flipped.
    """

    epochs: int = Field(24, ge=1)
    optimizer: OptimizerConfig = VOC
    masks: bool = False
    agnostic: bool = False
    metric: Literal["voc07", "coco"] = "voc07"
    shorter: tuple[int, ...] = ()
    longest: int = Field(1333, ge=16)
    anchors: tuple[int, ...] = (32, 64, 128, 256, 512)
    rois: int = Field(512, ge=4)
    proposals: int = Field(1000, ge=1)
    flip: float = Field(0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _sizes(self) -> "Config":
        if min((*self.shorter, *self.anchors), default=0) < 1:
            raise ValueError("anchors must be one or more sides of at least 1 pixel, shorter too")
        if self.masks and self.metric == "voc07":
            raise ValueError("VOC 2007 judges boxes only; with masks=true set metric=coco")
        return self

    def shape(self, side: int) -> c4.Shape:
        """Sizes for images that are measured at `side` pixels."""
        shorter = (*self.shorter, side) if self.shorter else (side,)
        return c4.Shape(shorter, self.longest, self.anchors, self.rois, self.proposals)

    def classes(self, images: ImageSet) -> int:
        """How many classes are told apart."""
        return 1 if self.agnostic else len(images.classes)

    def build(self) -> "Detect":
        return Detect(self)


def voc() -> Config:
    """Trained on trainval of 2007 and 2012, short sides of 480 to 800 pixels, as MoCo has it."""
    return Config(side=800, shorter=tuple(range(480, 800, 32)))


def coco() -> Config:
    """Mask R-CNN, 12 epochs (1x), short sides of 640 to 800 pixels."""
    fall = VOC.schedule.replace(drops=(8, 11), warmup=1000)
    optimizer = VOC.replace(schedule=fall)
    shorter = tuple(range(640, 800, 32))
    return Config(
        side=800, shorter=shorter, epochs=12, optimizer=optimizer, masks=True, metric="coco"
    )


class Drawn(NamedTuple):
    """Images of any size, in [0, 1], and what is on them."""

    images: list[Float[Tensor, "C _ _"]]
    targets: list[dict[str, Tensor]]


class Detecting(Task):
    """One player, `encoder`: the detector; up to its third stage it may stay as it is."""

    def __init__(self, network: GeneralizedRCNN, backbone: Backbone, frozen: bool) -> None:
        super().__init__()
        self.network = network
        self.frozen = frozen
        self._backbone = [backbone]  # in a list: its modules belong to the network
        if frozen:
            network.backbone.requires_grad_(False)

    def players(self) -> dict[str, list[Group]]:
        params = [p for p in self.network.parameters() if p.requires_grad]
        return {"encoder": [Group("detector", params)]}

    def rounds(self, progress: Progress) -> tuple[tuple[str, ...], ...]:
        return (("encoder",),)

    def before_step(self, progress: Progress) -> None:
        """Training mode, but for what is frozen."""
        self.network.train()
        self.network.backbone.train(not self.frozen)

    def forward(
        self, batch: Drawn, players: tuple[str, ...], seed: Seed, progress: Progress, carry: Carry
    ) -> Terms:
        """The sum of the losses of proposals, classes, boxes and masks."""
        losses: dict[str, Tensor] = self.network(batch.images, batch.targets)
        loss = torch.stack([*losses.values()]).sum()
        logs = {f"encoder/{name}": value.detach() for name, value in losses.items()}
        return Terms(loss, {"encoder/loss": loss.detach(), **logs})

    def encoder(self) -> Backbone:
        return self._backbone[0]


def untrained(config: Config, job: Job, seed: Seed) -> Detecting:
    """What is trained, as it is before the first step."""
    torch.manual_seed(seed.fold("init").integer())
    shape = config.shape(config.side or job.backbone.size)
    network = c4.detector(job.backbone, config.classes(job.images), shape, config.masks)
    return synchronised(Detecting(network, job.backbone, config.frozen))


class Detect(Protocol):
    """Trains a detector on boxes and measures it on others."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(
        self, encoder: Frozen, train: ImageSet, tests: dict[str, ImageSet], seed: Seed
    ) -> Result:
        """Train on `train`, measure on each of `tests`.

        Training that was cut goes on at its last checkpoint where the encoder has a cache.
        """
        config, seed = self.config, seed.fold("detect")
        if train.dense is None or (config.masks and not train.dense.has_masks):
            what = "masks" if config.masks and train.dense else "boxes"
            raise Unlabelled(
                f"detect needs {what} to learn from, and {train.name} has none; data=scenes, "
                "data=voc and data=coco have"
            )
        if config.metric == "coco":
            boxes.imported()
        measured, notes = dense.comparable(train, tests, config.masks)
        config = config.replace(batch=training.fitting(config.batch, config.devices, len(train)))
        job = Job(dense.backbone_of(encoder, 0), train, measured)
        metrics: dict[str, float] = {}
        for name, (truth, said) in dense.done(config, job, work, encoder, seed).items():
            numbers = judged(config, truth, said, config.classes(train))
            metrics |= {f"{name}/{key}": value for key, value in numbers.items()}
            if not numbers:
                notes = (*notes, f"{name} shows no object, so nothing was measured on it")
        line = (
            f"{'Mask' if config.masks else 'Faster'} R-CNN, C4, "
            f"{'up to the third stage frozen' if config.frozen else 'all trained'}, "
            f"{len(train):,} images, {config.epochs} epochs, batch {config.batch}, "
            f"{config.optimizer.described()}; {config.metric}"
        )
        return Result(metrics, {}, None, (line, *notes))


def judged(
    config: Config, truth: list[boxes.Truth], said: list[boxes.Found], classes: int
) -> dict[str, float]:
    """The average precisions of one test set."""
    if config.metric == "voc07":
        return boxes.voc07(truth, said, classes)
    numbers = boxes.coco(truth, said, classes)
    if config.masks:
        each = boxes.coco(truth, said, classes, masks=True)
        numbers |= {f"mask_{name}": value for name, value in each.items()}
    return numbers


Measured = dict[str, tuple[list[boxes.Truth], list[boxes.Found]]]


def work(fabric: Fabric, config: Config, job: Job, path: str, seed: Seed) -> Measured:
    """The part of a detection that every process does; truth and answers of the test sets."""
    rank, world = fabric.global_rank, fabric.world_size
    task, share = untrained(config, job, seed), config.batch // world
    many = config.classes(job.images)

    def at(step: int, clock: Clock) -> Drawn:
        clock.to("data")
        rows = order.indices(step, length=len(job.images), batch=config.batch, seed=seed)
        drawn = torch.rand(len(rows), generator=seed.fold("step", step, "flip").generator())
        mine = slice(rank * share, (rank + 1) * share)
        pairs = zip(rows[mine].tolist(), (drawn[mine] < config.flip).tolist(), strict=True)
        parts = [outlines.example(job.images, row, flip, many, config.masks) for row, flip in pairs]
        images = [image.to(fabric.device) for image, _ in parts]
        targets = [{n: t.to(fabric.device) for n, t in target.items()} for _, target in parts]
        return Drawn(images, targets)

    plan = training.plan(len(job.images), config.epochs, config.batch, config.optimizer)
    train(fabric, task, at, plan, seed, RunDir(path))
    return {
        name: measure(fabric, task.network, images, config) for name, images in job.tests.items()
    }


@torch.no_grad()
def measure(
    fabric: Fabric, network: GeneralizedRCNN, images: ImageSet, config: Config
) -> tuple[list[boxes.Truth], list[boxes.Found]]:
    """Truth and answers for all images of a set, in order; each is looked at by one process."""
    mine = {}
    with evaluating(network), fabric.autocast():
        for rows in dense.own_rows(images, fabric.global_rank, fabric.world_size, 1):
            row = int(rows[0])
            pixels = outlines.picture(images, row)
            said = network([pixels.to(fabric.device)])[0]
            truth = outlines.exact(images, row, config.classes(images), config.masks)
            mine[row] = truth, outlines.answered(said, config.masks)
    all_of_them = {row: pair for part in gather.everyone(mine) for row, pair in part.items()}
    pairs = [all_of_them[row] for row in range(len(images))]
    return [truth for truth, _ in pairs], [said for _, said in pairs]
