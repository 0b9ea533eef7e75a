"""Predict: a run's encoder and a fitted head on new images."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from masquerade.core.config import Settings
from masquerade.core.errors import BadImages, MissingData
from masquerade.core.rundir import RunDir
from masquerade.data.decode import SUFFIXES as IMAGES
from masquerade.data.decode import Plan, judge
from masquerade.data.images import ImageSet
from masquerade.data.listing import shown
from masquerade.data.raster import Channels
from masquerade.data.sources.base import SUFFIXES, SourceConfig
from masquerade.evaluate import base
from masquerade.jobs import finished
from masquerade.jobs.evaluate import frozen

HEADS = ("linear", "knn")


class Prediction(NamedTuple):
    """One image's label.

    Attributes:
        file: The image.
        label: The name of its class.
        score: The class's score, 0 to 1.
    """

    file: str
    label: str
    score: float


class Source(Settings):
    """A source by its name or path; a settings class so that mistakes are told in words."""

    data: SourceConfig


def run(
    folder: RunDir,
    images: str,
    head: str = "",
    split: str = "",
    say: Callable[[str], None] = print,
) -> list[Prediction]:
    """Label images with the head that `evaluate` kept.

    Args:
        folder: A run that was evaluated on labelled images.
        images: An image file, a folder, a list file, an array file, or the name of a source.
        head: `linear` or `knn`; empty takes the first of them that is there.
        split: The part of the source; empty takes all of it where it can be had in one piece,
            else its `test`, else its first part.
        say: Takes lines for the user.

    Raises:
        MissingData: The run is not finished or keeps no head, or the images are not there.
        BadImages: None of them can be used.
        ValueError: The images do not fit the encoder.
    """
    fitted = base.load(kept(folder, head))
    runtime = finished.settings(folder).runtime.replace(devices=1).resolved()
    torch.set_num_threads(runtime.threads)
    encoder = frozen(folder, runtime)
    data = looked_up(images, split, encoder.size, len(encoder.mean))
    for note in data.notes:
        say(note)
    told = fitted.predict(encoder.features(data, fitted.config.crop, fitted.config.layer))
    best = told.score.gather(1, told.label[:, None])[:, 0]
    return [
        Prediction(file, fitted.classes[label], round(score, 4))
        for file, label, score in zip(data.files, told.label.tolist(), best.tolist(), strict=True)
    ]


def kept(folder: RunDir, head: str) -> Path:
    """The file of the head that is asked for, or of the first there is."""
    if head and head not in HEADS:
        raise ValueError(f"with must be one of {', '.join(HEADS)}, got {head!r}")
    finished.complete(folder)
    there = [name for name in HEADS if folder.has(f"eval/{name}.safetensors")]
    if not there or (head and head not in there):
        raise MissingData(
            f"{folder.path} keeps no fitted {head or 'probe'}: measure it on labelled images "
            f"first, masquerade evaluate {folder.path} {head or 'linear'} data=LABELLED_FOLDER"
        )
    return folder.path / "eval" / f"{head or there[0]}.safetensors"


def looked_up(images: str, split: str, size: int, channels: int) -> ImageSet:
    """The images that a word names, files read with as many channels as the encoder takes."""
    wanted: Channels = {1: "grey", 3: "rgb"}.get(channels, "keep")  # type: ignore[assignment]  # a dict's values are str
    path = Path(images).expanduser()
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        return single(path, Plan(wanted, max(96, 2 * size)))
    if not path.exists() and ("/" in images or path.suffix.lower() in IMAGES):
        raise MissingData(f"there is nothing at {images} (looked from {Path.cwd()})")
    source = Source.parse({"data": images}).data
    if "channels" in type(source).model_fields:
        source = source.replace(channels=wanted)
    have = source.splits()
    usual = next((name for name in ("all", "test") if name in have), have[0])
    return source.load(split or usual, size)


def single(path: Path, plan: Plan) -> ImageSet:
    """One image file, decoded without a trace in the cache."""
    name = shown(str(path))
    judged = judge(path, name, plan)
    if judged.pixels is None:
        raise BadImages(" and ".join(f"{f.file} {f.reason}" for f in judged.findings))
    return ImageSet(name, judged.pixels[None], files=(name,))


def write(rows: list[Prediction], place: Path) -> Path:
    """The predictions as a CSV file, written whole or not at all."""
    text = io.StringIO()
    out = csv.writer(text)
    out.writerow(Prediction._fields)
    out.writerows(rows)
    return RunDir(place.parent).write_text(place.name, text.getvalue())
