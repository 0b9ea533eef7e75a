"""Predict: a run's encoder and a fitted head on new images."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir
from masquerade.data.sources.base import SourceConfig
from masquerade.engine.runtime import Runtime
from masquerade.evaluate import base
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


def run(
    folder: RunDir, images: str, head: str = "", say: Callable[[str], None] = print
) -> list[Prediction]:
    """Label images with the head that `evaluate` kept.

    Args:
        folder: A run that was evaluated on labelled images.
        images: A folder, a list file, an array file, or the name of a source.
        head: `linear` or `knn`; empty takes the first of them that is there.
        say: Takes lines for the user.

    Raises:
        MissingData: No head was kept, or the images are not there.
    """
    there = [name for name in HEADS if folder.has(f"eval/{name}.safetensors")]
    if head and head not in HEADS:
        raise ValueError(f"with must be one of {', '.join(HEADS)}, got {head!r}")
    if not there or (head and head not in there):
        raise MissingData(
            f"{folder.path} keeps no fitted {head or 'probe'}; "
            f"run masquerade evaluate {folder.path} {head or 'linear'} on labelled images first"
        )
    fitted = base.load(folder.path / "eval" / f"{head or there[0]}.safetensors")
    runtime = Runtime().resolved()
    torch.set_num_threads(runtime.threads)
    encoder = frozen(folder, runtime)["trained"]
    source = source_of(images)
    data = source.load(source.splits()[0], encoder.size)
    for note in data.notes:
        say(note)
    told = fitted.predict(encoder.features(data, fitted.config.crop, fitted.config.layer))
    best = told.score.gather(1, told.label[:, None])[:, 0]
    return [
        Prediction(file, fitted.classes[label], round(score, 4))
        for file, label, score in zip(data.files, told.label.tolist(), best.tolist(), strict=True)
    ]


def source_of(images: str) -> SourceConfig:
    """The source that a word or a path names; a single image file is a list of one."""
    return SourceConfig.parse(images)


def write(rows: list[Prediction], place: Path) -> Path:
    """The predictions as a CSV file, written whole or not at all."""
    text = io.StringIO()
    out = csv.writer(text)
    out.writerow(Prediction._fields)
    out.writerows(rows)
    return RunDir(place.parent).write_text(place.name, text.getvalue())
