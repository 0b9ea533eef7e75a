"""kNN: an image gets the class that most of its nearest training images have.

A protocol is named by (k, metric, vote, layer). The headline is k = 20, cosine, votes weighted by
exp(cosine / 0.07), backbone features: Wu et al., "Unsupervised Feature Learning via Non-Parametric
Instance Discrimination", 2018 (with their temperature). https://arxiv.org/abs/1805.01978
ADIOS's code (https://github.com/YugeTen/adios) tries a grid of k and temperature and reports the
best on the test set; `grid=true` tries the same grid, but chooses on held-out training images.
`moco` and `wmse` are the two protocols behind MixMask's tables (papers/mixmask.md, section 7).
"""

from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from masquerade.core.seed import Seed
from masquerade.evaluate.base import Head, Prediction, ProtocolConfig
from masquerade.evaluate.classifier import Classifier, Examples, Fitted
from masquerade.evaluate.frozen import Layer
from masquerade.evaluate.metrics import top

Metric = Literal["cosine", "euclidean"]
Vote = Literal["weighted", "majority"]

CHUNK = 2**24  # similarities held at once
KS = (1, 2, 5, 10, 20, 50, 100, 200)
TEMPERATURES = (0.01, 0.02, 0.05, 0.07, 0.1, 0.2, 0.5, 1.0)


class Config(ProtocolConfig):
    """Settings of kNN.

    Attributes:
        k: Neighbours that vote; all training images where there are fewer.
        metric: What near means. Cosine similarity of features, or Euclidean distance.
        vote: `weighted` by exp(cosine / temperature) or 1 / (distance + 1e-5), or `majority`.
        temperature: Of the weights of cosine votes; lower trusts the nearest more.
        grid: Measures one more protocol beside this one: the best of ADIOS's grid on a held-out
            fifth of the training images (`test/grid_top1`).
    """

    k: int = Field(20, ge=1)
    metric: Metric = "cosine"
    vote: Vote = "weighted"
    temperature: float = Field(0.07, gt=0)
    grid: bool = False

    def build(self) -> "Knn":
        return Knn(self)

    def restore(self, tensors: dict[str, Tensor], classes: tuple[str, ...]) -> "Index":
        return Index(self, classes, tensors["features"], tensors["labels"])

    def described(self) -> str:
        """The protocol's name, complete."""
        weights = {"cosine": f"exp(cosine/{self.temperature:g})", "euclidean": "1/distance"}
        vote = f"weighted by {weights[self.metric]}" if self.vote == "weighted" else "majority"
        return f"kNN, k = {self.k}, {self.metric}, {vote}, {self.layer} features"


class Near(NamedTuple):
    """The nearest training images of N images, nearest first.

    Attributes:
        closeness: Cosine similarity, or minus the Euclidean distance.
        label: Their classes.
        row: Which training images they are.
    """

    closeness: Float[Tensor, "N k"]
    label: Int[Tensor, "N k"]
    row: Int[Tensor, "N k"]


