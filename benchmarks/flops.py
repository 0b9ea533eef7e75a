"""FLOPs of a whole training step: counted over the product's loop, and from first principles.

PyTorch counts what one step of the real loop computes, forward and backward of every round. What
it ought to be follows from the pieces of the step, each counted by itself.
"""

import time
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.engine.clock import Clock
from masquerade.engine.loop import Plan, train
from masquerade.engine.meter import Meter
from masquerade.engine.optimizers import sgd
from masquerade.engine.runtime import Runtime
from masquerade.engine.task import Carry, Progress
from masquerade.maskers import sequential
from masquerade.maskers.sequential import Sequential
from masquerade.networks import backbone
from masquerade.objectives import simclr
from masquerade.pretext.game import Step
from masquerade.pretext.siamese import Siamese

Variant = Literal["simclr", "shared", "reversal"]


class Case(NamedTuple):
    """One setting of encoder and mask network.

    Attributes:
        size: Side of the images in pixels; the backbone's stem follows from it.
        masks: N.
        width: Channels c of the mask network.
        norm: Of the mask network.
        printed: What section 14 of the paper file gives for each variant, in encoder forwards f:
            its "measured with a FLOP counter" line where that has the setting (of ADIOS with N
            slots, which costs the same passes), else its table's f-count and u-count.
        timed: Whether it is timed, too.
    """

    size: int
    masks: int
    width: int
    norm: Literal["gn", "in"]
    printed: dict[Variant, float]
    timed: bool = True

    @property
    def name(self) -> str:
        return f"{self.size} px, N={self.masks}, c={self.width} {self.norm}"


CASES = (
    Case(96, 4, 8, "gn", {"simclr": 5.87, "shared": 23.9, "reversal": 15.1}),
    Case(96, 4, 32, "in", {"simclr": 5.87, "shared": 26.3, "reversal": 17.6}),
    Case(96, 5, 8, "gn", {"simclr": 5.87, "shared": 29 + 0.18, "reversal": 18 + 0.18}, timed=False),
    Case(96, 5, 32, "in", {"simclr": 5.87, "shared": 29 + 2.64, "reversal": 18 + 2.64}),
    Case(96, 6, 32, "in", {"simclr": 5.87, "shared": 36.2, "reversal": 23.6}, timed=False),
    Case(32, 4, 8, "gn", {"simclr": 6, "shared": 24 + 0.012, "reversal": 15 + 0.012}),
)


class Parts(NamedTuple):
    """FLOPs of the pieces a step is made of, each of one forward of the batch.

    Attributes:
        encoder: f, backbone and projector.
        stem: The encoder's first convolution. Its input gradient (as many FLOPs again) is
            computed only where the input is an image that was masked with gradient.
        masker: u, the mask network with its head.
        entry: The mask network's first convolution, which never needs an input gradient.
    """

    encoder: int
    stem: int
    masker: int
    entry: int

    def expected(self, variant: Variant, masks: int) -> float:
        """FLOPs of a step from first principles, in units of f.

        A backward pass costs twice its forward: one for the weights, one for the inputs.
        """
        stem = self.stem / self.encoder
        masker = (3 * self.masker - self.entry) / self.encoder
        if variant == "simclr":  # 2 forwards, 2 backwards, neither into the images
            return 2 * 3 - 2 * stem
        if variant == "reversal":  # 1 + N forwards and backwards; N of them into the images
            return 3 * (1 + masks) - stem + masker
        first = (1 + masks) * (3 - stem)  # the encoder's round, which stops at the images
        second = 1 + masks * 2  # the masker's: clean without graph; N forwards, input gradients
        return first + second + masker


def variant_of(case: Case, variant: Variant) -> Siamese:
    """The task of a variant, with fresh weights."""
    torch.manual_seed(Seed(0).fold("step_cost").integer())
    encoder = backbone.Config(name="resnet18").build(case.size, 3, (0.5,) * 3, (0.25,) * 3)
    objective = simclr.Config().build(encoder)
    if variant == "simclr":
        return Siamese(objective, [])
    settings = sequential.Config(masks=case.masks, width=case.width, norm=case.norm)
    return Siamese(objective, [settings.build(case.size, 3)], step=step_of(variant))


