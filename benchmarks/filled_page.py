"""The page of docs/results/filling_cost.md: filled masks beside their framework without them."""

from collections.abc import Mapping

from benchmarks.filled_cost import BLACK_BOX, Figure, Priced
from benchmarks.machine import Spread, table
from benchmarks.step_times import Timed

from masquerade.engine.runtime import Runtime

TEXT = (
    "ResNet-18 with the small stem at 32 px, heads as papers/mixmask.md, section 6.1, gives them "
    "for CIFAR-100 (batch norm in one group). g is an encode with gradient, n one without; the "
    "table counts 3 and 1. FLOPs are all that a step computes, heads, predictors and the products "
    "with the queue's 4096 keys included, over those of the same framework without masks. In "
    "brackets: the paper file. Heads change no multiple by 3 %, so none had to be left out."
)
BOX_TEXT = (
    "*Black box* is what Un-Mix's README tells its users to write: the framework's loss of the two "
    "views, and of each mixture lambda times its loss with the clean view and 1 - lambda times "
    "that of the mixture in another order. For MoCo it is what Un-Mix's code does: the mixture is "
    "encoded again for each key. It is run here, not computed (benchmarks/black_box.py); that loss "
    "and gradients are equal is a test (tests/exact), and measured in filling.md."
)


def page(
    priced: list[Priced],
    every: list[Figure],
    times: Mapping[str, Timed],
    faster: Mapping[str, Spread],
    batch: int,
    runtime: Runtime,
) -> list[str]:
    """The text between goals and machine."""
    repeats = next(iter(times.values())).cpu.repeats
    return [
        "## FLOPs of a step",
        TEXT,
        BOX_TEXT,
        table(
            (
                "one step",
                "shared",
                "passes",
                "FLOPs, x base",
                "black box",
                "passes",
                "FLOPs, x base",
            ),
            flop_rows(priced, every),
        ),
        "## Time of a step",
        f"Median, lowest and highest of {repeats} turns of {batch} images, {runtime.precision}, "
        f"{runtime.threads} compute thread; *x base* compares with the framework without masks, "
        "*of the black box* with the black box, within each turn. In brackets: what the paper "
        "file's own implementation measured.",
        table(
            (
                "one step",
                "wall s",
                "wall, x base",
                "CPU, x base",
                "black box, wall, x base",
                "CPU, x base",
            ),
            time_rows(priced, times),
        ),
        table(
            ("wall seconds", "shared, of the black box"),
            [(name, spread.said()) for name, spread in faster.items()],
        ),
    ]


def flop_rows(priced: list[Priced], every: list[Figure]) -> list[list[object]]:
    """Passes and multiples of each row."""
    found = {(f.row, f.form): f for f in every}
    rows: list[list[object]] = []
    for variant, shared, black_box in priced:
        cells: list[object] = [variant.name]
        for name, form, counted in (
            ("shared", variant.shared, shared),
            ("black box", variant.black_box, black_box),
        ):
            if form is None or counted is None:
                cells += ["-", "", ""]
                continue
            figure = found.get((variant.name, name))
            times = figure.counted if figure else 1.0
            cells += [form.formula, f"{counted.f:g}", f"{times:.3f} ({form.times})"]
        rows.append(cells)
    return rows


def time_rows(priced: list[Priced], times: Mapping[str, Timed]) -> list[list[object]]:
    """Seconds and multiples of each row."""
    rows: list[list[object]] = []
    for variant, *_ in priced:
        cells: list[object] = [variant.name, times[variant.name].wall.said()]
        for form, name in (
            (variant.shared, variant.name),
            (variant.black_box, variant.name + BLACK_BOX),
        ):
            if form is None:
                cells += ["-", "-"]
                continue
            time = times[name]
            cells += [with_printed(time.wall_ratio, form.measured), time.cpu_ratio.said()]
        rows.append(cells)
    return rows


def with_printed(spread: Spread, printed: str) -> str:
    """`1.80 (1.75 to 1.83) (1.79)`: ours, and what the paper file measured where it did."""
    return f"{spread.said()} ({printed})" if printed else spread.said()
