"""What a whole training step computes: counted over the product's loop, and from its pieces.

PyTorch counts the FLOPs of one step of the real loop, forward and backward of every round, and
one layer in the middle of each network tells how many passes went through it. What it ought to
be follows from the bill of the step and the pieces, each counted by itself.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from benchmarks.bills import Bill
from benchmarks.black_box import BlackBox
from benchmarks.cost_table import Row
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.engine.clock import Clock
from masquerade.engine.loop import Plan, train
from masquerade.engine.meter import Meter
from masquerade.engine.optimizers import sgd
from masquerade.engine.runtime import Runtime
from masquerade.engine.task import Carry, Progress, Task
from masquerade.maskers.adios import Adios
from masquerade.maskers.sequential import Sequential
from masquerade.networks import backbone
from masquerade.pretext.game import Game
from masquerade.pretext.siamese import Siamese

SIZE = 96
CLASSES = 10  # of the online probe
Shape = tuple[int, ...]
Measured = Siamese | BlackBox


class Parts(NamedTuple):
    """FLOPs of the pieces a step is made of, each of one forward of the batch.

    Attributes:
        encoder: f: backbone and projector.
        projector: The projector alone.
        predictor: The predictor alone, 0 without one.
        stem: The encoder's first convolution. Its input gradient (as many FLOPs again) is
            computed only where the image was masked with gradient.
        masker: u: the mask network with its head; 0 without one.
        entry: The mask network's first convolution, whose input gradient is computed only where
            its input contains earlier masks.
    """

    encoder: int
    projector: int
    predictor: int
    stem: int
    masker: int
    entry: int

    def expected(self, bill: Bill) -> float:
        """FLOPs of a bill, in units of f.

        A backward pass costs twice its forward: once for the weights, once for the inputs.
        """
        flops = (
            bill.f() * self.encoder
            - bill.learn * self.stem
            + (bill.heads - bill.probed) * self.projector
            + bill.predictor * self.predictor
            + bill.u() * self.masker
            - bill.taught * self.entry
        )
        return flops / self.encoder


class Found(NamedTuple):
    """What a step computed.

    Attributes:
        flops: All FLOPs, in units of f.
        f: Passes through the middle of the encoder, a backward pass counted as two.
        u: The same of the mask network.
        expected: FLOPs from first principles, in units of f.
        unit: u in units of f.
    """

    flops: float
    f: float
    u: float
    expected: float
    unit: float


def task_of(row: Row, width: int, size: int = SIZE) -> Siamese:
    """The task of a row, with fresh weights and an online probe."""
    torch.manual_seed(Seed(0).fold("step_cost").integer())
    encoder = backbone.Config(name="resnet18").build(size, 3, (0.5,) * 3, (0.25,) * 3)
    settings = row.masker_of(width)
    return Siamese(
        row.objective.build(encoder),
        [settings.build(size, 3)] if settings else [],
        step=row.step or "reversal",
        classes=CLASSES,
        game=Game(every=row.every),
    )


def views_of(batch: int, device: torch.device, size: int = SIZE) -> Views:
    """Two fixed views in the layout that augmentation makes."""
    seed = Seed(0).fold("views", size)
    shape = (batch, 3, size, size)
    views = [torch.randn(shape, generator=seed.fold(v).generator()) for v in (0, 1)]
    placed = [v.to(device).contiguous(memory_format=torch.channels_last) for v in views]
    return Views(tuple(placed), torch.arange(batch, device=device) % CLASSES)


class Seconds(NamedTuple):
    """What one step took: on the wall clock, and of this process's processors."""

    wall: float
    cpu: float


def took(task: Task, views: Views, runtime: Runtime, steps: int = 1) -> Seconds:
    """Steps of the product's training loop, each timed from the batch to the last update.

    Returns:
        The mean over the steps.
    """
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
    plan = Plan(steps, steps, len(views.views[0]), dict(rates), quiet=True)
    with TemporaryDirectory() as folder:
        train(fabric, task, batch_at, plan, Seed(0), RunDir(folder), watch)
    pairs = list(zip(marks[::2], marks[1::2], strict=True))
    return Seconds(
        sum(end.wall - begin.wall for begin, end in pairs) / steps,
        sum(end.cpu - begin.cpu for begin, end in pairs) / steps,
    )


