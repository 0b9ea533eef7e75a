"""Labelled features to certify: of a run's encoder, or from a NumPy file of somebody else's."""

from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from masquerade.certify import provenance
from masquerade.certify.ensemble import Labelled, feature_digests
from masquerade.certify.partition import Parts
from masquerade.certify.provenance import Manifest
from masquerade.certify.views import square
from masquerade.core.errors import WrongPath
from masquerade.data.images import ImageSet
from masquerade.engine.extract import digest
from masquerade.evaluate.base import Unlabelled
from masquerade.evaluate.classifier import aligned
from masquerade.evaluate.frozen import Frozen

DIGEST = 32  # hex digits of a content digest


FILE = "file"  # the origin of features that came from a file
IMAGES = "images"  # and of raw images, for networks


class Tests(NamedTuple):
    """What a certificate is computed for.

    Attributes:
        features: Of the test images; their pixels, for networks.
        truth: Their classes.
        files: Their names.
        images: Their pictures; None where only features are known.
    """

    features: Float[Tensor, "T D"] | UInt8[Tensor, "T C S S"]
    truth: Int[Tensor, " T"]
    files: tuple[str, ...]
    images: ImageSet | None = None


class Material(NamedTuple):
    """Labelled training features, and test features.

    Attributes:
        name: What the training set is called.
        features: Of the training images, finite; their pixels, for networks.
        labels: [N].
        digests: The content of each training image.
        images: The images; None where only features are known.
        classes: Names of the C classes.
        tests: What is certified.
        source: Where the features come from.
        origin: `trained`, `untrained`, `pixels`, `images` or `file`.
        extractor: A digest of what made them; empty where nothing did, or it is not known.
        shape: Channels and side of the images that it takes; (0, 0) where there are none.
        drawn: Whether training and test images were parted by looking at all of them.
    """

    name: str
    features: Float[Tensor, "N D"] | UInt8[Tensor, "N C S S"]
    labels: Int[Tensor, " N"]
    digests: list[str]
    images: ImageSet | None
    classes: tuple[str, ...]
    tests: Tests
    source: Manifest
    origin: str
    extractor: str
    shape: tuple[int, int]
    drawn: bool

    def training(self, parts: Parts) -> Labelled:
        """The training images with their partitions."""
        found = parts.of(self.images) if self.images else parts.named(self.digests)
        return Labelled(self.features, self.labels, self.digests, found.own)


class Pair(NamedTuple):
    """Labelled images to fit on and to test with, whose labels mean the same.

    Attributes:
        train: The training images with a label.
        labels: Theirs.
        test: The test images with a label.
        truth: Theirs.
        classes: Names of the labels.
    """

    train: ImageSet
    labels: Int[Tensor, " N"]
    test: ImageSet
    truth: Int[Tensor, " T"]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, train: ImageSet, test: ImageSet) -> "Pair":
        """Those of two sets; raises `Unlabelled` where one has no labels."""
        if train.labels is None:
            raise Unlabelled(
                f"a certificate is about labels, and {train.name} has none. "
                "data=LABELLED_FOLDER takes other images"
            )
        classes = train.classes or tuple(str(i) for i in range(int(train.labels.max()) + 1))
        known = train.subset(torch.nonzero(train.labels >= 0)[:, 0].numpy())
        truth = aligned(test, classes)
        rows = torch.nonzero(truth >= 0)[:, 0].numpy()
        if not len(rows):
            raise Unlabelled(f"{test.name} has no labels, so nothing can be measured on it")
        labels = known.labels
        assert labels is not None
        return cls(known, labels, test.subset(rows), truth[rows], classes)

    def material(
        self,
        features: tuple[Tensor, Tensor],
        source: Manifest,
        origin: str,
        extractor: str,
        size: int,
    ) -> Material:
        """The same with features of the training and of the test images."""
        return Material(
            self.train.name,
            features[0],
            self.labels,
            self.train.digests(),
            self.train,
            self.classes,
            Tests(features[1], self.truth, self.test.files, self.test),
            source,
            origin,
            extractor,
            (self.train.channels, size),
            drawn=any("held out as 'test'" in note for note in self.train.notes),
        )


def of_images(
    encoder: Frozen, train: ImageSet, test: ImageSet, source: Manifest, origin: str
) -> Material:
    """The labelled images of two sets, through an encoder.

    Raises:
        Unlabelled: One of them has no labels.
    """
    pair = Pair.of(train, test)
    features = steady(encoder, pair.train), steady(encoder, pair.test)
    return pair.material(features, source, origin, digest(encoder.encoder), encoder.size)


