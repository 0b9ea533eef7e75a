"""Import: somebody else's checkpoint as a run folder, to be measured, certified or trained on.

What it was trained on nobody knows here: the encoder's card says so, and a certificate of heads
on its features therefore rests on what the user asserts.
"""

from collections.abc import Callable
from hashlib import file_digest
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from timm.models import get_pretrained_cfg

from masquerade.core.errors import CannotResume
from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.engine.runtime import Runtime, environment
from masquerade.jobs.settings import OnImages, Pretrain, Statistics
from masquerade.networks import architectures, backbone, encoder_file, weights
from masquerade.networks.backbone import Backbone

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
UNKNOWN = "unknown training images"
RECORD = "imported.json"


class Import(OnImages):
    """Settings of an import.

    Attributes:
        title: What the encoder is called in reports; the file's name if empty.
        data: Where evaluate and certify find images, unless they are told otherwise.
        size: Side of the images it was trained on, in pixels.
        channels: Channels of these images.
        normalise: What they were standardised with: `imagenet` takes the constants of most public
            checkpoints (MoCo, MAE, torchvision, lightly), `model` those that timm keeps for the
            model, or numbers.
        backbone: Name, stem and options it was trained with.
        runtime: Device, precision and threads of what is measured on it.
    """

    title: str = ""
    size: int = Field(224, ge=16)
    channels: int = Field(3, ge=1)
    normalise: Literal["imagenet", "model"] | Statistics = "imagenet"
    backbone: backbone.Config
    runtime: Runtime = Runtime()

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel.

        Raises:
            ValueError: The ones that are asked for are not known.
        """
        if isinstance(self.normalise, Statistics):
            return self.normalise.mean, self.normalise.std
        if self.channels != 3:
            raise ValueError(
                f"normalise={self.normalise} is known for 3 channels, these are {self.channels}: "
                'normalise={"mean":[...],"std":[...]} gives numbers'
            )
        if self.normalise == "imagenet":
            return IMAGENET
        if self.backbone.name.startswith(architectures.TORCHVISION):
            raise ValueError("normalise=model is known for timm's models; use normalise=imagenet")
        known = get_pretrained_cfg(self.backbone.name)
        return tuple(known.mean), tuple(known.std)


def run(config: Import, source: str, out: Path, say: Callable[[str], None]) -> RunDir:
    """Write a run folder with the encoder of a checkpoint; returns it.

    Args:
        config: The settings.
        source: A `.safetensors`, `.pth`, `.pt`, `.ckpt` or `.bin` file, or a folder with one.
        out: The folder; empty, or not there yet.
        say: Takes lines for the user.

    Raises:
        MissingData: There is no such file.
        CannotResume: The folder holds something else.
        ValueError: The file cannot be read safely, or does not hold the whole model.
    """
    path = weights.located(source)
    folder = RunDir(out)
    if folder.has("config.json") and not folder.has(RECORD):
        raise CannotResume(f"{out} holds a run that was trained; name another folder with out=...")
    encoder = built(config, path)
    trained = settings(config, path)
    with folder.locked():
        folder.start(trained.tree(), lambda old: Pretrain.parse(old).tree())
        about = {
            "title": trained.title,
            "trained_on": UNKNOWN,
            "imported": path.name,
            "sha256": digest(path),
            "projector": "",
        }
        folder.write_json("environment.json", environment(config.runtime.resolved()))
        encoder_file.save(encoder, folder.path, about)
        folder.write_json(RECORD, {**about, "origin": encoder.origin})
        line = trained.backbone.replace(weights=path.name).said(config.size)
        folder.write_json("summary.json", summary(trained, encoder, line))
    for text in (encoder.origin, line, standardised(encoder)):
        say(text)
    say(f"trained on: {UNKNOWN}")
    return folder


def built(config: Import, path: Path) -> Backbone:
    """The encoder with every one of its tensors from the file."""
    if config.backbone.weights is not None:
        raise ValueError("backbone.weights= has no use here: the file is the weights")
    torch.manual_seed(Seed(0).fold("init", "backbone").integer())
    mean, std = config.statistics()
    encoder = config.backbone.build(config.size, config.channels, mean, std)
    report = weights.start(encoder.body, str(path), whole=True)
    encoder.origin = report.replace(str(path), path.name)  # model cards name no folder of yours
    return encoder


def settings(config: Import, path: Path) -> Pretrain:
    """What later verbs read of the run: images, size, backbone, machine. Nothing was trained."""
    mean, std = config.statistics()
    return Pretrain(
        title=config.title or path.stem,
        data=config.data,
        size=config.size,
        normalise=Statistics(mean=mean, std=std),
        backbone=config.backbone,
        runtime=config.runtime,
    )


def summary(trained: Pretrain, encoder: Backbone, line: str) -> dict[str, Any]:
    """What stands in the place of a training's summary."""
    return {
        "title": trained.title,
        "data": UNKNOWN,
        "steps": 0,
        "epochs": 0,
        "imported": encoder.origin,
        "notes": [f"The encoder was imported; it was trained on {UNKNOWN}."],
        "encoder_line": line,
    }


def onwards(folder: RunDir, name: str) -> str:
    """The command that trains on from an imported encoder."""
    return f"masquerade pretrain simclr backbone.name={name} backbone.weights={folder.path}"


def standardised(encoder: Backbone) -> str:
    """One line about mean and deviation."""
    mean, std = (
        ", ".join(f"{v:.3f}" for v in t.flatten().tolist()) for t in (encoder.mean, encoder.std)
    )
    return f"images in [0, 1] are standardised: minus {mean}, divided by {std}"


def digest(path: Path) -> str:
    """SHA-256 of a file, as those who publish checkpoints print it."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
