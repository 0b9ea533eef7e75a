"""What segmentation and detection share: settings, job and folder; images with their masks.

A network for every pixel or box is trained on a copy of the encoder, or on top of the frozen
encoder, by the loop that trains everything else: cut trainings go on, several processes share the
work, and each test image is measured by exactly one of them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from json import dumps
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8, UInt16
from lightning_fabric import Fabric
from pydantic import Field, model_validator
from torch import Tensor

from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.data.augment.draw import draw
from masquerade.data.augment.geometry import resample, sampling
from masquerade.data.augment.policy import Policy
from masquerade.data.augment.precision import peak
from masquerade.data.images import ImageSet
from masquerade.engine.extract import digest
from masquerade.engine.launch import launched
from masquerade.engine.optimizers import sgd
from masquerade.engine.optimizers.base import OptimizerConfig
from masquerade.engine.runtime import Runtime
from masquerade.engine.schedule import Schedule
from masquerade.evaluate.base import ProtocolConfig
from masquerade.evaluate.frozen import Frozen
from masquerade.networks.backbone import Backbone

IGNORED = 255  # what masks call a pixel that does not count, as in VOC


class DenseConfig(ProtocolConfig):
    """Settings of training a network for every pixel or box.

    Attributes:
        epochs: Passes over the training images.
        batch: Images of one step; the largest power of two that they fill where there are fewer.
        optimizer: Of all that is trained.
        frozen: Whether the encoder stays as it is and the rest is trained on top of it.
        side: Of the square that an image is shown as, in pixels; 0 is the encoder's own size.
            Convolutional networks can take another.
        devices: Processes that train and measure together, each with a device of its own.
    """

    epochs: int = Field(20, ge=1)
    batch: int = Field(16, ge=1)
    optimizer: OptimizerConfig = sgd.Config(
        lr=0.02, decay=1e-4, schedule=Schedule(warmup=1, start=0.0, per="step")
    )
    frozen: bool = False
    side: int = Field(0, ge=0)
    devices: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _read(self) -> "DenseConfig":
        if self.layer != "backbone":
            raise ValueError(f"{self.kind} reads the backbone's maps; layer=projector is not read")
        if self.crop != 1:
            raise ValueError(f"{self.kind} shows whole images; crop={self.crop:g} is not read")
        return self

    def suits(self, encoder: Frozen) -> bool:
        """Whether there is a network with maps; raw pixels are none."""
        return isinstance(encoder.encoder, Backbone)


Kind = TypeVar("Kind", bound=DenseConfig)
Found = TypeVar("Found")


class Job(NamedTuple):
    """What every process of a training is told besides its settings.

    Attributes:
        backbone: What it starts from, on the CPU.
        images: To train on.
        tests: To measure on, by name.
    """

    backbone: Backbone
    images: ImageSet
    tests: dict[str, ImageSet]


def done(
    config: Kind,
    job: Job,
    work: Callable[[Fabric, Kind, Job, str, Seed], Found],
    encoder: Frozen,
    seed: Seed,
) -> Found:
    """What `work` returns for a job, run by every process in the folder of its training.

    Training that was cut goes on at its last checkpoint where the encoder has a cache.

    Raises:
        Interrupted: A signal came.
        CannotResume: Another process trains the same.
    """
    runtime = encoder.runtime(config.devices)
    with place(encoder, config, runtime, seed, job.images) as folder, folder.locked():
        path = str(folder.path)
        found: Found = launched(runtime, work, config, job, path, seed, two_players=True)
    return found


def backbone_of(encoder: Frozen, side: int) -> Backbone:
    """A copy of an encoder on the CPU, for square images of `side` pixels (0 = as it is).

    Raises:
        ValueError: Raw pixels, or a network that takes no other size.
    """
    given = encoder.encoder
    if not isinstance(given, Backbone):
        raise ValueError(f"{type(given).__name__} has no maps that could be read")
    mean, std = given.mean.flatten().tolist(), given.std.flatten().tolist()
    config = given.config.replace(stem=given.stem, weights=None)
    made = config.build(side or given.size, given.channels, mean, std)
    state = {name: t.detach().cpu() for name, t in given.body.state_dict().items()}
    try:
        made.body.load_state_dict(state)
    except RuntimeError:
        raise ValueError(
            f"{given.config.name} was trained at {given.size} px and has weights that fit no other "
            f"size, such as {side} px. Set side=0"
        ) from None
    return made


def views(
    policy: Policy,
    masks: Int[Tensor, "B H W"],
    extent: Int[Tensor, "B 2"],
    side: int,
    seed: Seed,
    rank: int = 0,
    world: int = 1,
) -> Int[Tensor, "B S S"]:
    """Masks cropped and flipped as `Augmenter.views(..., seed)` does the images of a batch.

    The nearest pixel of the mask is taken: labels cannot be averaged.

    Args:
        policy: Of the views.
        masks: One number per pixel of the canvas.
        extent: Height and width of what each canvas holds.
        side: Height and width of the result.
        seed: The one that the images are drawn with.
        rank: These are rows `rank * B` to `(rank + 1) * B` of the global batch.
        world: The global batch has `B * world` rows.
    """
    drawn = draw(policy, extent, seed.fold("view", 0), rank, world)
    at = (torch.arange(side) + 0.5) / side
    top, left, tall, wide = drawn.box.unbind(1)
    across = torch.where(drawn.flip[:, None], 1 - at, at)
    rows = (top[:, None] + (at * tall[:, None]).floor().long()).to(masks.device)
    columns = (left[:, None] + (across * wide[:, None]).floor().long()).to(masks.device)
    every = torch.arange(len(masks), device=masks.device)[:, None, None]
    return masks[every, rows[:, :, None], columns[:, None, :]]


def whole(
    images: UInt8[Tensor, "B C H W"] | UInt16[Tensor, "B C H W"],
    extent: Int[Tensor, "B 2"],
    side: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Float[Tensor, "B C S S"]:
    """All of each image, stretched to a square and standardised; nothing is cut off."""
    none = torch.zeros(len(images))
    rows = sampling(none, extent[:, 0].cpu(), side, images.shape[2])
    columns = sampling(none, extent[:, 1].cpu(), side, images.shape[3])
    source = images.permute(0, 2, 3, 1).float()
    found = resample(source, rows.to(source), columns.to(source)) / peak(images)
    shift, spread = (torch.tensor(n, device=images.device)[:, None, None] for n in (mean, std))
    return (found - shift) / spread


def constants(backbone: Backbone) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel that images are standardised with."""
    return tuple(backbone.mean.flatten().tolist()), tuple(backbone.std.flatten().tolist())


