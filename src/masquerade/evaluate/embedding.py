"""Embedding: a map of the images and their nearest neighbours, without any label.

The map is t-SNE (van der Maaten & Hinton, 2008) after PCA: near on it means near in feature
space, far means little. Neighbours are found in feature space, not on the map.
"""

from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from masquerade.core.seed import Seed
from masquerade.data.augment.plain import plain
from masquerade.data.images import ImageSet
from masquerade.engine.collapse import health, verdict
from masquerade.evaluate.base import Protocol, ProtocolConfig, Result
from masquerade.evaluate.frozen import Frozen

PCA = 50  # dimensions t-SNE starts from, as its authors advise
ITERATIONS = 500  # 1,000 images take about 3 seconds on one core
FEWEST = 8  # images below which t-SNE has nothing to say


class Config(ProtocolConfig):
    """Settings of the embedding.

    Attributes:
        images: Images on the map, drawn by the seed; all where there are fewer. 1,000 take
            seconds.
        queries: Images whose neighbours are shown.
        neighbours: Neighbours of each.
        thumbnail: Longest side of their small pictures, in pixels.
    """

    compares: ClassVar[bool] = False
    images: int = Field(1000, ge=2, le=5000)
    queries: int = Field(8, ge=0)
    neighbours: int = Field(6, ge=1)
    thumbnail: int = Field(32, ge=8, le=128)

    def build(self) -> "Embedding":
        return Embedding(self)


class Embedding(Protocol):
    """Where images lie in the eyes of an encoder.

    It shows the first of the test sets, or the training images where there is none.
    `Result.arrays` has one row per shown image: `map` [M, 2] in -1..1, `labels` (-1 = none) of
    `classes`, `rows` (its place in the set), `thumbnails` [M, t, t, 1 or 3] uint8; and one per
    query: `queries` [q], `neighbours` [q, k] (nearest first, never the query itself) as rows of
    these, `similarity` [q, k], cosine.
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(
        self, encoder: Frozen, train: ImageSet, tests: dict[str, ImageSet], seed: Seed
    ) -> Result:
        """The map, the neighbours, and the health of the features in numbers and words."""
        config, seed = self.config, seed.fold("embedding")
        images = next(iter(tests.values()), train)
        if len(images) < 2:
            raise ValueError(f"a map needs at least 2 images, {images.name} has {len(images)}")
        rows = drawn(len(images), config.images, seed.fold("images"))
        shown = images.subset(rows)
        features = encoder.features(shown, config.crop, config.layer)
        queries = drawn(len(rows), config.queries, seed.fold("queries"))
        neighbours, similarity = nearest(features, queries, config.neighbours)
        numbers = health(features)
        labels = shown.labels
        arrays: dict[str, NDArray[Any]] = {
            "map": mapped(features, seed.fold("map")),
            "rows": rows,
            "labels": np.full(len(rows), -1) if labels is None else labels.numpy(),
            "classes": np.array(shown.classes, dtype=np.str_),
            "thumbnails": thumbnails(shown, config.thumbnail).numpy(),
            "queries": queries,
            "neighbours": neighbours.numpy(),
            "similarity": similarity.numpy(),
        }
        found = {"std": numbers.std, "rankme": numbers.rankme, "uniformity": numbers.uniformity}
        which = f"{len(rows)} of {len(images)}" if len(rows) < len(images) else f"all {len(rows)}"
        note = f"map of {which} images of {images.name}, {config.layer} features"
        return Result(found, arrays, notes=(note, verdict(numbers).text))


def drawn(count: int, most: int, seed: Seed) -> NDArray[np.int64]:
    """At most `most` of `count` row numbers, without repetition, ascending."""
    order = torch.randperm(count, generator=seed.generator())[:most]
    return order.sort().values.numpy()


def nearest(
    features: Float[Tensor, "M D"], queries: NDArray[np.int64], k: int
) -> tuple[Int[Tensor, "q k"], Float[Tensor, "q k"]]:
    """The k rows most similar to each query and their cosines; never the query itself."""
    unit = normalize(features, dim=1)
    similarity = unit[queries] @ unit.T
    similarity[torch.arange(len(queries)), torch.from_numpy(queries)] = -torch.inf
    value, row = similarity.topk(min(k, len(features) - 1), dim=1)
    return row, value.clamp(-1, 1)


def mapped(features: Float[Tensor, "M D"], seed: Seed) -> NDArray[np.float32]:
    """A place in the plane for each row, within -1..1; equal seeds give equal maps.

    Rows are compared by cosine. Fewer than 8 of them are placed by PCA alone; rows that are all
    equal lie in the middle.
    """
    from sklearn.manifold import TSNE  # takes a second to import

    unit = normalize(features, dim=1).double()
    left, values, _ = torch.linalg.svd(unit - unit.mean(dim=0), full_matrices=False)
    components = (left * values)[:, :PCA].numpy()
    plane = np.zeros((len(components), 2))
    plane[:, : components.shape[1]] = components[:, :2]
    spread = plane[:, 0].std()
    if len(plane) >= FEWEST and spread > 1e-9:
        solver = TSNE(
            perplexity=min(30.0, (len(plane) - 1) / 3),
            init=(plane / spread * 1e-4).astype(np.float32),  # 1e-4: scikit-learn's own
            learning_rate="auto",
            max_iter=ITERATIONS,
            random_state=seed.integer() % 2**32,
        )
        plane = solver.fit_transform(components.astype(np.float32)).astype(np.float64)
    plane -= (plane.max(axis=0) + plane.min(axis=0)) / 2
    scaled: NDArray[np.float32] = (plane / max(np.abs(plane).max(), 1e-12)).astype(np.float32)
    return scaled


def thumbnails(images: ImageSet, side: int) -> UInt8[Tensor, "M side side c"]:
    """The middle square of each image as a small picture: grey, or the first three channels."""
    zero, one = (0.0,) * images.channels, (1.0,) * images.channels
    kept = 3 if images.channels >= 3 else 1
    small = []
    for rows in torch.split(torch.arange(len(images)), 256):
        pixels = plain(images.read(rows), images.extents(rows), side, zero, one)[:, :kept]
        small.append((pixels.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1))
    return torch.cat(small).contiguous()
