"""What a step of Sequential costs beside a step of SimCLR: FLOPs exactly, time in the same run.

FLOPs are counted by PyTorch over one whole step of the product's own training loop, forward and
backward of every round, and compared with what first principles and the cost table of the paper
file (adversarial_masking.md, section 14) say. Times are medians over repeats in which all
variants take turns, so that what else runs on the machine meets all of them alike.

    python benchmarks/step_cost.py
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, get_args

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks.flops import (
    CASES,
    Case,
    Count,
    Seconds,
    Variant,
    counts_of,
    one_step,
    variant_of,
    views_of,
)
from benchmarks.machine import Goal, Spread, machine, table, write

from masquerade.engine.runtime import Runtime

TOLERANCE = 0.03


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
