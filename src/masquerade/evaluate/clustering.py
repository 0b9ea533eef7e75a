"""Clustering: do k-means clusters of the features agree with the classes? NMI, ARI, accuracy.

Each test set is clustered by itself; labels are only looked at afterwards. Accuracy gives every
cluster the class that makes the most images right, each class at most once (the Hungarian
algorithm). ADIOS's code takes one cluster fewer than there are classes: `clusters` sets any number.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch.nn.functional import normalize

from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.evaluate.base import Protocol, ProtocolConfig, Result, Unlabelled
from masquerade.evaluate.frozen import Frozen


class Config(ProtocolConfig):
    """Settings of clustering.

    Attributes:
        clusters: How many; 0 takes as many as there are classes.
        starts: Runs of k-means, of which the tightest counts.
        unit: Whether features are brought to length 1 first, so that cosines count.
    """

    clusters: int = Field(0, ge=0)
    starts: int = Field(10, ge=1)
    unit: bool = True

    def build(self) -> "Clustering":
        return Clustering(self)


class Clustering(Protocol):
    """k-means on frozen features."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(
        self, encoder: Frozen, train: ImageSet, tests: dict[str, ImageSet], seed: Seed
    ) -> Result:
        """Cluster each of `tests`, or the training images where there is none."""
        metrics: dict[str, float] = {}
        arrays: dict[str, NDArray[Any]] = {}
        notes: list[str] = []
        for name, images in (tests or {"train": train}).items():
            if images.labels is None:
                notes.append(f"{name} ({images.name}) has no labels, so nothing was measured on it")
                continue
            known = images.subset(np.flatnonzero(images.labels.numpy() >= 0))
            found = self._clusters(encoder, known, seed.fold("clustering", name))
            assert known.labels is not None
            numbers = agreement(found, known.labels.numpy())
            metrics |= {f"{name}/{key}": value for key, value in numbers.items()}
            arrays[f"cluster/{name}"] = found
            notes.append(f"{name}: {found.max() + 1} clusters of {len(found):,} images")
        if not metrics:
            raise Unlabelled("clustering is judged by labels, and no test set has any")
        return Result(metrics, arrays, None, tuple(notes))

    def _clusters(self, encoder: Frozen, images: ImageSet, seed: Seed) -> NDArray[np.int64]:
        from sklearn.cluster import KMeans  # takes a second to import

        config = self.config
        assert images.labels is not None
        many = config.clusters or len(images.labels.unique())
        if many > len(images):
            raise ValueError(f"{many} clusters of {len(images)} images; set clusters to fewer")
        features = encoder.features(images, config.crop, config.layer)
        features = normalize(features, dim=1) if config.unit else features
        solver = KMeans(many, n_init=config.starts, random_state=seed.integer() % 2**32)
        return np.asarray(solver.fit_predict(features.double().numpy()), np.int64)


def agreement(clusters: NDArray[np.int64], labels: NDArray[np.int64]) -> dict[str, float]:
    """NMI (arithmetic mean), ARI, and `accuracy`."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    return {
        "nmi": float(normalized_mutual_info_score(labels, clusters)),
        "ari": float(adjusted_rand_score(labels, clusters)),
        "acc": accuracy(clusters, labels),
    }


def accuracy(clusters: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """The share of images that are right when each cluster stands for a class of its own."""
    from scipy.optimize import linear_sum_assignment

    table = np.zeros((clusters.max() + 1, labels.max() + 1), np.int64)
    np.add.at(table, (clusters, labels), 1)
    row, column = linear_sum_assignment(table, maximize=True)
    return float(table[row, column].sum() / len(labels))
