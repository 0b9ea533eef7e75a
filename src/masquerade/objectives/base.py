"""Objectives: which branches meet, and how they are compared."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from masquerade.core.config import Plug
from masquerade.core.seed import Seed
from masquerade.core.types import precise
from masquerade.engine.task import Group, Progress
from masquerade.networks.backbone import Backbone


class Branch(NamedTuple):
    """One encoded image of a sample.

    Attributes:
        view: Which augmentation, from 0.
        copy: Which masked copy of it; None is the clean view.
    """

    view: int
    copy: int | None = None


class Pair(NamedTuple):
    """Two branches that are compared, and how much that counts."""

    query: Branch
    key: Branch
    weight: float = 1.0


Masked = Literal["query", "key", "both"]
Meets = Literal["other", "same"]  # which clean view a masked one is compared with


def between(pairs: list[Pair], masked: Masked) -> list[Pair]:
    """Those of the pairs whose query, key, or either is masked."""
    if masked == "both":
        return pairs
    return [p for p in pairs if (p.query if masked == "query" else p.key).copy is not None]


class Objective(nn.Module, ABC):
    """Encodes branches and compares them.

    A query is `predict(query(query_features(images)))`, a key `key(key_features(images, seed))`.

    Attributes:
        backbone: The encoder that a run exports.
        projector: The head between its features and embeddings.
        follows: Whether keys come from a copy that follows the network. Otherwise a branch is
            encoded once, for both.
        key_gradient: Whether gradients flow through keys, too.
        undetached: Whether the official code of ADIOS-s goes back through the mask network in the
            encoder's round, too, for gradients that nobody reads.
        joint: Whether `query` sees both branches of a pair in one batch, so that its batch norm
            does; for objectives whose keys take a gradient.
    """

    backbone: Backbone
    projector: nn.Module
    follows: ClassVar[bool] = False
    key_gradient: ClassVar[bool] = False
    undetached: ClassVar[bool] = False
    joint: bool = False

    @abstractmethod
    def plan(self, masked: bool) -> list[Pair]:
        """The pairs to compare: clean ones, or those of one masked copy of each masked view.

        `copy=0` stands for the masked copy; a pair without it is in the loss once per copy.
        What reaches a masker is read off: masked queries, and masked keys if `key_gradient`.
        """

    def query_features(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """Backbone features of query branches."""
        features: Tensor = self.backbone(images)
        return features

    def key_features(self, images: Float[Tensor, "B C H W"], seed: Seed) -> Float[Tensor, "B F"]:
        """Backbone features of key branches; momentum objectives use their copy."""
        return self.query_features(images)

    def query(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B D"]:
        """The projector on a query's features."""
        embedding: Tensor = self.projector(features)
        return embedding

    def key(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B D"]:
        """The projector on a key's features."""
        return self.query(features)

    def predict(self, embedding: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """What a query says of its key."""
        return embedding

    @abstractmethod
    def compare(
        self,
        query: Float[Tensor, "B D"],
        key: Float[Tensor, "B D"],
        positive: Int[Tensor, "B M"],
        weight: Float[Tensor, "B M"],
    ) -> Float[Tensor, " B"]:
        """The loss of each query against its M positives, `key[positive[i, m]]`.

        Args:
            query: Embeddings, of any length.
            key: Embeddings, of any length.
            positive: Rows of `key`, counted over the batch of all processes.
            weight: The share of each positive; rows add up to 1.

        Returns:
            One loss for each query, in float32.
        """

    @abstractmethod
    def groups(self) -> list[Group]:
        """The trained parameters, backbone included."""

    def remember(self, keys: list[Float[Tensor, "B D"]]) -> None:
        """Gets the clean keys of a step, in the order of their views, from the encoder's round."""
        return

    def before_step(self, progress: Progress) -> None:
        """Runs before the first round of a step."""
        return

    def after_step(self, progress: Progress) -> None:
        """Runs after the last round of a step."""
        return


class ObjectiveConfig(Plug):
    """Base of the settings of objectives."""

    family: ClassVar[str] = "masquerade.objectives"
    noun: ClassVar[str] = "objective"

    @abstractmethod
    def build(self, backbone: Backbone) -> Objective:
        """The objective over a backbone."""

    def check(self, batch: int, devices: int) -> None:
        """Raises ValueError if it cannot work with batches of this size on so many devices."""
        return


def cosine(
    query: Float[Tensor, "B D"], key: Float[Tensor, "G D"], positive: Int[Tensor, "B M"]
) -> Float[Tensor, "B M"]:
    """The cosine of each query and each of its positives, in float32 or better."""
    own, other = normalised(query), normalised(key)
    return (own[:, None] * other[positive]).sum(2)


def normalised(x: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
    """Unit rows, in float32 or better."""
    return F.normalize(precise(x), dim=1)