def step_of(variant: Variant) -> Step:
    """The setting `step` of a Sequential variant."""
    return "shared" if variant == "shared" else "reversal"


def views_of(case: Case, batch: int, device: torch.device) -> Views:
    """Two fixed views in the layout that augmentation makes."""
    seed = Seed(0).fold("views", case.size)
    shape = (batch, 3, case.size, case.size)
    views = [torch.randn(shape, generator=seed.fold(v).generator()) for v in (0, 1)]
    placed = [v.to(device).contiguous(memory_format=torch.channels_last) for v in views]
    return Views(tuple(placed), None)


class Seconds(NamedTuple):
    """What one step took: on the wall clock, and of this process's processors."""

    wall: float
    cpu: float


def one_step(task: Siamese, views: Views, runtime: Runtime) -> Seconds:
    """One step of the product's training loop, timed from the batch to the last update."""
    fabric = runtime.fabric(two_players=True)
    marks: list[Seconds] = []

    def mark() -> None:
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()
        marks.append(Seconds(time.perf_counter(), time.process_time()))

    def batch_at(step: int, clock: Clock) -> Views:
        mark()
        return views

    def watch(now: Progress, carry: Carry, meter: Meter) -> dict[str, float | str]:
        mark()
        return {}

    rates = {player: sgd.Config(lr=1e-3) for player in task.players()}
    plan = Plan(1, 1, len(views.views[0]), dict(rates), quiet=True)
    with TemporaryDirectory() as folder:
        train(fabric, task, batch_at, plan, Seed(0), RunDir(folder), watch)
    begun, ended = marks
    return Seconds(ended.wall - begun.wall, ended.cpu - begun.cpu)


def flops_of_step(case: Case, variant: Variant, batch: int, runtime: Runtime) -> int:
    """FLOPs of a whole step: every round, forward and backward."""
    task = variant_of(case, variant)
    views = views_of(case, batch, runtime.device())
    with FlopCounterMode(display=False) as counter:
        one_step(task, views, runtime)
    return int(counter.get_total_flops())


def forward_flops(module: nn.Module, images: Tensor) -> int:
    """FLOPs of one forward pass."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(images)
    return int(counter.get_total_flops())


def parts_of(case: Case, batch: int) -> Parts:
    """FLOPs of the pieces, each counted by itself."""
    task = variant_of(case, "reversal")
    images = views_of(case, batch, torch.device("cpu")).views[0]
    encoder = task.objective
    assert isinstance(encoder, simclr.SimCLR)
    masker = task.masker_list()[0]
    assert isinstance(masker, Sequential)
    return Parts(
        forward_flops(nn.Sequential(encoder.backbone, encoder.projector), images),
        forward_flops(encoder.backbone.get_submodule("body.conv1"), images),
        forward_flops(nn.Sequential(masker.unet, masker.head), images),
        forward_flops(masker.unet.get_submodule("down.0.0"), images),
    )


class Count(NamedTuple):
    """The FLOPs of a variant, in encoder forwards f.

    Attributes:
        counted: Over the real step.
        expected: From first principles.
        printed: In the paper file.
    """

    counted: float
    expected: float
    printed: float

    def off(self) -> float:
        """The largest relative distance to what was expected or printed."""
        return max(abs(self.counted / aim - 1) for aim in (self.expected, self.printed))


def counts_of(case: Case, batch: int, runtime: Runtime) -> dict[Variant, Count]:
    """FLOPs of SimCLR and of both ways of Sequential."""
    parts = parts_of(case, batch)
    return {
        variant: Count(
            flops_of_step(case, variant, batch, runtime) / parts.encoder,
            parts.expected(variant, case.masks),
            case.printed[variant],
        )
        for variant in get_args(Variant)
    }
