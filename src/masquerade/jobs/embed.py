"""Embed: the features of any images, with file names and labels, as one file.

Images are shown batch by batch and written as they come, so memory does not grow with their
number. The file appears whole or not at all; decoded images stay in the cache, so a second try
begins with the features.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from masquerade.core.rundir import RunDir
from masquerade.data import progress
from masquerade.data.images import ImageSet
from masquerade.engine.extract import digest
from masquerade.evaluate.classifier import aligned
from masquerade.evaluate.frozen import Frozen
from masquerade.jobs import featurefile, finished
from masquerade.jobs.evaluate import frozen
from masquerade.jobs.featurefile import Part
from masquerade.jobs.given import looked_up, usual
from masquerade.networks import encoder_file


def run(
    folder: RunDir,
    images: str = "",
    out: str = "",
    split: str = "",
    say: Callable[[str], None] = print,
) -> Path:
    """Write the features of images; returns the file.

    Args:
        folder: A finished run, trained or imported.
        images: An image file, a folder, a list file, an array file, or the name of a source;
            empty takes the run's own source, with its settings.
        out: `.npz`, `.parquet` or `.csv`; `embed/NAME.npz` in the run's folder if empty.
        split: The part of the source, or several parted by commas; empty takes all of it where it
            can be had in one piece, else its `test`, else its first part.
        say: Takes lines for the user.

    Raises:
        MissingData: The run is not finished, or the images are not there.
        BadImages: None of them can be used.
        ValueError: The images do not fit the encoder, or `out` has another ending.
    """
    place = Path(out).expanduser() if out else folder.path / "embed" / f"{called(images)}.npz"
    featurefile.check(place)
    encoder = still(folder)
    names = split.split(",") if split else [""]
    sets = [loaded(folder, images, name, encoder) for name in names]
    for note in dict.fromkeys(note for one in sets for note in one.notes):
        say(note)
    classes = next((classes_of(one) for one in sets if one.labels is not None), ())
    parts = [part(encoder, one, name, classes) for name, one in zip(names, sets, strict=True)]
    card = encoder_file.card(folder.path)
    about = {
        "run": str(folder.path),
        "title": str(card.about.get("title", "")),
        "encoder": card.architecture,
        "encoder_digest": digest(encoder.encoder),
        "size": card.size,
        "images": images or finished.settings(folder).data.kind,
    }
    say(f"features of {sum(len(p.files) for p in parts):,} images, {card.dim} numbers each")
    return featurefile.write(place, parts, classes, card.dim, about)


def loaded(folder: RunDir, images: str, split: str, encoder: Frozen) -> ImageSet:
    """The images that are named, or those of the run's own source."""
    if images:
        return looked_up(images, split, encoder.size, len(encoder.mean))
    source = finished.settings(folder).data
    return source.load(split or usual(source.splits()), encoder.size)


def still(folder: RunDir) -> Frozen:
    """The encoder of a run, keeping no features."""
    runtime = finished.settings(folder).runtime.replace(devices=1).resolved()
    torch.set_num_threads(runtime.threads)
    encoder = frozen(folder, runtime)
    encoder.cache = None
    return encoder


def called(images: str) -> str:
    """A file's name after the images' place."""
    return Path(images).expanduser().resolve().stem if images else "images"


def classes_of(images: ImageSet) -> tuple[str, ...]:
    """Names of the classes of a labelled set."""
    labels = images.labels
    most = -1 if labels is None else int(labels.max())
    return images.classes or tuple(str(i) for i in range(most + 1))


def part(encoder: Frozen, images: ImageSet, name: str, classes: tuple[str, ...]) -> Part:
    """One set as a part of the file."""
    labels = None if images.labels is None else aligned(images, classes)
    return Part(name, images.files, labels, images.digests(), lambda: batches(encoder, images))


def batches(encoder: Frozen, images: ImageSet) -> Iterator[Float[Tensor, "B D"]]:
    """The features, batch by batch.

    A network's last bits follow the size of its batch. So the last batch is filled up with copies
    of the first image, which are dropped again: features are those that certify computes.
    """
    count = len(images)
    with progress.shown(f"features of {count:,} images", count) as advance:
        for start in range(0, count, encoder.batch):
            rows = np.arange(start, start + encoder.batch)
            shown = images.subset(np.where(rows < count, rows, 0))
            advance(min(encoder.batch, count - start))
            yield encoder.features(shown)[: count - start]
