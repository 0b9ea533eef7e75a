"""images: tell the classes of labelled images apart.

Fitness is minus the mean cross entropy on a random batch that all candidates share; the score
reported is the accuracy on the test split.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.data.sources import digits
from masquerade.data.sources.base import SourceConfig
from masquerade.tickets.base import Differentiable, Judged, State
from masquerade.tickets.network import Network, Shape
from masquerade.tickets.problems.base import ProblemConfig

ROOM = 2**25  # numbers that the widest layer may hold at once
MNIST = (0.1307, 0.3081)  # mean and deviation that the published runs use for all their sets


class Config(ProblemConfig):
    """Settings of image classification.

    Attributes:
        data: Where the images come from; they need labels.
        train: The split that is trained on.
        test: The split that scores are reported on.
        size: Side that sources of files give images in pixels; sets of one resolution ignore it.
        normalise: What images are standardised with: `data` measures them, `mnist` takes the
            constants of MNIST whatever the images are, as published.
        network: The classifier.
        batch: Images that a generation is judged on, drawn without replacement; all where there
            are fewer.
    """

    data: SourceConfig = digits.Config()
    train: str = "train"
    test: str = "test"
    size: int = Field(32, ge=8)
    normalise: Literal["data", "mnist"] = "data"
    network: Shape = Shape()
    batch: int = Field(1024, ge=1)

    def build(self, device: torch.device) -> "Classification":
        return Classification(self, device)

    @property
    def measure(self) -> str:
        return "accuracy"


class Examples:
    """Standardised images with their labels, on a device."""

    def __init__(self, images: ImageSet, normalise: str, known: ImageSet) -> None:
        """Reads the labelled images of a set; `known` is what is measured and names classes."""
        labels = images.labels
        if labels is None:
            raise ValueError(
                f"{images.name} has no labels, and telling classes apart needs them. Give labelled "
                "images with problem.data=..., or take a problem without images such as cartpole"
            )
        if images.classes != known.classes:
            raise ValueError(f"{images.name} and {known.name} do not have the same classes")
        rows = torch.nonzero(labels >= 0)[:, 0]
        pixels = images.read(rows)
        mean, std = known.statistics()
        if normalise == "mnist":
            mean, std = ((MNIST[k],) * images.channels for k in (0, 1))
        white = torch.iinfo(pixels.dtype).max
        shape = (1, images.channels, 1, 1)
        x = pixels.float() / white
        self.images = (x - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
        self.images = self.images.contiguous()
        self.labels = labels[rows]

    def to(self, device: torch.device) -> "Examples":
        """Moves them."""
        self.images, self.labels = self.images.to(device), self.labels.to(device)
        return self


class Classification(Differentiable):
    """The problem; `network` is what weights are for."""

    def __init__(self, config: Config, device: torch.device) -> None:
        self.config = config
        train = config.data.load(config.train, config.size)
        test = config.data.load(config.test, config.size)
        self._train = Examples(train, config.normalise, train).to(device)
        self._test = Examples(test, config.normalise, train).to(device)
        inputs = (train.channels, *train.shape)
        self.network = Network(config.network, inputs, len(train.classes))
        self.layout = self.network.layout

    @property
    def examples(self) -> int:
        return len(self._train.labels)

    def start(self, seed: Seed) -> Float[Tensor, " P"]:
        return self.network.start(seed).to(self._train.images.device)

    def fitness(self, population: Float[Tensor, "N P"], seed: Seed, memory: State) -> Judged:
        rows = torch.randperm(self.examples, generator=seed.generator())[: self.config.batch]
        images, labels = self._train.images[rows], self._train.labels[rows]
        found = [-losses(logits, labels) for logits in self._outputs(population, images)]
        return Judged(torch.cat(found), population.new_zeros(len(population), 0))

    def test(self, population: Float[Tensor, "N P"], memory: State) -> Float[Tensor, " N"]:
        right = population.new_zeros(len(population))
        parts = zip(self._test.images.split(1024), self._test.labels.split(1024), strict=True)
        for images, labels in parts:
            found = [
                (o.argmax(dim=2) == labels).sum(dim=1) for o in self._outputs(population, images)
            ]
            right += torch.cat(found)
        return right / len(self._test.labels)

    def loss(self, weights: Float[Tensor, " P"], rows: Tensor | None) -> Float[Tensor, ""]:
        chosen = slice(None) if rows is None else rows
        images, labels = self._train.images[chosen], self._train.labels[chosen]
        logits = self.network.forward(weights[None], images)[0]
        return cross_entropy(logits, labels)

    def _outputs(
        self, population: Float[Tensor, "N P"], images: Float[Tensor, "B C H W"]
    ) -> list[Float[Tensor, "_ B O"]]:
        """Logits, in groups of candidates whose layers fit into memory."""
        count = max(1, ROOM // (len(images) * self.network.widest))
        with torch.no_grad():
            return [self.network.forward(part, images) for part in population.split(count)]


def losses(logits: Float[Tensor, "N B C"], labels: Int[Tensor, " B"]) -> Float[Tensor, " N"]:
    """Mean cross entropy of each candidate."""
    told = logits.log_softmax(dim=2)
    return -told.gather(2, labels[None, :, None].expand(len(told), -1, 1))[..., 0].mean(dim=1)