@contextmanager
def place(
    encoder: Frozen, config: DenseConfig, runtime: Runtime, seed: Seed, images: ImageSet
) -> Iterator[RunDir]:
    """The folder of a training: one for all that decides how it ends, or a temporary one.

    Of the targets a thousand evenly spaced images are looked at.
    """
    if encoder.cache is None:
        with TemporaryDirectory() as folder:
            yield RunDir(folder)
        return
    about = [digest(encoder.encoder), config.tree(), runtime.tree(), repr(seed), *images.digests()]
    total = blake2b(dumps(about, sort_keys=True).encode(), digest_size=16)
    assert images.dense is not None
    for row in np.unique(np.linspace(0, len(images) - 1, 1000).astype(int)):
        for part in images.dense.objects(int(row)):
            total.update(b"" if part is None else part.numpy().tobytes())
    yield RunDir(encoder.cache / f"{config.kind}-{total.hexdigest()}")


def own_rows(images: ImageSet, rank: int, world: int, batch: int) -> Iterator[Tensor]:
    """The rows that one of several processes measures, some at a time: every row by one."""
    yield from torch.split(torch.arange(rank, len(images), world), batch)


def comparable(
    train: ImageSet, tests: dict[str, ImageSet], masks: bool
) -> tuple[dict[str, ImageSet], tuple[str, ...]]:
    """The test sets that have boxes, and masks if asked for; a sentence about each other one.

    Raises:
        ValueError: The objects of one are of other classes.
    """
    fit: dict[str, ImageSet] = {}
    notes: list[str] = []
    for name, images in tests.items():
        if images.dense is None or (masks and not images.dense.has_masks):
            what = "masks" if masks else "boxes"
            notes.append(f"{name} ({images.name}) has no {what}, so nothing was measured on it")
            continue
        if images.classes != train.classes:
            raise ValueError(
                f"{images.name} has other classes than {train.name}: {', '.join(images.classes)}; "
                f"not {', '.join(train.classes)}"
            )
        fit[name] = images
    return fit, tuple(notes)
