"""What a step of Sequential costs beside a step of SimCLR: FLOPs exactly, time in the same run.

FLOPs are counted by PyTorch over one whole step of the product's own training loop, forward and
backward of every round, and compared with what first principles and the cost table of the paper
file (adversarial_masking.md, section 14) say. Times are medians over repeats in which all
variants take turns, so that what else runs on the machine meets all of them alike.

    python benchmarks/step_cost.py
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks.machine import Goal, Spread, machine, table, write

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
from masquerade.pretext.siamese import Siamese, Step

Variant = Literal["simclr", "shared", "reversal"]
TOLERANCE = 0.03


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


def times_of(
    case: Case, batch: int, repeats: int, runtime: Runtime
) -> dict[Variant, list[Seconds]]:
    """Seconds of a step, the variants taking turns; a first turn warms up and does not count."""
    views = views_of(case, batch, runtime.device())
    tasks = {variant: variant_of(case, variant) for variant in get_args(Variant)}
    times: dict[Variant, list[Seconds]] = defaultdict(list)
    for turn in range(repeats + 1):
        for variant, task in tasks.items():
            took = one_step(task, views, runtime)
            if turn:
                times[variant].append(took)
    return times


def flop_rows(counts: dict[str, dict[Variant, Count]]) -> list[list[object]]:
    """One line per setting and variant."""
    return [
        [
            name,
            variant,
            f"{c.counted:.2f}",
            f"{c.expected:.2f}",
            f"{c.printed:.4g}",
            f"{c.off():.1%}",
            f"{c.counted / found['simclr'].counted:.2f}",
        ]
        for name, found in counts.items()
        for variant, c in found.items()
    ]


class Timed(NamedTuple):
    """Repeated times of a variant.

    Attributes:
        wall: Seconds of a step.
        cpu: CPU-seconds of a step.
        ratio_wall: Times SimCLR's wall seconds of the same turn.
        ratio_cpu: Times SimCLR's CPU-seconds of the same turn.
    """

    wall: Spread
    cpu: Spread
    ratio_wall: Spread
    ratio_cpu: Spread


def summarised(times: dict[Variant, list[Seconds]]) -> dict[Variant, Timed]:
    """Spreads over the turns; ratios are taken within a turn."""
    base = times["simclr"]
    return {
        variant: Timed(
            Spread.of([t.wall for t in own]),
            Spread.of([t.cpu for t in own]),
            Spread.of([t.wall / b.wall for t, b in zip(own, base, strict=True)]),
            Spread.of([t.cpu / b.cpu for t, b in zip(own, base, strict=True)]),
        )
        for variant, own in times.items()
    }


def time_rows(times: dict[str, dict[Variant, Timed]]) -> list[list[object]]:
    """One line per setting and variant."""
    return [
        [
            name,
            variant,
            t.wall.said(),
            t.cpu.said(),
            t.ratio_wall.said(),
            t.ratio_cpu.said(),
        ]
        for name, found in times.items()
        for variant, t in found.items()
    ]


def page(
    counts: dict[str, dict[Variant, Count]],
    times: dict[str, dict[Variant, Timed]],
    batch: int,
    runtime: Runtime,
) -> list[str]:
    """The text between goals and machine."""
    repeats = next(iter(times.values()))["simclr"].cpu.repeats
    return [
        "## FLOPs of a whole step",
        "ResNet-18 (ImageNet stem at 96 px, small stem at 32 px), SimCLR projector 512-2048-128"
        ", no probe. f is one encoder forward (backbone and projector), u one forward of the "
        "mask network with its head, both counted by the same counter. *Expected* is computed "
        "from the counted pieces: a backward pass costs twice its forward, one for weights and "
        "one for inputs; the first convolution (share s of f, share t of u) gets an input "
        "gradient only where masks need one. SimCLR 6 - 2s; reversal 3(N+1) - s + (3 - t)u; "
        "shared 3(N+1) - (N+1)s + 1 + 2N + (3 - t)u. *Paper file* is its measured line "
        "(of as many ADIOS slots, which cost the same passes), for N=5 and for 32 px its "
        "table's f-count plus 3u, which do not count the missing gradients out.",
        table(
            (
                "setting",
                "variant",
                "counted, f",
                "expected, f",
                "paper file, f",
                "off",
                "x SimCLR",
            ),
            flop_rows(counts),
        ),
        "## Time of a step",
        f"Median, lowest and highest of {repeats} turns of {batch} images, "
        f"{runtime.precision}, {runtime.threads} compute thread; *x SimCLR* compares within each "
        "turn. Other programs run on this machine: the CPU-seconds of the process are the "
        "figure to go by, wall seconds contain the waiting for a core.",
        table(
            ("setting", "variant", "wall s", "CPU s", "wall, x SimCLR", "CPU, x SimCLR"),
            time_rows(times),
        ),
    ]


def main(words: Sequence[str] | None = None) -> None:
    ask = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    ask.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    ask.add_argument("--batch", type=int, default=32, help="images of a timed step")
    ask.add_argument("--repeats", type=int, default=3)
    ask.add_argument("--threads", type=int, default=1)
    told = ask.parse_args(words)
    runtime = Runtime.parse({"accelerator": told.device, "threads": told.threads}).resolved()
    where = machine(runtime)

    counts = {case.name: counts_of(case, 8, runtime) for case in CASES}
    times = {
        case.name: summarised(times_of(case, told.batch, told.repeats, runtime))
        for case in CASES
        if case.timed
    }
    worst = max(count.off() for found in counts.values() for count in found.values())
    write(
        "step_cost",
        "What a step of Sequential costs beside a step of SimCLR",
        page(counts, times, told.batch, runtime),
        {
            "flops_in_encoder_forwards": {
                name: {v: {**c._asdict(), "off": c.off()} for v, c in found.items()}
                for name, found in counts.items()
            },
            "seconds_of_a_step": {
                name: {
                    v: {n: s._asdict() for n, s in t._asdict().items()} for v, t in found.items()
                }
                for name, found in times.items()
            },
            "batch": told.batch,
        },
        [
            Goal(
                "FLOPs within 3 % of first principles and of the paper file's table",
                f"at most {worst:.1%} off",
                worst <= TOLERANCE,
            )
        ],
        where,
    )


if __name__ == "__main__":
    main()
