"""White-box attacks on a fitted classifier: how many images are still named right per budget.

The whole network is attacked in float32 and evaluation mode, from pixels in [0, 1] on. An image
counts as robust at a budget if every attack with it, and with every smaller one, fails.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from masquerade.attacks import auto, pgd
from masquerade.attacks.base import AttackConfig, Loss
from masquerade.attacks.budget import Budget, Norm, length
from masquerade.attacks.measures import Measure, against
from masquerade.core.config import Settings
from masquerade.core.seed import Seed
from masquerade.engine.extract import evaluating
from masquerade.evaluate.judged import Judge

Attempt = Callable[[Tensor, Tensor], Tensor]  # images and labels in, images out
BLIND = pgd.Config(steps=10)  # what attacks an encoder without labels


class Strike(Settings):
    """One attack on a classifier.

    Attributes:
        attack: How the loss is raised.
        measure: Which loss: cross entropy, the margin between the right class and the next, or
            that margin relative to the spread of the scores.
        restarts: Tries with other random starts; one success is enough.
    """

    attack: AttackConfig = pgd.Config()
    measure: Measure = "ce"
    restarts: int = Field(1, ge=1)


class Target:
    """A fitted classifier as one differentiable function of pixels."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        encoder = judge.encoder
        mean, std = (torch.tensor(v, device=encoder.device) for v in (encoder.mean, encoder.std))
        self.mean, self.std = mean[:, None, None], std[:, None, None]

    def features(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """What the head takes, of images in [0, 1]."""
        encoder = self.judge.encoder
        found: Tensor = encoder.encoder((images - self.mean) / self.std)
        if self.judge.head.config.layer == "projector" and encoder.projector is not None:
            found = encoder.projector(found)
        return found

    def logits(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """The scores before the softmax."""
        return self.judge.head.logits(self.features(images))

    @torch.no_grad()
    def right(
        self, images: Float[Tensor, "B C H W"], labels: Int[Tensor, " B"]
    ) -> Bool[Tensor, " B"]:
        """Whether the head names each image right, whatever kind of head it is."""
        told = self.judge.head.predict(self.features(images).float().cpu()).label
        return told.to(labels) == labels

    def away(self, images: Float[Tensor, "B C H W"]) -> Loss:
        """How far features move from those of these images."""
        with torch.no_grad():
            still = self.features(images)
        return lambda changed: (self.features(changed) - still).flatten(1).norm(dim=1)


class Curve(NamedTuple):
    """What is left of an accuracy at each budget.

    Attributes:
        norm: How budgets are measured.
        budgets: Ascending, where white is 1.
        clean: The share of images named right before any attack.
        attacked: After all attacks with labels; nan where none was asked for.
        noise: After random noise of the same size: each value up or down by a whole budget, for
            L2 a random direction.
        blind: After an attack on the encoder that sees no label; nan where none was asked for.
        smallest: For each image the smallest budget that fooled the classifier; 0 = it was wrong
            already, infinite = none did.
    """

    norm: Norm
    budgets: tuple[float, ...]
    clean: float
    attacked: tuple[float, ...]
    noise: tuple[float, ...]
    blind: tuple[float, ...]
    smallest: Float[Tensor, " N"]


class Siege(NamedTuple):
    """What a classifier is attacked with.

    Attributes:
        strikes: With labels.
        blind: Whether the encoder is attacked without labels, too.
        autoattack: Whether AutoAttack follows on what has withstood the strikes.
    """

    strikes: tuple[Strike, ...]
    blind: bool
    autoattack: bool

    def curve(
        self,
        target: Target,
        batches: list[tuple[Tensor, Tensor]],
        norm: Norm,
        budgets: tuple[float, ...],
        seed: Seed,
    ) -> Curve:
        """Attack images with growing budgets; what has fallen is not attacked again.

        Args:
            target: The classifier.
            batches: Images in [0, 1] with their labels.
            norm: Of the budgets.
            budgets: Ascending.
            seed: Of all draws.
        """
        sizes = [Budget(norm, epsilon) for epsilon in budgets]
        encoder = target.judge.encoder
        with evaluating(encoder.encoder), still(encoder.encoder):
            outcomes = [
                self._outcome(target, *batch, sizes, seed.fold(norm, "batch", number))
                for number, batch in enumerate(batches)
            ]
        smallest, noise, blind = (torch.cat(rows, dim=-1) for rows in zip(*outcomes, strict=True))
        attacked = smallest > torch.tensor(budgets, dtype=torch.float64)[:, None]
        none = (float("nan"),) * len(budgets)
        struck = bool(self.strikes) or self.autoattack
        return Curve(
            norm,
            budgets,
            float((smallest > 0).double().mean()),
            shares(attacked) if struck else none,
            shares(noise),
            shares(blind) if self.blind else none,
            smallest,
        )

    def _outcome(
        self,
        target: Target,
        images: Float[Tensor, "B C H W"],
        labels: Int[Tensor, " B"],
        budgets: list[Budget],
        seed: Seed,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The smallest budget that fools for each image; whether noise and blind attacks do not."""
        alive = target.right(images, labels)
        smallest = torch.zeros(len(labels), dtype=torch.float64)
        smallest[alive.cpu()] = torch.inf
        noisy, unseen = [], []
        for k, budget in enumerate(budgets):
            where, before = seed.fold(k), alive
            alive = self._standing(target, images, labels, alive, budget, where)
            smallest[(before & ~alive).cpu()] = budget.epsilon
            noisy.append(target.right(randomly(images, budget, where), labels).cpu())
            if self.blind:
                away = target.away(images)
                moved = BLIND.build(budget).perturb(images, away, where.fold("blind"))
                unseen.append(target.right(moved, labels).cpu())
        return smallest, torch.stack(noisy), torch.stack(unseen or noisy)

    def _standing(
        self,
        target: Target,
        images: Float[Tensor, "B C H W"],
        labels: Int[Tensor, " B"],
        alive: Bool[Tensor, " B"],
        budget: Budget,
        seed: Seed,
    ) -> Bool[Tensor, " B"]:
        """Which of the images that have withstood so far withstand this budget, too."""
        alive = alive.clone()
        for attempt in self._attempts(target, budget, seed):
            rows = torch.nonzero(alive)[:, 0]
            if len(rows):
                found = attempt(images[rows], labels[rows])
                alive[rows] = target.right(found, labels[rows])
        return alive

    def _attempts(self, target: Target, budget: Budget, seed: Seed) -> Iterator[Attempt]:
        for k, strike in enumerate(self.strikes):
            for restart in range(strike.restarts):
                yield partial(struck, target, strike, budget, seed.fold("strike", k, restart))
        if self.autoattack:
            where = seed.fold("auto")
            yield lambda x, y: auto.attacked(target.logits, x, y, budget, where)


def shares(right: Bool[Tensor, "n N"]) -> tuple[float, ...]:
    """The share of images of each row."""
    return tuple(right.double().mean(dim=1).tolist())


@contextmanager
def still(module: nn.Module) -> Iterator[None]:
    """Within it no graph is recorded for the parameters, which takes a third of the memory."""
    before = [(p, p.requires_grad) for p in module.parameters()]
    module.requires_grad_(False)
    try:
        yield
    finally:
        for p, old in before:
            p.requires_grad_(old)


def struck(
    target: Target,
    strike: Strike,
    budget: Budget,
    seed: Seed,
    images: Float[Tensor, "B C H W"],
    labels: Int[Tensor, " B"],
) -> Float[Tensor, "B C H W"]:
    """What one try of one attack makes of images."""
    loss = against(target.logits, labels, strike.measure)
    return strike.attack.build(budget).perturb(images, loss, seed)


def randomly(
    images: Float[Tensor, "B C H W"], budget: Budget, seed: Seed
) -> Float[Tensor, "B C H W"]:
    """Noise as large as the budget allows, and no larger than [0, 1] does."""
    drawn = torch.randn(images.shape, generator=seed.fold("noise").generator()).to(images)
    whole = drawn.sign() if budget.norm == "linf" else drawn / length(drawn)
    return (images + budget.epsilon * whole).clamp(0, 1)
