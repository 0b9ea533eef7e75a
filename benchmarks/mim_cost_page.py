"""The page of docs/results/mim_cost.md: adversarial twins beside the model without them."""

from benchmarks.machine import table
from benchmarks.mim_cost import Figure, Step

from masquerade.engine.runtime import Runtime

TEXT = (
    "In steps of the same model without twins (K: steps of the attack). *Fused* encodes images and "
    "twins in one batch and needs one more pass for the attack's target; *z reused* takes the "
    "features of the clean task for it; *sequential* is one task after the other; a *noise twin* "
    "has random signs for an attack. In brackets: papers/aemim.md, section 1.6, whose row without "
    "reuse is our fused step. Its row of the authors' snapshot, which computes gradients of "
    "weights while attacking, is not built."
)
MEMORY = (
    "*Held* is the most that a step holds at once beside weights: activations, gradients and the "
    "optimizer's momentum. PyTorch's allocations are counted, not the process."
)


def page(
    every: list[Figure], timed: list[Step], size: str, batch: int, runtime: Runtime
) -> list[str]:
    """The text between goals and machine."""
    repeats = timed[0].time.wall.repeats
    return [
        "## FLOPs of a step",
        TEXT,
        table(("one step", *columns(every)), flop_rows(every)),
        "## Time and memory of a step",
        f"{size}; median, lowest and highest of {repeats} turns of {batch} images, "
        f"{runtime.precision}, {runtime.threads} compute thread; multiples are of MAE's step in "
        "the same turn.",
        MEMORY,
        table(
            ("one step", "FLOPs, x MAE", "wall s", "wall, x MAE", "CPU, x MAE", "held, MiB"),
            [
                [
                    step.name,
                    f"{step.flops:.2f}",
                    step.time.wall.said(),
                    step.time.wall_ratio.said(),
                    step.time.cpu_ratio.said(),
                    f"{step.held:.0f}",
                ]
                for step in timed
            ],
        ),
    ]


def columns(every: list[Figure]) -> list[str]:
    """The networks, in order."""
    return list(dict.fromkeys(f.column for f in every))


def flop_rows(every: list[Figure]) -> list[list[str]]:
    """One line for each way to compute a step."""
    found = {(f.row, f.column): f for f in every}
    rows = dict.fromkeys(f.row for f in every)
    return [[row, *(cell(found[row, c]) for c in columns(every))] for row in rows]


def cell(figure: Figure) -> str:
    """`2.99 (2.99)`: ours, and what the paper file prints where it does."""
    printed = f" ({figure.printed:.2f})" if figure.printed else ""
    return f"{figure.counted:.2f}{printed}"
