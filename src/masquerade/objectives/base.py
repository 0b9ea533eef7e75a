"""Objectives: which branches meet, and how they are compared."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from masquerade.core.config import Plug
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


class Objective(nn.Module, ABC):
    """Encodes branches and compares them.

    Attributes:
        backbone: The encoder that a run exports.
    """

    backbone: Backbone

    @abstractmethod
    def plan(self, copies: int) -> list[Pair]:
        """The pairs to compare: of `copies` masked copies, or the clean pairs when it is 0.

        The weights of the masked pairs add up to `copies`, those of the clean pairs to 1.
        """

    @abstractmethod
    def query_features(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """Backbone features of query branches."""

    @abstractmethod
    def key_features(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """Backbone features of key branches; momentum objectives use their copy."""

    @abstractmethod
    def query(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B D"]:
        """Heads on a query's features."""

    @abstractmethod
    def key(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B D"]:
        """Heads on a key's features."""

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
