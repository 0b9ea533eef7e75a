"""The page of benchmarks/step_cost.py: the cost table as it is here, as printed in brackets."""

from benchmarks.cells import Cell, Counted, times_simclr
from benchmarks.cost_table import LEFT_OUT, ROWS
from benchmarks.machine import table
from benchmarks.step_times import Timed

from masquerade.engine.runtime import Runtime


def beside(figure: float | None, printed: str, digits: int = 2) -> str:
    """`2.57 (2.50)`: ours, and what the table prints where it prints something."""
    ours = "" if figure is None else f"{figure:.{digits}f}"
    return f"{ours} ({printed})" if printed else ours


def cost_rows(found: list[Counted], timed: dict[str, Timed]) -> list[list[object]]:
    """The cost table as it is here, the paper file's figures in brackets."""
    by_name = {c.row.name: c for c in found}
    simclr = by_name["SimCLR"].narrow
    rows: list[list[object]] = []
    for row, narrow, wide in found:
        printed, time = row.printed, timed[row.name]
        u = "" if printed.u is None else f" ({printed.u:g})"
        more = f"+{printed.more_than_head} over head" if printed.more_than_head else ""
        rows.append(
            [
                row.name,
                f"{printed.formula}: {narrow.f:g} ({printed.f:g})",
                f"{narrow.u:g}{u}",
                beside(narrow.f / simclr.f, printed.rel),
                f"{times_simclr(narrow, by_name):.2f}",
                beside(wide and times_simclr(wide, by_name), printed.wide or more),
                f"{time.wall_ratio.median:.2f}",
                f"{time.wall.median:.2f}",
            ]
        )
    return rows


def flop_rows(found: list[Counted], every: list[Cell]) -> list[list[object]]:
    """Counted FLOPs of each row beside first principles and the measured line."""
    rows: list[list[object]] = []
    for row, narrow, wide in found:
        off = max(c.off() for c in every if c.row == row.name)
        rows.append(
            [
                row.name,
                beside(narrow.flops, row.printed.flops),
                f"{narrow.expected:.2f}",
                beside(wide and wide.flops, row.printed.wide_flops),
                f"{wide.expected:.2f}" if wide else "",
                f"{off:.1%}",
                row.bill.said(),
            ]
        )
    return rows


def time_rows(timed: dict[str, Timed]) -> list[list[object]]:
    """One line per row."""
    return [[name, *(spread.said() for spread in time)] for name, time in timed.items()]


def differences() -> list[str]:
    """What does not agree and why, and what is not here."""
    reasons = []
    for row in ROWS:
        if row.why:
            reasons.append(f"- **{row.name}**: {row.why}.")
    return ["\n".join([*reasons, *(f"- {line}" for line in LEFT_OUT)])]


FLOPS_TEXT = (
    "ResNet-18 at 96 px with the heads each objective has by default, an online probe in every "
    "row. f is one forward of the row's own backbone and projector (ratios to SimCLR are of steps "
    "measured so, and thus about passes, not about the size of heads), u one forward of the mask "
    "network with its head, c its channels. Passes are counted on a layer in the middle of each "
    "network: one for a forward, one for the gradient of the weights, one for that of the inputs. "
    "*FLOPs* are all that a step computes. The table prints f- and u-counts with every gradient in "
    "them; in FLOPs the first convolution of a network has no input gradient where nothing asks "
    "for one, so that SimCLR is 5.87 f, not 6. In brackets: the paper file."
)
BILL_TEXT = (
    "*Expected* is computed from the bill and the pieces, each counted alone, and never from the "
    "code that is measured. With s the first convolution's share of f and t its share of u, p the "
    "projector's and h the predictor's of f: an encoder pass that is trained costs 3 - s "
    "(`learn`), 3 where the gradient goes on into the masked image (`both`); where only masks "
    "learn, 2 (`attack`); without gradient 1 (`still`), 1 - p for the official code's probe "
    "(`probed`); h for each pass through the predictor; u for `masks`, (2 - t)u for a backward of "
    "the mask network (`taught`), 2u where it goes on into masks fed back to its input (`fed`). "
    "So SimCLR-ADIOS is 9N + 2 - 2Ns - 2p + (4 - t)u `official`, 5N + 4 - (N + 1)s + (3 - t)u "
    "`shared` and 3(N + 1) - s + (3 - t)u `reversal`. *Off* is the largest distance to first "
    "principles or to any cell of the paper file's row, f- and u-counts times f and u included; "
    "a printed figure stands for all that round to it."
)
RARE_TEXT = (
    "In steps 9, 19, ... 99 and then in every 100th, the clean pair is weighed too, which is at "
    "most two forwards more and not in these figures."
)


def page(
    found: list[Counted], timed: dict[str, Timed], every: list[Cell], batch: int, runtime: Runtime
) -> list[str]:
    """The text between goals and machine."""
    repeats = timed["SimCLR"].cpu.repeats
    return [
        "## The cost table",
        FLOPS_TEXT,
        RARE_TEXT,
        table(
            (
                "one step",
                "passes, f",
                "passes, u",
                "passes, x SimCLR",
                "FLOPs, c=8, x SimCLR",
                "FLOPs, c=32, x SimCLR",
                "wall, c=8, x SimCLR",
                "wall s",
            ),
            cost_rows(found, timed),
        ),
        "## What differs from the paper file",
        *differences(),
        "## FLOPs, and what they ought to be",
        BILL_TEXT,
        table(
            (
                "one step",
                "c=8, f",
                "expected",
                "c=32, f",
                "expected",
                "off",
                "bill",
            ),
            flop_rows(found, every),
        ),
        "## Time of a step",
        f"Median, lowest and highest of {repeats} turns of {batch} images, c=8, "
        f"{runtime.precision}, {runtime.threads} compute thread; *x SimCLR* compares within each "
        "turn. Other programs run on this machine: the CPU-seconds of the process are the "
        "figure to go by, wall seconds contain the waiting for a core.",
        table(("one step", "wall s", "CPU s", "wall, x SimCLR", "CPU, x SimCLR"), time_rows(timed)),
    ]
