"""features: a sparse head, or a diagonal metric, on an encoder's frozen features.

Goals have no gradient: accuracy itself, balanced accuracy, the vote of the nearest neighbours.
`baseline` is what it must beat: logistic regression with an L1 penalty, at every sparsity.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from masquerade.core.seed import Seed
from masquerade.data.augment.plain import plain
from masquerade.data.images import ImageSet
from masquerade.data.sources import digits
from masquerade.data.sources.base import SourceConfig
from masquerade.engine.extract import extract
from masquerade.networks import encoder_file
from masquerade.networks.backbone import Backbone
from masquerade.tickets.base import Baseline, Differentiable, Judged, Problem, State
from masquerade.tickets.layout import Layout
from masquerade.tickets.logistic import l1_path
from masquerade.tickets.network import Network, Shape
from masquerade.tickets.problems.base import ProblemConfig

L1 = "L1 logistic regression"


class Config(ProblemConfig):
    """Settings of a head on frozen features.

    Attributes:
        encoder: The folder of a finished run; empty takes the pixels themselves.
        data: Where the labelled images come from.
        train: The split that heads are judged on.
        test: The split that scores are reported on.
        size: Side of the images in pixels where there is no encoder to say it.
        goal: `top1`, the share of right answers; `balanced`, its mean over classes; `knn`, the
            share of right answers of the nearest neighbours under a diagonal metric.
        k: Neighbours that vote with `goal=knn`.
        batch: Training images that a generation is judged on; all where there are fewer.
    """

    encoder: str = ""
    data: SourceConfig = digits.Config()
    train: str = "train"
    test: str = "test"
    size: int = Field(32, ge=8)
    goal: Literal["top1", "balanced", "knn"] = "top1"
    k: int = Field(5, ge=1)
    batch: int = Field(1024, ge=2)

    def build(self, device: torch.device) -> "Metric | Head":
        found = [table(self, split, device) for split in (self.train, self.test)]
        mean, std = found[0].rows.mean(dim=0), found[0].rows.std(dim=0)
        wide = torch.where(std > 1e-6 * std.max(), std, torch.inf)  # a constant tells nothing
        train, test = (t._replace(rows=(t.rows - mean) / wide) for t in found)
        return Metric(self, train, test) if self.goal == "knn" else Head(self, train, test)

    @property
    def measure(self) -> str:
        return "balanced accuracy" if self.goal == "balanced" else "accuracy"


class Table(NamedTuple):
    """Features of labelled images.

    Attributes:
        rows: One for each image.
        labels: Their classes.
        classes: How many classes there are.
    """

    rows: Float[Tensor, "B D"]
    labels: Int[Tensor, " B"]
    classes: int


def table(config: Config, split: str, device: torch.device) -> Table:
    """The features of a split's labelled images.

    Raises:
        MissingData: There is no finished encoder in the folder.
        ValueError: The images have no labels.
    """
    backbone = encoder_file.load(config.encoder).to(device) if config.encoder else None
    images = config.data.load(split, backbone.size if backbone else config.size)
    if images.labels is None:
        raise ValueError(
            f"{images.name} has no labels, and a head needs them. Give labelled images with "
            "problem.data=..."
        )
    picked = torch.nonzero(images.labels >= 0)[:, 0]
    labels = images.labels[picked].to(device)
    if backbone is None:
        rows = images.read(picked).float().flatten(1) / 255
    else:
        rows = extract(backbone, shown(backbone, images, picked), device=device)
    return Table(rows.to(device), labels, len(images.classes))


def shown(
    backbone: Backbone, images: ImageSet, picked: Int[Tensor, " N"]
) -> Iterator[Float[Tensor, "B C S S"]]:
    """Images as an encoder sees them, batch by batch."""
    mean, std = tuple(backbone.mean.flatten().tolist()), tuple(backbone.std.flatten().tolist())
    for rows in picked.split(256):
        yield plain(images.read(rows), images.extents(rows), backbone.size, mean, std)


class Head(Differentiable):
    """Linear scores of the classes; fitness is a share of right answers."""

    def __init__(self, config: Config, train: Table, test: Table) -> None:
        self.config = config
        self._train, self._test = train, test
        self.network = Network(Shape(hidden=()), (train.rows.shape[1],), train.classes)
        self.layout = self.network.layout

    @property
    def examples(self) -> int:
        return len(self._train.labels)

    def start(self, seed: Seed) -> Float[Tensor, " P"]:
        return self.network.start(seed).to(self._train.rows)

    def fitness(self, population: Float[Tensor, "N P"], seed: Seed, memory: State) -> Judged:
        rows = torch.randperm(self.examples, generator=seed.generator())[: self.config.batch]
        right = self._right(population, self._train.rows[rows], self._train.labels[rows])
        return Judged(right, population.new_zeros(len(population), 0))

    def test(self, population: Float[Tensor, "N P"], memory: State) -> Float[Tensor, " N"]:
        return self._right(population, self._test.rows, self._test.labels)

    def loss(self, weights: Float[Tensor, " P"], rows: Tensor | None) -> Float[Tensor, ""]:
        chosen = slice(None) if rows is None else rows
        scores = self.network.forward(weights[None], self._train.rows[chosen])[0]
        return cross_entropy(scores, self._train.labels[chosen])

    def baseline(self) -> Baseline:
        """Logistic regression with an L1 penalty on the same features, from sparse to dense."""
        levels = []
        for kernel, bias in l1_path(self._train.rows, self._train.labels, self._train.classes):
            weights = self.layout.flat({"dense_1/kernel": kernel, "dense_1/bias": bias})
            share = float((kernel != 0).double().mean())
            levels.append((share, float(self.test(weights[None], {})[0])))
        return Baseline(L1, tuple(levels))

    def _right(
        self, population: Float[Tensor, "N P"], x: Float[Tensor, "B D"], labels: Int[Tensor, " B"]
    ) -> Float[Tensor, " N"]:
        told = self.network.forward(population, x).argmax(dim=2)
        if self.config.goal == "top1":
            return (told == labels).to(x).mean(dim=1)
        member = one_hot(labels, self._train.classes).to(x)
        count = member.sum(dim=0)
        recall = (told == labels).to(x) @ member / count.clamp_min(1)
        return recall.sum(dim=1) / (count > 0).sum()


class Metric(Problem):
    """One weight a feature; fitness is how often the nearest other images are right."""

    def __init__(self, config: Config, train: Table, test: Table) -> None:
        self.config = config
        self._train, self._test = train, test
        self.layout = Layout.of({"metric/kernel": (train.rows.shape[1],)})

    def start(self, seed: Seed) -> Float[Tensor, " P"]:
        """All features count alike."""
        return torch.ones_like(self._train.rows[0])

    def fitness(self, population: Float[Tensor, "N P"], seed: Seed, memory: State) -> Judged:
        count = len(self._train.labels)
        rows = torch.randperm(count, generator=seed.generator())[: self.config.batch]
        x, labels = self._train.rows[rows], self._train.labels[rows]
        right = [self._voted(w, x, labels, x, labels, True) for w in population]
        return Judged(torch.stack(right), population.new_zeros(len(population), 0))

    def test(self, population: Float[Tensor, "N P"], memory: State) -> Float[Tensor, " N"]:
        train, test = self._train, self._test
        return torch.stack(
            [
                self._voted(w, test.rows, test.labels, train.rows, train.labels, False)
                for w in population
            ]
        )

    def baseline(self) -> Baseline:
        """The same with features in the place of weights: those that some class looks at."""
        test, levels = self._test, []
        for kernel, bias in l1_path(self._train.rows, self._train.labels, self._train.classes):
            right = (test.rows @ kernel + bias).argmax(dim=1) == test.labels
            share = float((kernel != 0).any(dim=1).double().mean())
            levels.append((share, float(right.double().mean())))
        return Baseline(L1, tuple(levels))

    def _voted(
        self,
        weights: Float[Tensor, " P"],
        x: Float[Tensor, "B D"],
        labels: Int[Tensor, " B"],
        known: Float[Tensor, "M D"],
        classes: Int[Tensor, " M"],
        same: bool,
    ) -> Float[Tensor, ""]:
        """The share of rows that the majority of their neighbours is right about.

        Args:
            weights: Multiplied with every feature.
            x: Whose class is asked.
            labels: The right answers.
            known: Among what neighbours are looked for.
            classes: Their classes.
            same: Whether `x` and `known` are the same rows, of which none is its own neighbour.
        """
        a, b = x * weights, known * weights
        near = b.square().sum(dim=1) - 2 * a @ b.T  # the square of a changes no order
        if same:
            near.fill_diagonal_(torch.inf)
        k = min(self.config.k, len(known) - same)
        votes = one_hot(classes[near.topk(k, largest=False).indices], self._train.classes).sum(1)
        return (votes.argmax(dim=1) == labels).to(x).mean()
