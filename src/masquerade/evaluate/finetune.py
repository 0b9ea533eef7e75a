"""Fine-tuning: the whole network trained on labels, as masked autoencoders are judged.

He et al., "Masked Autoencoders Are Scalable Vision Learners", 2022, appendix A.1,
https://arxiv.org/abs/2111.06377; AEMIM (https://arxiv.org/abs/2407.11537) fine-tunes likewise. The
defaults are those of ViT-B. `finetune_sgd` is the same with SGD, as contrastive methods do it.

Note:
    MAE's code also applies RandAugment (magnitude 9) to every view; here views are cropped and
    flipped only, then erased and mixed as there.
"""

from jaxtyping import Float
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.engine import checkpoint
from masquerade.engine.launch import launched
from masquerade.evaluate import linear
from masquerade.evaluate.base import Head, Prediction, Protocol, Result
from masquerade.evaluate.classifier import Known, labelled, measured
from masquerade.evaluate.frozen import Frozen
from masquerade.evaluate.logistic import Solution
from masquerade.evaluate.training import fitting
from masquerade.evaluate.tuning import Job, TuningConfig, place, work
from masquerade.networks.backbone import Backbone

ENCODER = "encoder."  # before the names of the network's tensors in a head's file


class Config(TuningConfig):
    """Settings of fine-tuning: `tuning.TuningConfig` has them all."""

    def build(self) -> "Finetune":
        return Finetune(self)

    def restore(self, tensors: dict[str, Tensor], classes: tuple[str, ...]) -> "Tuned":
        weights = {n.removeprefix(ENCODER): t for n, t in tensors.items() if n.startswith(ENCODER)}
        return Tuned(self, classes, weights, Solution(tensors["weight"], tensors["bias"]))


class Tuned(Head):
    """A fine-tuned network: its own encoder, and the linear classifier on it.

    Attributes:
        weights: Of the encoder's model.
        probe: The classifier.
    """

    config: Config

    def __init__(
        self,
        config: Config,
        classes: tuple[str, ...],
        weights: dict[str, Tensor],
        solution: Solution,
    ) -> None:
        super().__init__(config, classes)
        self.weights = weights
        self.probe = linear.Probe(linear.Config(), classes, solution)

    def encoder(self, given: Frozen) -> Frozen:
        """The fine-tuned encoder; the given one is what it was made from, and says how."""
        backbone = self.config.adapt().backbone(trainable(given))
        backbone.body.load_state_dict(self.weights)
        found = backbone.to(given.device).eval()
        return Frozen.of(found, bf16=given.bf16, cache=given.cache)

    def predict(self, features: Float[Tensor, "N D"]) -> Prediction:
        return self.probe.predict(features)

    def logits(self, features: Float[Tensor, "N D"]) -> Float[Tensor, "N K"]:
        return self.probe.logits(features)

    def tensors(self) -> dict[str, Tensor]:
        named = {f"{ENCODER}{name}": t for name, t in self.weights.items()}
        return {**self.probe.tensors(), **named}


class Finetune(Protocol):
    """Trains a copy of the encoder with a classifier, measures it, and gives it as the head."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(
        self, encoder: Frozen, train: ImageSet, tests: dict[str, ImageSet], seed: Seed
    ) -> Result:
        """Fine-tune on `train`, measure on each of `tests`.

        Training that was cut goes on at its last checkpoint, and one that has ended is not
        repeated, where the encoder has a cache.
        """
        config, known = self.config, labelled(train, self.config.kind)
        part = labels_only(train, known)
        batch = fitting(config.batch, config.devices, len(part))
        job = Job(config.replace(batch=batch), trainable(encoder), part, len(known.classes))
        runtime = encoder.runtime(config.devices)
        with place(encoder, job, runtime, seed) as folder, folder.locked():
            launched(runtime, work, job, str(folder.path), seed, two_players=False)
            state = checkpoint.load(folder)
        assert state is not None  # the last step always writes one
        head = tuned(config, known.classes, state.task)
        found = measured(head.encoder(encoder), {"": head}, tests, config)
        notes = (*said(config, batch, len(part)), *found.notes)
        return Result(found.metrics, found.arrays, head, notes)


def trainable(encoder: Frozen) -> Backbone:
    """The backbone of an encoder.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(encoder.encoder, Backbone):
        raise ValueError(f"{type(encoder.encoder).__name__} has no weights that could be trained")
    return encoder.encoder


def labels_only(train: ImageSet, known: Known) -> ImageSet:
    """The labelled images."""
    return train if len(known.rows) == len(train) else train.subset(known.rows)


def tuned(config: Config, classes: tuple[str, ...], state: dict[str, Tensor]) -> Tuned:
    """The head from the state of a finished task."""
    before = "backbone.body."
    weights = {n.removeprefix(before): t for n, t in state.items() if n.startswith(before)}
    solution = Solution(state["classifier.weight"], state["classifier.bias"])
    return Tuned(config, classes, weights, solution)


def said(config: Config, batch: int, images: int) -> tuple[str, ...]:
    """What was trained, and where it is less than was asked for."""
    what = "a classifier trained on the frozen network with" if config.frozen else "fine-tuned on"
    line = (
        f"{what} {images:,} images, {config.epochs} epochs, batch {batch}, "
        f"{config.optimizer.described()}"
    )
    if config.layer_decay < 1:
        line += f", times {config.layer_decay:g} for each layer below"
    if batch == config.batch:
        return (line,)
    return line, f"batch={batch} in the place of {config.batch}, as there are {images:,} images"
