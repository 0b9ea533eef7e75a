"""Linear probe: how well a straight cut through frozen features tells the classes apart.

`mode=quick` solves the convex problem (multinomial logistic regression with an L2 penalty) and
chooses the penalty on held-out training images; `mode=sgd` trains as the papers do ("Adversarial
Masking for Self-Supervised Learning", Shi et al., 2022, https://arxiv.org/abs/2201.13100: SGD,
learning rate 0.1, 100 epochs, divided by 10 at 60 and 80). `moco`, `simsiam` and `wmse` are what
the code bases of MixMask's frameworks do (papers/mixmask.md, section 7).

Note:
    The papers train the probe on random crops and flips, and ADIOS's script with LARS; only
    W-MSE's code takes the images as they are. Here both modes see each training image once, as it
    is, so features are computed once.
"""

import math
from collections import deque
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import cross_entropy

from masquerade.core.config import Settings
from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.evaluate.base import Head, Prediction, ProtocolConfig, Result
from masquerade.evaluate.classifier import Classifier, Examples, Fitted, aligned
from masquerade.evaluate.frozen import Frozen
from masquerade.evaluate.logistic import PENALTIES, Solution, losses, path
from masquerade.evaluate.metrics import top

UNTRIED = 0.1  # the penalty where nothing can be held out to choose on


class Sgd(Settings):
    """Settings of `mode=sgd`.

    Attributes:
        optimizer: `sgd` with momentum, or `adam`, whose decay is L2 in the gradient.
        lr: Learning rate at the start.
        momentum: Share of the last update that `sgd` keeps.
        decay: Weight decay.
        batch: Images of one step; all where there are fewer. An incomplete last batch of an
            epoch is left out.
        epochs: Passes over the features.
        shape: How the rate falls. `drops` divides it by 10 at some epochs, `cosine` takes it to 0
            step by step, `exponential` multiplies it by one factor after every epoch.
        drops: Epochs after which the learning rate is divided by 10.
        end: The rate that `exponential` has come down to after the last epoch.
        init: Weights at the start: `uniform` within 1 / sqrt(length of the features), as a layer
            of torch, or `normal` with deviation 0.01 and biases of 0, as in MoCo's code.
        best: Whether the best epoch is reported beside the last (`test/best_top1`, and every
            epoch as `epochs/test`). It is chosen on the very images it is measured on, as MoCo's
            code does: more than one can have without their labels.
    """

    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    decay: float = Field(0.0, ge=0)
    batch: int = Field(256, ge=1)
    epochs: int = Field(100, ge=1)
    shape: Literal["drops", "cosine", "exponential"] = "drops"
    drops: tuple[int, ...] = (60, 80)
    end: float = Field(0.0, ge=0)
    init: Literal["uniform", "normal"] = "uniform"
    best: bool = False

    @model_validator(mode="after")
    def _read(self) -> "Sgd":
        if self.optimizer == "adam" and self.momentum != 0.9:
            raise ValueError(f"momentum={self.momentum:g} is not read with optimizer=adam")
        if self.shape != "drops" and self.drops != (60, 80):
            raise ValueError(f"drops={list(self.drops)} is not read with shape={self.shape}")
        if (self.shape == "exponential") != (self.end > 0):
            raise ValueError(
                "shape=exponential needs an end above 0, and end is read with it only; "
                f"got shape={self.shape}, end={self.end:g}"
            )
        return self

    def rate(self, step: int, epoch_steps: int) -> float:
        """The learning rate of a step, counted from 0, in epochs of so many."""
        epoch = step // epoch_steps
        if self.shape == "cosine":
            return self.lr * (1 + math.cos(math.pi * step / (epoch_steps * self.epochs))) / 2
        if self.shape == "exponential":
            return self.lr * math.pow(self.end / self.lr, epoch / self.epochs)
        rate = self.lr
        for drop in self.drops:
            rate *= 0.1 if drop <= epoch else 1.0
        return rate

    def described(self) -> str:
        """The training in a few words."""
        fall = {"drops": "", "cosine": ", cosine", "exponential": f", exponential to {self.end:g}"}
        name = {"sgd": "SGD", "adam": "Adam"}[self.optimizer]
        return f"{name}, {self.epochs} epochs, learning rate {self.lr:g}{fall[self.shape]}"


class Config(ProtocolConfig):
    """Settings of the linear probe.

    Attributes:
        mode: `quick` solves, `sgd` trains as the papers do.
        sgd: How `mode=sgd` trains.
    """

    mode: Literal["quick", "sgd"] = "quick"
    sgd: Sgd = Sgd()

    @model_validator(mode="after")
    def _read(self) -> "Config":
        if self.mode == "quick" and self.sgd != Sgd():
            raise ValueError("the settings under sgd are read in mode=sgd only; set that too")
        return self

    def build(self) -> "Linear":
        return Linear(self)

    def restore(self, tensors: dict[str, Tensor], classes: tuple[str, ...]) -> "Probe":
        return Probe(self, classes, Solution(tensors["weight"], tensors["bias"]))


