"""Protocols: how an encoder is measured, what comes out, and the fitted head that stays usable."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from jaxtyping import Float, Int
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from masquerade.core import tensorfile
from masquerade.core.config import Plug
from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.evaluate.frozen import Frozen, Layer

STATISTICS = "statistics/"  # before the names of batch-norm statistics in a head's file


class Unlabelled(ValueError):
    """A protocol that needs labels was given images that have none."""


class ProtocolConfig(Plug):
    """Settings that every protocol has.

    Attributes:
        crop: The centred share of the shorter side that the encoder sees. 1 is all of it,
            0.875 the ImageNet habit, 96/256 = 0.375 what ADIOS's code does to 96-px images.
        layer: Whose features are measured, the backbone's or the projector's.
        bn: Whose batch-norm statistics the encoder uses: those kept in training, which masked
            views went into, or (`recalibrate`) those of whole images that the protocol fits on.
    """

    family: ClassVar[str] = "masquerade.evaluate"
    compares: ClassVar[bool] = True  # whether its numbers mean more beside those of baselines
    noun: ClassVar[str] = "protocol"
    crop: float = Field(1.0, gt=0, le=1)
    layer: Layer = "backbone"
    bn: Literal["trained", "recalibrate"] = "trained"

    @abstractmethod
    def build(self) -> "Protocol":
        """The protocol."""

    def suits(self, encoder: Frozen) -> bool:
        """Whether an encoder can be measured so; raw pixels cannot be trained, for example."""
        return True

    def restore(self, tensors: dict[str, Tensor], classes: tuple[str, ...]) -> "Head":
        """The head that was saved with these settings."""
        raise ValueError(f"{self.kind} leaves no head that could label images")


class Prediction(NamedTuple):
    """What a head says of N images.

    Attributes:
        label: The class with the highest score; of equal ones the lower number.
        score: Each class's, 0 to 1, adding up to 1.
    """

    label: Int[Tensor, " N"]
    score: Float[Tensor, "N C"]


class Head(ABC):
    """A fitted classifier on features.

    Attributes:
        config: The protocol's settings; `config.crop` and `config.layer` say which features.
        classes: The names of its classes.
    """

    def __init__(self, config: ProtocolConfig, classes: tuple[str, ...]) -> None:
        self.config = config
        self.classes = classes

    @abstractmethod
    def predict(self, features: Float[Tensor, "N D"]) -> Prediction:
        """Labels and scores, on the CPU.

        Raises:
            ValueError: Features of another length than it was fitted on.
        """

    def encoder(self, given: Frozen) -> Frozen:
        """The encoder whose features it takes: the one it was fitted on, unless it has its own."""
        return given

    def logits(self, features: Float[Tensor, "N D"]) -> Float[Tensor, "N K"]:
        """What attacks follow: the scores before the softmax, with a gradient to the features.

        Raises:
            ValueError: It has none.
        """
        raise ValueError(
            f"{self.config.kind} has no scores with gradients that an attack could follow; use "
            "head=linear or head=finetune"
        )

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What it has learned, by name."""

    def save(self, path: Path, statistics: Mapping[str, Tensor] = {}) -> None:
        """Write it to one safetensors file, whole or not at all.

        Args:
            path: The file.
            statistics: Those of the encoder's batch norms, where it was fitted on others than
                the encoder's own.
        """
        about = {"config": json.dumps(self.config.tree()), "classes": json.dumps(self.classes)}
        named = {**self.tensors(), **{f"{STATISTICS}{n}": t for n, t in statistics.items()}}
        tensorfile.save(path, named, about)


class Loaded(NamedTuple):
    """A head from a file.

    Attributes:
        head: The fitted classifier.
        statistics: Of the encoder's batch norms, as `save` was given them; often none.
    """

    head: Head
    statistics: dict[str, Tensor]


def load(path: Path) -> Loaded:
    """The head in a file; nothing in the file is run.

    Raises:
        MissingData: There is no such file, or it holds no head.
    """
    tensors, about = tensorfile.load(
        path, {"config", "classes"}, "fitted head", "evaluate the run first"
    )
    config = ProtocolConfig.parse(json.loads(about["config"]))
    own = {n: t for n, t in tensors.items() if not n.startswith(STATISTICS)}
    others = {n.removeprefix(STATISTICS): t for n, t in tensors.items() if n not in own}
    return Loaded(config.restore(own, tuple(json.loads(about["classes"]))), others)


class Result(NamedTuple):
    """What a protocol found.

    Attributes:
        metrics: Numbers by name. Of a test set called "test": `test/top1`, `test/balanced`, and
            `test/top5` where there are more than 5 classes; shares, 0 to 1.
        arrays: By name: `confusion/test`, `per_class/test`, `predicted/test`, pictures, maps.
        head: The fitted classifier, None where there is none.
        notes: Sentences for the user: the protocol, what was left out and why.
    """

    metrics: dict[str, float]
    arrays: dict[str, NDArray[Any]]
    head: Head | None = None
    notes: tuple[str, ...] = ()


class Protocol(ABC):
    """A way to measure an encoder."""

    @abstractmethod
    def run(
        self, encoder: Frozen, train: ImageSet, tests: dict[str, ImageSet], seed: Seed
    ) -> Result:
        """Measure a frozen encoder.

        Args:
            encoder: What is measured.
            train: What the protocol may fit on and choose by.
            tests: What it is measured on, by name; never fitted on, never chosen by.
            seed: For every draw.

        Raises:
            Unlabelled: It needs labels, and `train` has none.
        """
