"""What adversaries do when they are trained, and where no gradient reaches them.

The behaviour tests of papers/adversarial_masking.md, section 12, in figures: a masker against a
tiny encoder on shapes (tests/maskers/toy.py), 220 steps each, and the gradient that each plan of
an objective sends to a mask. Some two CPU-minutes.
"""

from typing import Any

from benchmarks.machine import Goal, table

STEPS = 220
LAST = 40  # steps that a held size is a mean over
ADIOS = {"kind": "adios", "width": 8, "norm": "gn"}
SEQUENTIAL = {"kind": "sequential", "width": 8, "norm": "gn"}
RUNS: dict[str, dict[str, Any]] = {
    "ADIOS, sparsity 1": {**ADIOS, "sparsity": 1},
    "ADIOS, sparsity 0": {**ADIOS, "sparsity": 0},
    "ADIOS-s, sparsity 0": {**ADIOS, "shown": 1, "sparsity": 0},
    "ADIOS, budget held": {**ADIOS, "sparsity": 0, "budget": "held"},
    "Sequential, budget as printed": SEQUENTIAL,
    "Sequential, budget held": {**SEQUENTIAL, "control": "held"},
}
LIVE, DEAD, HELD = (0.15, 0.35), 0.1, 0.02  # the bounds of the paper file


def figures() -> dict[str, Any]:
    """Everything measured, as it stands in the JSON file."""
    from tests.maskers.toy import train  # tests are there where benchmarks are
    from tests.pretext.paths import PATHS, gradient

    sizes = {}
    for name, tree in RUNS.items():
        run = train(tree, STEPS)
        sizes[name] = {
            "smallest": float(run.min()),
            "largest": float(run.max()),
            "end": run[-1].tolist(),
            "last": run[-LAST:].mean(0).tolist(),
        }
    return {"sizes": sizes, "gradients": {name: gradient(config) for name, config in PATHS.items()}}


def page(found: dict[str, Any]) -> list[str]:
    """The tables and how to read them."""
    rows = [
        [
            name,
            ", ".join(f"{s:.2f}" for s in sizes["end"]),
            f"{sizes['smallest']:.2f} to {sizes['largest']:.2f}",
            ", ".join(f"{s:.3f}" for s in sizes["last"]),
        ]
        for name, sizes in found["sizes"].items()
    ]
    lengths = [[name, f"{length:.1e}"] for name, length in found["gradients"].items()]
    return [
        "## What adversaries do",
        f"The hidden share of each of 4 masks, on shapes of 32 pixels, after {STEPS} steps; the "
        f"smallest and largest of any mask in any step; and means over the last {LAST} steps. Each "
        "size is a mean over the images of a step.",
        table(
            ("masker", f"sizes after {STEPS} steps", "in any step", f"mean of the last {LAST}"),
            rows,
        ),
        "The length of the gradient that reaches a mask, by what the plan of the objective "
        "compares. Where there is no path it is 0, and a learned masker is refused.",
        table(("what is compared", "length"), lengths),
    ]


def goals(found: dict[str, Any]) -> list[Goal]:
    """What ought to hold, by the bounds of the paper file."""
    from tests.pretext.paths import BLOCKED

    sizes, lengths = found["sizes"], found["gradients"]
    alive = sizes["ADIOS, sparsity 1"]
    dead = [min(sizes[f"{name}, sparsity 0"]["end"]) for name in ("ADIOS", "ADIOS-s")]
    off = {
        name: max(abs(s - 0.25) for s in sizes[f"{name}, budget held"]["last"])
        for name in ("ADIOS", "Sequential")
    }
    blocked = [lengths[name] for name in BLOCKED]
    reached = [length for name, length in lengths.items() if name not in BLOCKED]
    return [
        Goal(
            f"with sparsity 1 every mask of ADIOS stays within {LIVE[0]} to {LIVE[1]}",
            f"{alive['smallest']:.2f} to {alive['largest']:.2f}",
            LIVE[0] < alive["smallest"] and alive["largest"] < LIVE[1],
        ),
        Goal(
            f"without it a mask falls below {DEAD} within {STEPS} steps, ADIOS and ADIOS-s",
            "smallest " + " and ".join(f"{size:.2f}" for size in dead),
            max(dead) < DEAD,
        ),
        Goal(
            f"a held budget is kept within {HELD} for every mask",
            ", ".join(f"{name} {value:.3f} off" for name, value in off.items()),
            max(off.values()) < HELD,
        ),
        Goal(
            "no gradient reaches a mask where there is no path, and one does where there is",
            f"{max(blocked):g} in {len(blocked)} plans without; at least {min(reached):.0e} in "
            f"{len(reached)} with",
            max(blocked) == 0 and min(reached) > 0,
        ),
    ]