class Probe(Head):
    """A fitted linear classifier; scores are softmax probabilities.

    Attributes:
        solution: Its weights, on features as the encoder gives them.
        epochs: The weights after each epoch of its training, where these are kept (`sgd.best`).
    """

    def __init__(
        self,
        config: Config,
        classes: tuple[str, ...],
        solution: Solution,
        epochs: tuple[Solution, ...] = (),
    ) -> None:
        super().__init__(config, classes)
        self.solution = solution
        self.epochs = epochs

    def tensors(self) -> dict[str, Tensor]:
        return self.solution._asdict()

    def logits(self, features: Float[Tensor, "N D"]) -> Float[Tensor, "N K"]:
        weight, bias = (t.to(features) for t in self.solution)
        return features @ weight.T + bias

    def predict(self, features: Float[Tensor, "N D"]) -> Prediction:
        weight, _ = self.solution
        if features.shape[1] != weight.shape[1]:
            raise ValueError(
                f"the probe was fitted on features of length {weight.shape[1]}, "
                f"got {features.shape[1]}: another encoder or layer than it was made with"
            )
        score = self.logits(features.cpu()).softmax(dim=1)
        return Prediction(score.argmax(dim=1), score)


class Linear(Classifier):
    """The linear probe."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)

    def run(
        self, encoder: Frozen, train: ImageSet, tests: dict[str, ImageSet], seed: Seed
    ) -> Result:
        """As every classifier; with `sgd.best` each epoch is measured, too."""
        result = super().run(encoder, train, tests, seed)
        head = result.head
        if not isinstance(head, Probe) or not head.epochs:
            return result
        metrics, arrays, notes = dict(result.metrics), dict(result.arrays), [*result.notes]
        for name, images in tests.items():
            labels = aligned(images, head.classes)
            rows = labels >= 0
            if not rows.any():
                continue
            features = encoder.features(images, self.config.crop, self.config.layer)[rows]
            heads = (Probe(self.config, head.classes, solution) for solution in head.epochs)
            right = [top(h.predict(features).score, labels[rows], 1) for h in heads]
            share = np.array([float(r.double().mean()) for r in right])
            metrics[f"{name}/best_top1"] = float(share.max())
            arrays[f"epochs/{name}"] = share
            notes.append(
                f"{name}: best_top1 is that of epoch {share.argmax() + 1} of {len(share)}, chosen "
                "on these images; top1 is the last epoch's"
            )
        return result._replace(metrics=metrics, arrays=arrays, notes=tuple(notes))

    def fit(self, examples: Examples, seed: Seed) -> Fitted:
        """Solves or trains, as the mode says."""
        if self.config.mode == "sgd":
            how = self.config.sgd
            kept = deque(descended(examples, how, seed), maxlen=None if how.best else 1)
            epochs = tuple(kept) if how.best else ()
            head = Probe(self.config, examples.classes, kept[-1], epochs)
            return Fitted(head, (f"linear probe, {how.described()}",))
        parts = examples.parted(seed)
        tried = [] if parts is None else losses(*parts)
        penalty, why = UNTRIED, "as there are too few training images to hold some out"
        if tried:
            penalty = min(tried, key=lambda entry: entry[1])[0]
            why = f"the best of {len(PENALTIES)} on held-out training images"
        solution = list(path(examples, penalty))[-1].solution
        note = f"linear probe, logistic regression, penalty {penalty:g}: {why}"
        head = Probe(self.config, examples.classes, solution)
        return Fitted(head, (note,), arrays={"penalties": np.array(tried).reshape(-1, 2)})


def descended(examples: Examples, how: Sgd, seed: Seed) -> Iterator[Solution]:
    """A linear layer trained on features as they are: what it is after each epoch."""
    features, labels = examples.features, examples.labels
    count, width = features.shape
    table = started(len(examples.classes), width, how, seed).to(features.device).requires_grad_()
    solver: torch.optim.Optimizer = torch.optim.Adam([table], weight_decay=how.decay)
    if how.optimizer == "sgd":
        solver = torch.optim.SGD([table], momentum=how.momentum, weight_decay=how.decay)
    batch = min(how.batch, count)
    steps = count // batch
    for epoch in range(how.epochs):
        order = torch.randperm(count, generator=seed.fold("epoch", epoch).generator())
        for step, rows in enumerate(torch.split(order[: steps * batch], batch)):
            solver.param_groups[0]["lr"] = how.rate(epoch * steps + step, steps)
            solver.zero_grad()
            scores = features[rows] @ table[:, :-1].T + table[:, -1]
            cross_entropy(scores, labels[rows]).backward()
            solver.step()
        after = table.detach()
        yield Solution(after[:, :-1].clone(), after[:, -1].clone())


def started(classes: int, width: int, how: Sgd, seed: Seed) -> Float[Tensor, "C D1"]:
    """Weights, and the biases as last column, before the first step."""
    stream = seed.fold("init").generator()
    if how.init == "normal":
        weight = 0.01 * torch.randn(classes, width, generator=stream)
        return torch.cat([weight, torch.zeros(classes, 1)], dim=1)
    bound: float = width**-0.5
    return (2 * torch.rand(classes, width + 1, generator=stream) - 1) * bound


def moco() -> Config:
    """MoCo's on ImageNet, MixMask's too: rate 30, dropped at 60 and 80; last and best epoch."""
    return Config(mode="sgd", crop=224 / 256, sgd=Sgd(lr=30, init="normal", best=True))


def simsiam() -> Config:
    """PatrickHua's SimSiam on 32-pixel images: rate 30, cosine, tested on 32 of 36 pixels."""
    return Config(mode="sgd", crop=32 / 36, sgd=Sgd(lr=30, shape="cosine"))


def wmse() -> Config:
    """W-MSE's code: Adam from 1e-2 to 1e-6 over 500 epochs, batches of 1000."""
    how = Sgd(
        optimizer="adam", lr=1e-2, end=1e-6, shape="exponential", epochs=500, batch=1000, decay=5e-6
    )
    return Config(mode="sgd", sgd=how)
