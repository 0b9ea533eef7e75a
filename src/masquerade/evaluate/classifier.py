"""What kNN and linear probes share: fit on labelled training features, measure on each test set."""

from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.data.subsets import split
from masquerade.evaluate.base import Head, Protocol, ProtocolConfig, Result, Unlabelled
from masquerade.evaluate.frozen import Frozen
from masquerade.evaluate.metrics import classified

HELD_OUT = 0.2  # share of the labelled training images that settings are chosen on


class Examples(NamedTuple):
    """Labelled features to fit on.

    Attributes:
        features: One row per image.
        labels: 0 to C - 1.
        classes: The C names.
        groups: Images of one group show the same thing; None where nothing is known.
    """

    features: Float[Tensor, "N D"]
    labels: Int[Tensor, " N"]
    classes: tuple[str, ...]
    groups: NDArray[np.int64] | None = None

    def parted(self, seed: Seed) -> tuple["Examples", "Examples"] | None:
        """(the rest, a fifth held out to choose settings on), by class and by whole groups.

        None where the rest would show fewer than two classes: one image or group for each.
        """
        kept, held = split(self.labels.cpu(), HELD_OUT, seed.fold("held out"), self.groups)
        if len(torch.unique(self.labels[kept])) < 2:
            return None
        return self.picked(kept), self.picked(held)

    def picked(self, rows: NDArray[np.int64]) -> "Examples":
        """Some of them."""
        groups = None if self.groups is None else self.groups[rows]
        return Examples(self.features[rows], self.labels[rows], self.classes, groups)

    def to(self, device: torch.device) -> "Examples":
        """The same on another device."""
        return self._replace(features=self.features.to(device), labels=self.labels.to(device))


class Fitted(NamedTuple):
    """What a fit gives.

    Attributes:
        head: The headline classifier; measured as `test/top1` and so on.
        notes: What was fitted, and how its settings were chosen.
        extras: Others that are measured beside it, `grid` as `test/grid_top1`.
        arrays: Tables of the choice.
    """

    head: Head
    notes: tuple[str, ...]
    extras: dict[str, Head] = {}  # noqa: RUF012  (a NamedTuple's default, never changed)
    arrays: dict[str, NDArray[Any]] = {}  # noqa: RUF012  (likewise)


class Classifier(Protocol):
    """A protocol that fits a classifier on frozen features, where the encoder lies.

    Attributes:
        config: Its settings.
    """

    def __init__(self, config: ProtocolConfig) -> None:
        self.config = config

    @abstractmethod
    def fit(self, examples: Examples, seed: Seed) -> Fitted:
        """The classifier for labelled features of at least two classes."""

    def run(
        self, encoder: Frozen, train: ImageSet, tests: dict[str, ImageSet], seed: Seed
    ) -> Result:
        """Fit on `train`, measure on each of `tests`. Images without a label are left out."""
        examples = self._examples(encoder, train)
        fitted = self.fit(examples, seed.fold(self.config.kind))
        found = measured(encoder, {"": fitted.head, **fitted.extras}, tests, self.config)
        arrays = {**fitted.arrays, **found.arrays}
        return Result(found.metrics, arrays, fitted.head, (*fitted.notes, *found.notes))

    def _examples(self, encoder: Frozen, train: ImageSet) -> Examples:
        known = labelled(train, self.config.kind)
        groups = train.targets.get("group")
        features = encoder.features(train, self.config.crop, self.config.layer)
        examples = Examples(features, known.labels, known.classes, groups)
        return examples.picked(known.rows).to(encoder.device)


class Known(NamedTuple):
    """What is known of a set that a classifier is fitted on.

    Attributes:
        labels: 0 to C - 1, -1 = none.
        rows: The images that have one.
        classes: The C names.
    """

    labels: Int[Tensor, " N"]
    rows: NDArray[np.int64]
    classes: tuple[str, ...]


def labelled(train: ImageSet, protocol: str) -> Known:
    """The labels of training images; raises `Unlabelled` where a protocol cannot do with them."""
    labels = train.labels
    if labels is None:
        raise Unlabelled(
            f"{protocol} needs labels, and {train.name} has none. "
            "The protocol embedding works without: a map of the images and nearest neighbours"
        )
    rows = torch.nonzero(labels >= 0)[:, 0].numpy()
    if len(torch.unique(labels[rows])) < 2:
        raise Unlabelled(
            f"{protocol} tells classes apart, and all labelled images of {train.name} "
            "are of one class"
        )
    classes = train.classes or tuple(str(i) for i in range(int(labels.max()) + 1))
    return Known(labels, rows, classes)


def measured(
    encoder: Frozen, heads: dict[str, Head], tests: dict[str, ImageSet], config: ProtocolConfig
) -> Result:
    """Metrics and arrays of fitted heads on each test set; images without a label do not count.

    Args:
        encoder: Whose features the heads take.
        heads: By what stands before the names of their metrics; the one without a name is the
            headline, and has arrays.
        tests: By name.
        config: Which features.
    """
    metrics: dict[str, float] = {}
    arrays: dict[str, NDArray[Any]] = {}
    notes: list[str] = []
    for name, images in tests.items():
        labels = aligned(images, next(iter(heads.values())).classes)
        rows = labels >= 0
        if not rows.any():
            notes.append(f"{name} ({images.name}) has no labels, so nothing was measured on it")
            continue
        features = encoder.features(images, config.crop, config.layer)
        for prefix, head in heads.items():
            told = head.predict(features)
            numbers, tables = classified(told.score[rows], labels[rows])
            before = f"{prefix}_" if prefix else ""
            metrics |= {f"{name}/{before}{key}": value for key, value in numbers.items()}
            if not prefix:
                arrays |= {f"{key}/{name}": table for key, table in tables.items()}
                arrays[f"predicted/{name}"] = told.label.numpy()
        if not rows.all():
            notes.append(f"{int((~rows).sum())} images of {name} have no label: left out")
    return Result(metrics, arrays, None, tuple(notes))


def aligned(images: ImageSet, classes: tuple[str, ...]) -> Int[Tensor, " N"]:
    """A set's labels as numbers of `classes`, matched by name; -1 = none.

    Raises:
        ValueError: It has labelled images of a class that is not among them.
    """
    labels = images.labels
    if labels is None:
        return torch.full((len(images),), -1)
    own = images.classes or tuple(str(i) for i in range(int(labels.max()) + 1))
    place = {name: i for i, name in enumerate(classes)}
    strange = [own[i] for i in torch.unique(labels[labels >= 0]).tolist() if own[i] not in place]
    if strange:
        raise ValueError(
            f"{images.name} has classes that the training images lack: {', '.join(strange)}. "
            f"These have: {', '.join(classes)}"
        )
    moved = torch.tensor([place.get(name, -1) for name in own] + [-1])
    return moved[labels]
