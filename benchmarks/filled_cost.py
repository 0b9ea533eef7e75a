"""What filled masks cost beside their framework without them, shared and as a black box.

Every row of the cost table of papers/mixmask.md, section 8, on the model it was measured on: a
ResNet-18 with the small stem at 32 pixels. Part of step_cost.py.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from benchmarks.black_box import BlackBox
from benchmarks.filled_table import VARIANTS, Form, Variant
from benchmarks.flops import Found, Measured, found_in, views_of
from benchmarks.machine import Goal, Spread
from benchmarks.step_times import Runner, Timed, Times, ratio, summarised, times_of

from masquerade.core.seed import Seed
from masquerade.engine.runtime import Runtime
from masquerade.networks import backbone
from masquerade.pretext.siamese import Siamese

SIZE = 32
TOLERANCE = 0.03
COUNTED_BATCH = 2  # FLOPs are proportional to the batch; only NT-Xent's own few are not
BLACK_BOX = ", black box"


class Priced(NamedTuple):
    """A variant with what its step computes.

    Attributes:
        variant: Of the table.
        shared: As the product computes it.
        black_box: Without sharing, where the table has a figure for that.
    """

    variant: Variant
    shared: Found
    black_box: Found | None


class Figure(NamedTuple):
    """A multiple of the base's FLOPs.

    Attributes:
        row: The variant.
        form: `shared` or `black box`.
        printed: The table's units over its base's.
        counted: Ours.
        expected: From first principles.
    """

    row: str
    form: str
    printed: float
    counted: float
    expected: float

    def off(self) -> float:
        """The relative distance to what is printed."""
        return abs(self.counted / self.printed - 1)


def task_of(variant: Variant, black_box: bool = False, size: int = SIZE) -> Measured:
    """The task of a variant, with fresh weights."""
    torch.manual_seed(Seed(0).fold("step_cost").integer())
    encoder = backbone.Config(name="resnet18", stem="small")
    objective = variant.objective.build(encoder.build(size, 3, (0.5,) * 3, (0.25,) * 3))
    maskers = [m.build(size, 3) for m in variant.maskers]
    return BlackBox(objective, maskers) if black_box else Siamese(objective, maskers)


def counts(runtime: Runtime, variants: list[Variant] = VARIANTS) -> list[Priced]:
    """The FLOPs of every variant in both forms."""
    views = views_of(COUNTED_BATCH, runtime.device(), SIZE)

    def found(variant: Variant, form: Form) -> Found:
        return found_in(task_of(variant, form is variant.black_box), views, form.bill, runtime)

    return [
        Priced(v, found(v, v.shared), found(v, v.black_box) if v.black_box else None)
        for v in variants
    ]


def figures(priced: list[Priced]) -> list[Figure]:
    """Every multiple that the table has."""
    bases = {p.variant.framework: p for p in priced if not p.variant.branches}
    made = []
    for variant, shared, black_box in priced:
        base = bases[variant.framework]
        for name, form, found in (
            ("shared", variant.shared, shared),
            ("black box", variant.black_box, black_box),
        ):
            if form and found and variant.branches:
                made.append(
                    Figure(
                        variant.name,
                        name,
                        form.units() / base.variant.shared.units(),
                        found.flops / base.shared.flops,
                        found.expected / base.shared.expected,
                    )
                )
    return made


def timed(batch: int, repeats: int, runtime: Runtime) -> Times:
    """Seconds of a step of every variant in both forms, all taking turns."""
    views = views_of(batch, runtime.device(), SIZE)
    runners = []
    for v in VARIANTS:
        runners.append(Runner(v.name, task_of(v)))
        if v.black_box:
            runners.append(Runner(v.name + BLACK_BOX, task_of(v, black_box=True)))
    return times_of(runners, views, repeats, runtime)


def beside_base(times: Times) -> dict[str, Timed]:
    """The spreads, as multiples of each framework's own step."""
    bases = {v.name: v.framework for v in VARIANTS}
    return summarised(times, bases | {n + BLACK_BOX: base for n, base in bases.items()})


def saved(times: Times) -> dict[str, Spread]:
    """Wall seconds of the shared form over those of the black box, within each turn."""
    return {
        v.name: ratio(times[v.name], times[v.name + BLACK_BOX], "wall")
        for v in VARIANTS
        if v.black_box
    }


def goals(priced: list[Priced], every: list[Figure], faster: Mapping[str, Spread]) -> list[Goal]:
    """What ought to hold."""
    shared = [f for f in every if f.form == "shared"]
    other = [f for f in every if f.form != "shared"]
    worst = max(shared, key=Figure.off)
    astray = [
        p.variant.name
        for p in priced
        if p.shared.f != p.variant.shared.units()
        or (p.black_box and p.variant.black_box and p.black_box.f != p.variant.black_box.units())
    ]
    missed = max(abs(f.counted / f.expected - 1) for f in every)
    slower = [name for name, spread in faster.items() if spread.median >= 1]
    return [
        Goal(
            "filled masks: FLOPs beside the framework without them within 3 % of the paper file's "
            "shared column, heads counted",
            f"{len(shared)} figures, at most {worst.off():.2%} off ({worst.row})",
            worst.off() <= TOLERANCE,
        ),
        Goal(
            "filled masks as a black box: the same for the column of that name",
            f"{len(other)} figures, at most {max(f.off() for f in other):.2%} off",
            max(f.off() for f in other) <= TOLERANCE,
        ),
        Goal(
            "filled masks: encoder passes as the table counts them, FLOPs as first principles say",
            (f"other passes: {', '.join(astray)}" if astray else "every row")
            + f"; FLOPs at most {missed:.2%} off",
            not astray and missed <= TOLERANCE,
        ),
        Goal(
            "filled masks: the shared form takes less wall time than the black box, every row",
            ", ".join(f"{name} {spread.median:.2f}" for name, spread in faster.items()),
            not slower,
        ),
    ]
