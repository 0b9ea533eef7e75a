"""Retrieval: are the images nearest to a query of its class? Mean average precision, recall at k.

Images are ranked by the cosine of their features. Average precision is the mean, over the images
of the query's class, of the share of that class among all images up to there; recall at k says how
often at least one of the first k is of the class (Jegou et al., "Product Quantization for Nearest
Neighbor Search", 2011, and metric learning since).
"""

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from pydantic import field_validator
from torch import Tensor
from torch.nn.functional import normalize

from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.evaluate.base import Protocol, ProtocolConfig, Result
from masquerade.evaluate.classifier import aligned, labelled
from masquerade.evaluate.frozen import Frozen

CHUNK = 2**24  # similarities held at once


class Config(ProtocolConfig):
    """Settings of retrieval.

    Attributes:
        gallery: Where is searched: among the training images, or among the other images of the
            query's own set.
        ks: Of the recalls.
    """

    gallery: Literal["train", "same"] = "train"
    ks: tuple[int, ...] = (1, 5, 10)

    @field_validator("ks")
    @classmethod
    def _positive(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        if not ks or min(ks) < 1:
            raise ValueError(f"ks must be one or more numbers of at least 1, got {list(ks)}")
        return ks

    def build(self) -> "Retrieval":
        return Retrieval(self)


class Retrieval(Protocol):
    """Every test image is a query."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(
        self, encoder: Frozen, train: ImageSet, tests: dict[str, ImageSet], seed: Seed
    ) -> Result:
        """Search for the class of each labelled image of `tests`."""
        config, known = self.config, labelled(train, self.config.kind)
        metrics: dict[str, float] = {}
        arrays: dict[str, NDArray[Any]] = {}
        where = train.name if config.gallery == "train" else "the other images of the query's set"
        notes = [f"retrieval by cosine, searched in {where}"]

        def unit(images: ImageSet) -> Float[Tensor, "N D"]:
            return normalize(encoder.features(images, config.crop, config.layer), dim=1)

        gallery, classes = unit(train)[known.rows], known.labels[known.rows]
        for name, images in tests.items():
            labels = aligned(images, known.classes)
            rows = labels >= 0
            if not rows.any():
                notes.append(f"{name} ({images.name}) has no labels, so nothing was measured on it")
                continue
            queries, wanted = unit(images)[rows], labels[rows]
            same = config.gallery == "same"
            there = (queries, wanted) if same else (gallery, classes)
            precision, first = ranked(queries, wanted, *there, same)
            lost = int(precision.isnan().sum())
            if lost == len(precision):
                notes.append(f"{name}: no query has another image of its class to be found")
                continue
            if lost:
                notes.append(f"{name}: {lost} queries have no image of their class: left out")
            found = first[~precision.isnan()]
            metrics[f"{name}/map"] = float(precision.nanmean())
            metrics |= {f"{name}/recall{k}": float((found < k).double().mean()) for k in config.ks}
            arrays[f"precision/{name}"] = precision.numpy()
        return Result(metrics, arrays, None, tuple(notes))


def ranked(
    queries: Float[Tensor, "N D"],
    wanted: Int[Tensor, " N"],
    gallery: Float[Tensor, "M D"],
    classes: Int[Tensor, " M"],
    same: bool = False,
) -> tuple[Float[Tensor, " N"], Int[Tensor, " N"]]:
    """Each query's average precision, nan where nothing can be found; the rank of its first hit.

    Args:
        queries: Unit vectors.
        wanted: Their classes.
        gallery: Unit vectors; of equally near ones the earlier ranks first.
        classes: Their classes.
        same: Whether the gallery is the queries themselves; a query is then never found.
    """
    precision, first = [], []
    for some in torch.split(torch.arange(len(queries)), max(1, CHUNK // len(gallery))):
        near = queries[some] @ gallery.T
        if same:
            near[torch.arange(len(some)), some] = -torch.inf
        order = near.argsort(dim=1, descending=True, stable=True)
        if same:
            order = order[:, :-1]
        hit = classes[order] == wanted[some][:, None]
        precision.append(average_precision(hit))
        first.append(hit.int().argmax(1))
    return torch.cat(precision), torch.cat(first)


def average_precision(hit: Bool[Tensor, "N M"]) -> Float[Tensor, " N"]:
    """The mean over the hits of the share of hits up to each; nan without any."""
    rank = torch.arange(1, hit.shape[1] + 1)
    share = hit.cumsum(1).double() / rank
    return (share * hit).sum(1) / hit.sum(1)