class Passes(TorchDispatchMode):
    """Counts how often the convolutions with certain weight shapes are run.

    Every batch of images counts 1 for its output, for the gradient of the weights, and for the
    gradient of the input.
    """

    def __init__(self, shapes: Sequence[Shape], batch: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.batch = batch
        self.counts: Counter[Shape] = Counter(dict.fromkeys(shapes, 0))

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        forward = func is torch.ops.aten.convolution.default
        if forward or func is torch.ops.aten.convolution_backward.default:
            images, weight = args[:2] if forward else args[1:3]
            if tuple(weight.shape) in self.counts:
                made = 1 if forward else sum(args[-1][:2])
                self.counts[tuple(weight.shape)] += made * len(images) // self.batch
        return func(*args, **(kwargs or {}))


def inner(network: nn.Module) -> Shape:
    """The weight shape of the last convolution that no other one of the network shares.

    It lies inside: its input gradient is computed in every backward pass.
    """
    shapes = [tuple(m.weight.shape) for m in network.modules() if isinstance(m, nn.Conv2d)]
    return [s for s, count in Counter(shapes).items() if count == 1][-1]


def forward_flops(images: Tensor, *modules: nn.Module) -> int:
    """FLOPs of one forward pass."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        nn.Sequential(*modules)(images)
    return int(counter.get_total_flops())


def network_of(task: Measured) -> Adios | Sequential | None:
    """The masker with the mask network, if there is one."""
    return next((m for m in task.modules() if isinstance(m, Adios | Sequential)), None)


def parts_of(task: Measured, images: Tensor) -> Parts:
    """FLOPs of the pieces, each counted by itself."""
    encoder = task.objective
    projector = encoder.get_submodule("projector")
    both = forward_flops(images, encoder.backbone, projector)
    predictor = 0
    if "predictor" in dict(encoder.named_children()):
        head = encoder.get_submodule("predictor")
        predictor = forward_flops(images, encoder.backbone, projector, head) - both
    masker, unit, entry = network_of(task), 0, 0
    if masker is not None:
        first = masker.unet.get_submodule("down.0.0")
        assert isinstance(first, nn.Conv2d)
        seen = images[:, :1].expand(-1, first.in_channels, -1, -1)
        unit = forward_flops(seen, masker.unet, masker.head)
        entry = forward_flops(seen, first)
    return Parts(
        both,
        both - forward_flops(images, encoder.backbone),
        predictor,
        forward_flops(images, encoder.backbone.get_submodule("body.conv1")),
        unit,
        entry,
    )


def counted(row: Row, width: int, batch: int, runtime: Runtime) -> Found:
    """A step of a row, counted; a mean over steps where they differ."""
    views = views_of(batch, runtime.device())
    return found_in(task_of(row, width), views, row.bill, runtime, row.every)


def found_in(task: Measured, views: Views, bill: Bill, runtime: Runtime, steps: int = 1) -> Found:
    """Steps of a task, counted, beside what its bill says; the mean over the steps."""
    parts, batch = parts_of(task, views.views[0].cpu()), len(views.views[0])
    masker = network_of(task)
    shapes = [inner(task.objective.backbone), *([inner(masker.unet)] if masker else [])]
    with ExitStack() as stack:
        flops = stack.enter_context(FlopCounterMode(display=False))
        passes = stack.enter_context(Passes(shapes, batch))
        took(task, views, runtime, steps)
    return Found(
        flops.get_total_flops() / steps / parts.encoder,
        passes.counts[shapes[0]] / steps,
        passes.counts[shapes[1]] / steps if masker else 0.0,
        parts.expected(bill),
        parts.masker / parts.encoder,
    )
