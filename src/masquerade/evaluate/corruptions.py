"""Corruptions: how much of an accuracy noise, blur, weather and compression leave.

The kinds and strengths are those of ImageNet-C and CIFAR-C ("Benchmarking Neural Network
Robustness to Common Corruptions and Perturbations", Hendrycks & Dietterich, 2019,
https://arxiv.org/abs/1903.12261), made from the test images here or read from the released files.
mCE, which compares with AlexNet, comes from the released ImageNet-C at 224 pixels only.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.evaluate import mce
from masquerade.evaluate.base import Protocol, Result
from masquerade.evaluate.classifier import aligned
from masquerade.evaluate.classnames import numbers
from masquerade.evaluate.corrupting.kinds import (
    COLOURFUL,
    EXTRA,
    KINDS,
    SEVERITIES,
    USUAL,
    Constants,
    corrupted,
)
from masquerade.evaluate.frozen import Frozen
from masquerade.evaluate.judged import Judge, JudgedConfig, share, spaced
from masquerade.evaluate.released import Release

SMALL = 64  # the longest side, in pixels, that gets CIFAR's strengths
MADE_AT = 224  # the side of ImageNet-C's files


class Config(JudgedConfig):
    """Settings of the corruptions.

    Attributes:
        kinds: Which are made; the mean is over these. Those of ImageNet-C, with a frost-like
            texture in the place of frost; speckle_noise, gaussian_blur, spatter and saturate are
            its extra ones.
        severities: Which of 1 to 5.
        constants: How strong each severity is: `imagenet` for photographs of about 224 px, `cifar`
            for images of about 32; `auto` takes `cifar` up to 64 px.
        released: The folder of ImageNet-C or CIFAR-C; its kinds and severities are read instead,
            whatever the settings above say. Empty makes them from the test images.
        images: At most so many images of each test set are corrupted, evenly spaced; 0 takes all.
            Released files are read whole.
        skip_classes: Whether images of ImageNet-C whose class the classifier does not know are
            left out; else they are refused.
    """

    kinds: tuple[str, ...] = USUAL
    severities: tuple[int, ...] = SEVERITIES
    constants: Literal["auto", "imagenet", "cifar"] = "auto"
    released: str = ""
    images: int = Field(0, ge=0)
    skip_classes: bool = False

    @field_validator("kinds")
    @classmethod
    def _known(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        strange = [kind for kind in kinds if kind not in KINDS]
        if strange or not kinds:
            raise ValueError(f"no corruption {strange}; there are: {', '.join(KINDS)}")
        return kinds

    @field_validator("severities")
    @classmethod
    def _five(cls, severities: tuple[int, ...]) -> tuple[int, ...]:
        if not severities or not set(severities) <= set(SEVERITIES):
            raise ValueError(f"severities are 1 to 5, got {list(severities)}")
        return severities

    def strength(self, size: int) -> Constants:
        """Whose constants images of a size get."""
        if self.constants == "auto":
            return "cifar" if size <= SMALL else "imagenet"
        return self.constants

    def build(self) -> "Corruptions":
        return Corruptions(self)


class Table(NamedTuple):
    """Accuracies of one set.

    Attributes:
        kinds: Row by row.
        severities: Column by column.
        right: Shares of right answers.
    """

    kinds: tuple[str, ...]
    severities: tuple[int, ...]
    right: Float[Tensor, "K S"]

    def metrics(self, name: str, clean: float | None) -> dict[str, float]:
        """`NAME/top1`, the mean over all; of clean images; of each kind; of each severity.

        The extra kinds are in no mean, unless there are no others.
        """
        usual = [row for row, kind in enumerate(self.kinds) if kind not in EXTRA]
        counted = self.right[usual or slice(None)]
        found = {f"{name}/top1": float(counted.mean())}
        if clean is not None:
            found[f"{name}/clean_top1"] = clean
        rows = zip(self.kinds, self.right.mean(dim=1).tolist(), strict=True)
        columns = zip(self.severities, counted.mean(dim=0).tolist(), strict=True)
        found |= {f"{name}/{kind}_top1": value for kind, value in rows}
        return found | {f"{name}/severity_{s}_top1": value for s, value in columns}

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """The table, and what its rows and columns are."""
        return {
            f"accuracy/{name}": self.right.numpy(),
            f"kinds/{name}": np.array(self.kinds),
            f"severities/{name}": np.array(self.severities),
        }


class Corruptions(Protocol):
    """Accuracy of one fitted classifier on corrupted images."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(
        self, encoder: Frozen, train: ImageSet, tests: dict[str, ImageSet], seed: Seed
    ) -> Result:
        """Fit on `train`, measure on each of `tests` after each corruption, or on the release."""
        judge = self.config.judge(encoder, train, seed)
        tests = {name: self._some(images, judge) for name, images in tests.items()}
        labelled = {
            name: labels
            for name, images in tests.items()
            if ((labels := aligned(images, judge.head.classes)) >= 0).any()
        }
        clean = {n: share(judge.scores(judge.pixels(tests[n])), y) for n, y in labelled.items()}
        if self.config.released:
            return self._read(judge, train, next(iter(clean.items()), None))
        metrics: dict[str, float] = {}
        arrays: dict[str, NDArray[Any]] = {}
        for name, labels in labelled.items():
            table = self._made(judge, tests[name], labels, seed.fold("corruptions", name))
            metrics |= table.metrics(name, clean[name])
            arrays |= table.arrays(name)
        return Result(metrics, arrays, None, (*self._notes(judge), *unmeasured(tests, labelled)))

    def _some(self, images: ImageSet, judge: Judge) -> ImageSet:
        """The images of a set that are corrupted: all, or so many of the labelled ones."""
        if not self.config.images or self.config.released:
            return images
        labels = aligned(images, judge.head.classes)
        rows = spaced(torch.nonzero(labels >= 0)[:, 0], self.config.images)
        return images.subset(rows) if len(rows) else images

    def _made(self, judge: Judge, images: ImageSet, labels: Int[Tensor, " N"], seed: Seed) -> Table:
        config = self.config
        kinds = tuple(k for k in config.kinds if images.channels == 3 or k not in COLOURFUL)
        right = torch.zeros(len(kinds), len(config.severities), dtype=torch.float64)
        strength = config.strength(judge.encoder.size)

        def batches(kind: str, severity: int) -> Iterator[Float[Tensor, "B C S S"]]:
            first = 0
            for batch in judge.pixels(images):
                whole = (batch * 255).round().byte()
                yield corrupted(whole, kind, severity, strength, seed, first).float() / 255
                first += len(batch)

        for row, kind in enumerate(kinds):
            for column, severity in enumerate(config.severities):
                right[row, column] = share(judge.scores(batches(kind, severity)), labels)
        return Table(kinds, config.severities, right)

    def _read(self, judge: Judge, train: ImageSet, clean: tuple[str, float] | None) -> Result:
        release = Release.at(self.config.released)
        classes, name = judge.head.classes, release.layout
        known = {c: i for i, c in enumerate(classes)}
        if name == "imagenet_c":
            known = numbers(train, classes)
        right = torch.zeros(len(release.kinds), len(SEVERITIES), dtype=torch.float64)
        size, batch = judge.encoder.size, judge.encoder.batch
        for row, kind in enumerate(release.kinds):
            for column, severity in enumerate(SEVERITIES):
                found = release.condition(kind, severity, known, self.config.skip_classes)
                right[row, column] = share(judge.scores(found.pixels(size, batch)), found.labels)
        errors = {kind: (1 - right[row]).tolist() for row, kind in enumerate(release.kinds)}
        table = Table(release.kinds, SEVERITIES, right)
        metrics = table.metrics(name, clean[1] if clean else None)
        said = f"read from {release.root}: {len(release.kinds)} kinds, 5 severities"
        why = incomparable(release, size, len(classes))
        if why:
            return Result(metrics, table.arrays(name), None, (*judge.notes, said, f"no mCE: {why}"))
        metrics[f"{name}/mce"] = mce.mce(errors)
        if clean:
            metrics[f"{name}/relative_mce"] = mce.relative_mce(errors, 1 - clean[1])
            said += f"; relative mCE against the clean error on {clean[0]}"
        return Result(metrics, table.arrays(name), None, (*judge.notes, said))

    def _notes(self, judge: Judge) -> tuple[str, ...]:
        config, size = self.config, judge.encoder.size
        some = f", at most {config.images:,} images of a set" if config.images else ""
        return (
            *judge.notes,
            f"corrupted here at {size} px with the strengths of {config.strength(size)}, "
            f"{len(config.kinds)} kinds at {len(config.severities)} severities{some}: accuracies "
            "of their own, not comparable with published ones, and no mCE",
        )


def incomparable(release: Release, size: int, classes: int) -> str:
    """Why mCE cannot be had, empty where it can."""
    if release.layout != "imagenet_c":
        return "it is defined by AlexNet's errors on ImageNet-C"
    missing = [kind for kind in mce.ALEXNET if kind not in release.kinds]
    if missing:
        return f"{', '.join(missing)} missing"
    if size != MADE_AT:
        return f"the encoder sees {size} px, not {MADE_AT}"
    return "" if classes == 1000 else f"the classifier tells {classes} classes apart, not 1,000"


def unmeasured(tests: dict[str, ImageSet], labelled: dict[str, Tensor]) -> tuple[str, ...]:
    """Which sets have no labels."""
    return tuple(
        f"{name} ({images.name}) has no labels, so nothing was measured on it"
        for name, images in tests.items()
        if name not in labelled
    )
