"""Predict: a run's encoder and a fitted head on new images."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir
from masquerade.evaluate import base
from masquerade.evaluate.recalibrate import restored
from masquerade.jobs import finished
from masquerade.jobs.evaluate import frozen
from masquerade.jobs.given import looked_up

HEADS = ("linear", "knn", "finetune", "finetune_sgd")


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
        head: `linear`, `knn`, `finetune` or `finetune_sgd`; empty takes the first of them that is
            there.
        split: The part of the source; empty takes all of it where it can be had in one piece,
            else its `test`, else its first part.
        say: Takes lines for the user.

    Raises:
        MissingData: The run is not finished or keeps no head, or the images are not there.
        BadImages: None of them can be used.
        ValueError: The images do not fit the encoder.
    """
    fitted, statistics = base.load(kept(folder, head))
    runtime = finished.settings(folder).runtime.replace(devices=1).resolved()
    torch.set_num_threads(runtime.threads)
    encoder = frozen(folder, runtime)
    if statistics:
        encoder = restored(encoder, statistics)
    encoder = fitted.encoder(encoder)
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
        advice = f"masquerade evaluate {folder.path}{f' {head}' if head else ''}"
        raise MissingData(
            f"{folder.path} keeps no fitted {head or 'probe'} yet: {advice} fits one. Add "
            "data=LABELLED_FOLDER if the images it was trained on have no labels"
        )
    return folder.path / "eval" / f"{head or there[0]}.safetensors"


def write(rows: list[Prediction], place: Path) -> Path:
    """The predictions as a CSV file, written whole or not at all."""
    text = io.StringIO()
    out = csv.writer(text)
    out.writerow(Prediction._fields)
    out.writerows(rows)
    return RunDir(place.parent).write_text(place.name, text.getvalue())
