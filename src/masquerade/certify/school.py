"""Units of training: a group of base networks, resumable, whose end is their weights as tensors."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from masquerade.certify.learners.base import alone
from masquerade.certify.learners.networks import Config
from masquerade.certify.several import Batches, Lesson, Several
from masquerade.certify.views import Scale
from masquerade.core.rundir import RunDir
from masquerade.engine.loop import Plan, train
from masquerade.engine.runtime import Runtime

Weights = dict[str, Tensor]  # of a network, and `mean` and `std` of its images; none if it diverged


class Machine(NamedTuple):
    """What networks are computed on; it decides about their last bits.

    Attributes:
        accelerator: The kind of device.
        precision: Of products and convolutions.
    """

    accelerator: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "float32", "bf16", "float64"]

    def runtime(self) -> Runtime:
        """One thread: more would share sums out differently."""
        found = Runtime(accelerator=self.accelerator, precision=self.precision, threads=1)
        return found.resolved()


class Unit(NamedTuple):
    """A group of networks that are trained together, and where.

    Attributes:
        config: How.
        lessons: What each learns from.
        classes: C.
        machine: On what.
        place: Where training that is cut goes on; gone once it has ended.
    """

    config: Config
    lessons: list[Lesson]
    classes: int
    machine: Machine
    place: Path

    def nets(self) -> list[nn.Module]:
        """The networks with fresh weights, each from its own seed."""
        made = []
        for lesson in self.lessons:
            torch.manual_seed(lesson.seed.fold("init").integer())
            channels, size = lesson.pixels.shape[1:3]
            made.append(self.config.network.build(size, channels, self.classes))
        return made


def learn(unit: Unit) -> list[Weights]:
    """Train a unit, from where it was cut if it was; the weights of its networks, on the CPU.

    A network without images is left as it was drawn.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came; the next call goes on.
    """
    config, run = unit.config, RunDir(unit.place)
    counts = [len(lesson.labels) for lesson in unit.lessons]
    task = Several(unit.nets(), [config.steps(n) for n in counts])
    plan = Plan(
        steps=max(task.lengths),
        epoch_steps=1,  # schedules count steps: networks have epochs of their own lengths
        batch=config.batch * len(counts),
        optimizers={str(i): config.optimizer(n) for i, n in enumerate(counts)},
        log_every=1 << 40,
        quiet=True,
    )
    with alone(), repeatable():
        runtime = unit.machine.runtime()
        fabric = runtime.fabric()
        batches = Batches(unit.lessons, config, fabric.device)
        train(fabric, task, batches, plan, unit.lessons[0].seed, run)
    shutil.rmtree(run.path)
    return [
        weights(net, scale) if alive else {}
        for net, scale, alive in zip(task.nets, batches.scales, task.alive.tolist(), strict=True)
    ]


def weights(net: nn.Module, scale: Scale) -> Weights:
    """What is kept of a network."""
    state = {name: t.detach().cpu().contiguous() for name, t in net.state_dict().items()}
    return {**state, "mean": scale.mean.cpu(), "std": scale.std.cpu()}


@contextmanager
def repeatable() -> Iterator[None]:
    """Kernels of cuDNN that give the same bits each time."""
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before


Learn = Callable[[Unit], list[Weights]]