def of_pixels(size: int, train: ImageSet, test: ImageSet) -> Material:
    """The labelled images of two sets, as networks see them.

    Raises:
        Unlabelled: One of them has no labels.
        ValueError: They have another number of channels.
    """
    pair = Pair.of(train, test)
    if train.channels != test.channels:
        raise ValueError(
            f"{train.name} has {train.channels} channels, {test.name} has {test.channels}"
        )
    features = square(pair.train, size), square(pair.test, size)
    return pair.material(features, provenance.IMAGES, IMAGES, "", size)


def unseen(images: ImageSet, source: Manifest) -> ImageSet:
    """The images that an encoder was not trained on, byte for byte.

    Raises:
        ValueError: It is not known which images it was trained on, or it was trained on all.
    """
    if source.digests is None:
        raise ValueError(f"overlap=drop: it is not known which images {source.name} was trained on")
    kept = [i for i, d in enumerate(images.digests()) if d not in source.digests]
    if not kept:
        raise ValueError(
            f"overlap=drop leaves nothing: {source.name} was trained on all {len(images):,} images "
            f"of {images.name}"
        )
    return images.subset(kept) if len(kept) < len(images) else images


def steady(encoder: Frozen, images: ImageSet) -> Float[Tensor, "N D"]:
    """Features that do not depend on how many images are looked at: every batch is full.

    A network's last bits follow the size of its batch. The last batch is filled up with copies of
    the first image, which are dropped again.
    """
    count = len(images)
    full = -(-count // encoder.batch) * encoder.batch
    rows = np.where(np.arange(full) < count, np.arange(full), 0)
    return encoder.features(images.subset(rows))[:count]


def of_file(path: Path) -> Material:
    """The arrays of an .npz file: `features`, `labels`, `test_features`, `test_labels`.

    Optional are `digests` (32 hex digits for the content of each training image; digests of the
    features stand in for them) and `classes` (names).

    Raises:
        WrongPath: There is no such file.
        ValueError: It holds something else.
    """
    arrays = opened(path)
    missing = [k for k in ("features", "labels", "test_features", "test_labels") if k not in arrays]
    if missing:
        raise ValueError(
            f"{path} needs arrays features [N, D], labels [N], test_features [T, D] and "
            f"test_labels [T]; {', '.join(missing)} is missing, it holds {', '.join(arrays)}"
        )
    features, labels = paired(arrays, "", path)
    tests, truth = paired(arrays, "test_", path)
    if features.shape[1] != tests.shape[1]:
        raise ValueError(
            f"{path}: features have {features.shape[1]} numbers, test_features {tests.shape[1]}"
        )
    most = int(torch.cat([labels, truth]).max())
    classes = tuple(str(c) for c in arrays.get("classes", np.arange(most + 1)).tolist())
    if most >= len(classes):
        raise ValueError(f"{path}: labels go up to {most}, but there are {len(classes)} classes")
    digests = contents(arrays, features, path)
    named = Tests(tests, truth, tuple(str(i) for i in range(len(truth))))
    return Material(
        path.stem,
        features,
        labels,
        digests,
        None,
        classes,
        named,
        provenance.UNKNOWN,
        FILE,
        "",
        (0, 0),
        drawn=False,
    )


def paired(
    arrays: dict[str, NDArray[Any]], prefix: str, path: Path
) -> tuple[Float[Tensor, "N D"], Int[Tensor, " N"]]:
    """Features and labels of one part of a file."""
    features, labels = arrays[f"{prefix}features"], arrays[f"{prefix}labels"]
    whole = np.issubdtype(labels.dtype, np.integer) and labels.ndim == 1 and len(labels) > 0
    if features.ndim != 2 or not np.issubdtype(features.dtype, np.floating):
        raise ValueError(
            f"{path}: {prefix}features must be floats [N, D], got {features.dtype} "
            f"{list(features.shape)}"
        )
    if not whole or len(labels) != len(features) or labels.min() < 0:
        raise ValueError(f"{path}: {prefix}labels must be {len(features)} whole numbers from 0")
    return torch.from_numpy(features).float(), torch.from_numpy(labels.astype(np.int64))


def opened(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a NumPy file."""
    if not path.is_file():
        raise WrongPath(f"there is no file {path} (looked from {Path.cwd()})")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as a NumPy file: {error}") from None
    return arrays


def contents(
    arrays: dict[str, NDArray[Any]], features: Float[Tensor, "N D"], path: Path
) -> list[str]:
    """The digests that a file gives, or those of its features."""
    if "digests" not in arrays:
        return feature_digests(features)
    digests = [str(d) for d in arrays["digests"].tolist()]
    bad = [d for d in digests if len(d) != DIGEST or set(d) - set("0123456789abcdef")]
    if len(digests) != len(features) or bad:
        raise ValueError(f"{path}: digests must be {len(features)} texts of {DIGEST} hex digits")
    return digests
