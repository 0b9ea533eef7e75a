"""Linear probe: how well a straight cut through frozen features tells the classes apart.

`mode=quick` solves the convex problem (multinomial logistic regression with an L2 penalty) and
chooses the penalty on held-out training images; `mode=sgd` trains as the papers do ("Adversarial
Masking for Self-Supervised Learning", Shi et al., 2022, https://arxiv.org/abs/2201.13100: SGD,
learning rate 0.1, 100 epochs, divided by 10 at 60 and 80).

Note:
    The papers train the probe on random crops and flips, and ADIOS's script with LARS. Here both
    modes see each training image once, as it is, so features are computed once.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import cross_entropy

from masquerade.core.config import Settings
from masquerade.core.seed import Seed
from masquerade.evaluate.base import Head, Prediction, ProtocolConfig
from masquerade.evaluate.classifier import Classifier, Examples, Fitted

# Tried from strong to weak. Relative to the mean loss of standardised features, so they mean the
# same whatever the number of images and the scale of the features.
PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
UNTRIED = 0.1  # where nothing can be held out to choose on


class Sgd(Settings):
    """Settings of `mode=sgd`.

    Attributes:
        lr: Learning rate of the first epochs.
        momentum: Share of the last update that is kept.
        decay: Weight decay.
        batch: Images of one step; all where there are fewer. An incomplete last batch of an
            epoch is left out.
        epochs: Passes over the features.
        drops: Epochs after which the learning rate is divided by 10.
    """

    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    decay: float = Field(0.0, ge=0)
    batch: int = Field(256, ge=1)
    epochs: int = Field(100, ge=1)
    drops: tuple[int, ...] = (60, 80)


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


class Solution(NamedTuple):
    """A linear classifier: scores are `features @ weight.T + bias`."""

    weight: Float[Tensor, "C D"]
    bias: Float[Tensor, " C"]


class Probe(Head):
    """A fitted linear classifier; scores are softmax probabilities.

    Attributes:
        solution: Its weights, on features as the encoder gives them.
    """

    def __init__(self, config: Config, classes: tuple[str, ...], solution: Solution) -> None:
        super().__init__(config, classes)
        self.solution = solution

    def tensors(self) -> dict[str, Tensor]:
        return self.solution._asdict()

    def predict(self, features: Float[Tensor, "N D"]) -> Prediction:
        weight, bias = self.solution
        if features.shape[1] != weight.shape[1]:
            raise ValueError(
                f"the probe was fitted on features of length {weight.shape[1]}, "
                f"got {features.shape[1]}: another encoder or layer than it was made with"
            )
        score = (features @ weight.cpu().T + bias.cpu()).softmax(dim=1)
        return Prediction(score.argmax(dim=1), score)


class Linear(Classifier):
    """The linear probe."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)

    def fit(self, examples: Examples, seed: Seed) -> Fitted:
        """Solves or trains, as the mode says."""
        if self.config.mode == "sgd":
            how = self.config.sgd
            solution = trained(examples, how, seed)
            note = f"linear probe, SGD, {how.epochs} epochs, learning rate {how.lr:g}"
            return Fitted(Probe(self.config, examples.classes, solution), (note,))
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


class Solved(NamedTuple):
    """The solution for one penalty."""

    penalty: float
    solution: Solution


def losses(rest: Examples, held: Examples) -> list[tuple[float, float]]:
    """(penalty, mean cross entropy on `held`) for solutions on `rest`.

    From strong to weak, until the loss has grown twice in a row: weaker ones only fit more noise.
    """
    tried: list[tuple[float, float]] = []
    for solved in path(rest, PENALTIES[-1]):
        scores = held.features @ solved.solution.weight.T + solved.solution.bias
        tried.append((solved.penalty, float(cross_entropy(scores, held.labels))))
        last = [loss for _, loss in tried[-3:]]
        if len(last) == 3 and last[0] < last[1] < last[2]:
            break
    return tried


def path(examples: Examples, last: float) -> Iterator[Solved]:
    """The solution for each penalty from the strongest to `last`, each started at the one before.

    Minimises mean cross entropy + penalty / 2 * |weight|^2 over standardised features; the bias
    is free. What comes out applies to features as they are.
    """
    mean = examples.features.mean(dim=0)
    std = examples.features.std(dim=0, correction=0)
    std = torch.where(std > 1e-6 * std.max().clamp(min=1e-30), std, std.new_tensor(torch.inf))
    x = (examples.features - mean) / std
    start = x.new_zeros(len(examples.classes), x.shape[1] + 1)
    for penalty in PENALTIES:
        if penalty < last:
            return
        start = minimised(x, examples.labels, penalty, start)
        weight = start[:, :-1] / std
        yield Solved(penalty, Solution(weight, start[:, -1] - weight @ mean))


def minimised(
    x: Float[Tensor, "N D"],
    labels: Int[Tensor, " N"],
    penalty: float,
    start: Float[Tensor, "C D1"],
) -> Float[Tensor, "C D1"]:
    """Weights, and the bias as last column, where the penalised loss is smallest (L-BFGS)."""
    table = start.clone().requires_grad_()
    solver = torch.optim.LBFGS(
        [table],
        max_iter=200,
        tolerance_grad=1e-5,
        tolerance_change=1e-7,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        solver.zero_grad()
        scores = x @ table[:, :-1].T + table[:, -1]
        total = cross_entropy(scores, labels) + penalty / 2 * table[:, :-1].square().sum()
        total.backward()
        return total

    solver.step(loss)
    return table.detach()


def trained(examples: Examples, how: Sgd, seed: Seed) -> Solution:
    """A linear layer trained by SGD on features as they are."""
    features, labels = examples.features, examples.labels
    count, width = features.shape
    bound = width**-0.5  # as torch.nn.Linear starts
    drawn = torch.rand(len(examples.classes), width + 1, generator=seed.fold("init").generator())
    table = ((2 * drawn - 1) * bound).to(features.device).requires_grad_()
    solver = torch.optim.SGD([table], lr=how.lr, momentum=how.momentum, weight_decay=how.decay)
    schedule = torch.optim.lr_scheduler.MultiStepLR(solver, list(how.drops))
    batch = min(how.batch, count)
    for epoch in range(how.epochs):
        order = torch.randperm(count, generator=seed.fold("epoch", epoch).generator())
        for rows in torch.split(order[: count // batch * batch], batch):
            solver.zero_grad()
            scores = features[rows] @ table[:, :-1].T + table[:, -1]
            cross_entropy(scores, labels[rows]).backward()
            solver.step()
        schedule.step()
    table = table.detach()
    return Solution(table[:, :-1].contiguous(), table[:, -1].contiguous())