class Index(Head):
    """Training features with their labels; all that kNN needs.

    Attributes:
        features: Unit vectors where the metric is cosine.
        labels: Of these rows.
    """

    config: Config

    def __init__(
        self,
        config: Config,
        classes: tuple[str, ...],
        features: Float[Tensor, "M D"],
        labels: Int[Tensor, " M"],
    ) -> None:
        super().__init__(config, classes)
        self.features = normalize(features, dim=1) if config.metric == "cosine" else features
        self.labels = labels

    def tensors(self) -> dict[str, Tensor]:
        return {"features": self.features, "labels": self.labels}

    def predict(self, features: Float[Tensor, "N D"]) -> Prediction:
        score = voted(self.near(features), self.config, len(self.classes)).cpu()
        return Prediction(score.argmax(dim=1), score)

    def near(self, features: Float[Tensor, "N D"], k: int = 0) -> Near:
        """The k nearest rows (0 = as many as vote); of equally near ones the earlier row."""
        if features.shape[1] != self.features.shape[1]:
            raise ValueError(
                f"the neighbours have features of length {self.features.shape[1]}, "
                f"got {features.shape[1]}: another encoder or layer than they were made with"
            )
        k = min(k or self.config.k, len(self.labels))
        rows = max(1, CHUNK // len(self.labels))
        parts = (part.to(self.features.device) for part in torch.split(features, rows))
        found = [nearest(self._closeness(part), k) for part in parts]
        closeness, row = (torch.cat(columns) for columns in zip(*found, strict=True))
        return Near(closeness, self.labels[row], row)

    def _closeness(self, features: Float[Tensor, "N D"]) -> Float[Tensor, "N M"]:
        if self.config.metric == "cosine":
            return normalize(features, dim=1) @ self.features.T
        # Without the product form, which rounds small distances away: 1/distance needs them.
        return -torch.cdist(features, self.features, compute_mode="donot_use_mm_for_euclid_dist")


class Knn(Classifier):
    """Votes of the nearest training images."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)

    def fit(self, examples: Examples, seed: Seed) -> Fitted:
        """Keeps the features; with `grid` also chooses from ADIOS's grid."""
        config = self.config
        head = Index(config, examples.classes, examples.features, examples.labels)
        notes = [config.described()]
        if config.k > len(examples.labels):
            notes.append(f"only {len(examples.labels)} labelled training images: all of them vote")
        if not config.grid:
            return Fitted(head, tuple(notes))
        parts = examples.parted(seed)
        if parts is None:
            notes.append("grid: too few training images to hold some out and choose on them")
            return Fitted(head, tuple(notes))
        tried = searched(config, *parts)
        best = max(tried, key=lambda entry: entry[1])[0]
        extra = Index(best, examples.classes, examples.features, examples.labels)
        notes.append(f"grid: {best.described()}, the best of {len(tried)} on held-out images")
        rows = [(c.metric == "euclidean", c.k, c.temperature, share) for c, share in tried]
        return Fitted(head, tuple(notes), {"grid": extra}, {"grid": np.array(rows)})


def searched(config: Config, rest: Examples, held: Examples) -> list[tuple[Config, float]]:
    """Every protocol of ADIOS's grid with its top-1 on held-out examples."""
    tried = []
    ks = [k for k in KS if k <= len(rest.labels)]
    for metric in ("cosine", "euclidean"):
        base = config.replace(metric=metric, vote="weighted", grid=False)
        index = Index(base, rest.classes, rest.features, rest.labels)
        near = index.near(held.features, ks[-1])
        for temperature in TEMPERATURES if metric == "cosine" else (config.temperature,):
            for k in ks:
                one = base.replace(k=k, temperature=temperature)
                first = Near(*(column[:, :k] for column in near))
                right = top(voted(first, one, len(rest.classes)), held.labels, 1)
                tried.append((one, float(right.double().mean())))
    return tried


def nearest(
    closeness: Float[Tensor, "N M"], k: int
) -> tuple[Float[Tensor, "N k"], Int[Tensor, "N k"]]:
    """The k largest of each row, largest first; of equal ones the earlier column."""
    value, column = closeness.topk(k, dim=1)
    # topk breaks ties as it likes; rows with a tie are sorted again, stably.
    tied = (closeness >= value[:, -1:]).sum(dim=1) > k
    if k > 1:
        tied |= (value[:, 1:] == value[:, :-1]).any(dim=1)
    if tied.any():
        ordered, places = closeness[tied].sort(dim=1, descending=True, stable=True)
        value[tied], column[tied] = ordered[:, :k], places[:, :k]
    return value, column


def voted(near: Near, config: Config, classes: int) -> Float[Tensor, "N C"]:
    """Each class's share of the votes, 0 where no neighbour has it."""
    if config.vote == "majority":
        weight = torch.ones_like(near.closeness)
    elif config.metric == "cosine":
        # Relative to the nearest: the same shares, and no overflow at low temperatures.
        weight = ((near.closeness - near.closeness[:, :1]) / config.temperature).exp()
    else:
        weight = 1 / (1e-5 - near.closeness)  # 1e-5: as in the authors' code
    votes = weight.new_zeros(len(weight), classes).scatter_add_(1, near.label, weight)
    return votes / votes.sum(dim=1, keepdim=True)


def moco(layer: Layer = "projector", crop: float = 1.0) -> Config:
    """Un-Mix's, of MoCo's projector output, and PatrickHua's SimSiam's, of backbone features.

    Its SimSiam is tested on 32 of 36 pixels (`crop=32 / 36`).
    """
    return Config(k=200, temperature=0.1, layer=layer, crop=crop)


def wmse() -> Config:
    """W-MSE's code: five nearest by Euclidean distance, one vote each, of backbone features."""
    return Config(k=5, metric="euclidean", vote="majority")
