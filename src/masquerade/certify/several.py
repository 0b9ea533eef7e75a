"""Base networks of one shape, trained side by side: each has its images, its steps, its seed.

More than one are computed as one, their weights stacked (`torch.func`). Whatever the images of one
are, the shapes of what is computed do not change, so nothing of it reaches the others.
"""

import copy
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.func import functional_call, vmap

from masquerade.certify.learners.networks import Config
from masquerade.certify.views import Scale, shifted
from masquerade.core.seed import Seed
from masquerade.core.types import precise
from masquerade.engine.clock import Clock
from masquerade.engine.task import Carry, Group, Progress, Task, Terms

SEED = Seed(0).fold("certify", "networks")  # fixed: it must not be chosen with the data in sight


class Lesson(NamedTuple):
    """What one network learns from.

    Attributes:
        pixels: Its images, in canonical order.
        labels: Their classes.
        model: Its number.
        version: Which of several networks of one partition.
    """

    pixels: UInt8[Tensor, "N C S S"]
    labels: Int[Tensor, " N"]
    model: int
    version: int

    @property
    def seed(self) -> Seed:
        """The root of all its randomness."""
        return SEED.fold(self.model, self.version)

    def rows(self, step: int, batch: int) -> Int[Tensor, " B"]:
        """The images of a step: a fresh order of all each epoch, filled up at its end."""
        epoch_steps = -(-len(self.labels) // batch)
        epoch, place = divmod(step, epoch_steps)
        order = self.seed.fold("order", epoch).generator()
        drawn = torch.randperm(len(self.labels), generator=order)
        return drawn[torch.arange(place * batch, (place + 1) * batch) % len(drawn)]


class Several(Task):
    """Networks that are trained side by side, each a player of its own.

    Attributes:
        nets: The networks.
        lengths: Steps of each; 0 for one without images.
        alive: Whether its weights are finite. One that diverges is set to zeros and stops: an
            attacker may make it so, and the others must not notice.
    """

    alive: Tensor

    def __init__(self, nets: list[nn.Module], lengths: list[int]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)
        self.lengths = lengths
        self.register_buffer("alive", torch.ones(len(nets), dtype=torch.bool))
        self._shape = (copy.deepcopy(nets[0]).to("meta"),)  # in a tuple: no part of the state

    def players(self) -> dict[str, list[Group]]:
        return {
            str(i): [Group("network", list(net.parameters()))] for i, net in enumerate(self.nets)
        }

    def rounds(self, progress: Progress) -> tuple[tuple[str, ...], ...]:
        alive = self.alive.tolist()
        going = [alive[i] and progress.step < steps for i, steps in enumerate(self.lengths)]
        names = tuple(str(i) for i, still in enumerate(going) if still)
        return (names,) if names else ()

    def forward(
        self,
        batch: tuple[Float[Tensor, "M B C S S"], Int[Tensor, "M B"]],
        players: tuple[str, ...],
        seed: Seed,
        progress: Progress,
        carry: Carry,
    ) -> Terms:
        """The sum of the players' mean cross entropies: each has the gradient of its own."""
        images, labels = batch
        some = [int(name) for name in players]
        if len(self.nets) == 1:
            losses = cross_entropy(self.nets[0](images[0]), labels[0])[None]
        else:
            losses = self._stacked(images, labels, some)
        return Terms(losses.sum(), {"loss": losses.detach().mean()})

    def _stacked(
        self, images: Float[Tensor, "M B C S S"], labels: Int[Tensor, "M B"], some: list[int]
    ) -> Float[Tensor, " P"]:
        """The losses of some of the networks, all of them computed together."""
        weights = stacked([dict(net.named_parameters()) for net in self.nets])
        states = [dict(net.named_buffers()) for net in self.nets]
        buffers = stacked(states)

        def loss(
            w: dict[str, Tensor], b: dict[str, Tensor], x: Tensor, y: Tensor
        ) -> Float[Tensor, ""]:
            return cross_entropy(functional_call(self._shape[0], (w, b), (x,)), y)

        losses: Tensor = vmap(loss)(weights, buffers, images, labels)
        for i in some:  # those that have ended keep their statistics
            for name, kept in states[i].items():
                kept.copy_(buffers[name][i])
        return losses[some]

    @torch.no_grad()
    def after_step(self, progress: Progress) -> None:
        """Stop networks whose weights are not finite any more."""
        for i, net in enumerate(self.nets):
            state = [t for t in net.state_dict().values() if t.is_floating_point()]
            if not nn.utils.get_total_norm(state).isfinite():
                torch._foreach_zero_(state)
                self.alive[i] = False

    def encoder(self) -> nn.Module:
        return self.nets


def cross_entropy(scores: Float[Tensor, "B C"], labels: Int[Tensor, " B"]) -> Float[Tensor, ""]:
    """The mean over the batch, in float32 at least."""
    return nn.functional.cross_entropy(precise(scores), labels)


def stacked(each: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors of equal names as one."""
    return {name: torch.stack([one[name] for one in each]) for name in each[0]}


class Batches:
    """The batch of a step, of all networks: a function of the step alone."""

    def __init__(self, lessons: list[Lesson], config: Config, device: torch.device) -> None:
        self.lessons = [
            lesson._replace(pixels=lesson.pixels.to(device), labels=lesson.labels.to(device))
            for lesson in lessons
        ]
        self.scales = [Scale.of(lesson.pixels) for lesson in lessons]
        self.config = config
        self.device = device

    def __call__(
        self, step: int, clock: Clock
    ) -> tuple[Float[Tensor, "M B C S S"], Int[Tensor, "M B"]]:
        """Views and labels."""
        clock.to("augmentation")
        shown = [self._one(*pair, step) for pair in zip(self.lessons, self.scales, strict=True)]
        return torch.stack([x for x, _ in shown]), torch.stack([y for _, y in shown])

    def _one(
        self, lesson: Lesson, scale: Scale, step: int
    ) -> tuple[Float[Tensor, "B C S S"], Int[Tensor, " B"]]:
        config = self.config
        if not len(lesson.labels):
            blank = torch.zeros(config.batch, *lesson.pixels.shape[1:], device=self.device)
            return blank, torch.zeros(config.batch, dtype=torch.int64, device=self.device)
        rows = lesson.rows(step, config.batch).to(self.device)
        seed = lesson.seed.fold("step", step)
        moved = shifted(lesson.pixels[rows], config.pad, config.flip, seed)
        return scale.applied(moved), lesson.labels[rows]
