"""How far whole training steps are from those of the published codes, beside arrays they left.

What `make test` bounds by 1e-9, in figures: complete steps of ADIOS and ADIOS-s on SimCLR, BYOL and
SimSiam, and steps of the base objectives with what MixMask and Un-Mix do to them. In float64, on
the arrays of tests/oracles; seconds.
"""

from typing import Any

from benchmarks.machine import Goal, table

BOUND = 1e-9
OFFICIAL = "steps of `official`: losses, gradients, weights and buffers after LARS"
SHARED = "steps of `shared`: losses, gradients, weights, no buffers"
REVERSAL = "gradients of `reversal` at equal weights"
BASE = "MoCo v2, symmetric MoCo, SimCLR, BYOL, SimSiam: losses, gradients, queue and copy"
PARTS = {
    "losses": "losses",
    "encoder": "gradients, encoder",
    "masker": "gradients, masker",
    "after": "weights (and buffers)",
}
FILLED = {
    "plain": "loss, no masks",
    "filled": "loss, a mixture",
    "gradients": "gradients, a mixture",
    "after": "queue and copy",
}
Errors = dict[str, dict[str, float]]  # of each part, by the name of the tensor
Worst = dict[str, dict[str, float]]  # of each case and part


def steps() -> dict[str, Worst]:
    """The worst error of every part of every step of ADIOS, by how a step is made."""
    from tests.pretext import published  # tests are there where benchmarks are

    ways = {
        "official": published.official,
        "shared": published.shared,
        "reversal": published.reversal,
    }
    return {
        name: {case: worst(way(case)) for case in published.CASES} for name, way in ways.items()
    }


def bases() -> Worst:
    """The worst error of every part of a step of each base objective."""
    from tests.pretext import frameworks

    found = {"MoCo v2": frameworks.moco_v2(), "MoCo, symmetric": frameworks.moco_symmetric()}
    names = {"simclr": "SimCLR, joint heads", "byol": "BYOL", "simsiam": "SimSiam"}
    found |= {text: frameworks.framework(name) for name, text in names.items()}
    return {text: worst(errors) for text, errors in found.items()}


def worst(errors: Errors) -> dict[str, float]:
    """The largest error of each part."""
    return {part: max(each.values()) for part, each in errors.items()}


def figures() -> dict[str, Any]:
    """Everything measured, as it stands in the JSON file."""
    return {"steps": steps(), "bases": bases()}


def page(found: dict[str, Any]) -> list[str]:
    """The tables and how to read them."""
    blocks = [
        "## Whole steps beside the authors' code",
        "The largest error of each part: losses as they are, tensors beside their largest number "
        "(at least 1). One complete step, float64, on arrays that the ADIOS authors' code left "
        "(tests/oracles/adios): SimCLR, BYOL and SimSiam with all terms (TTT), with N = 3 masks or "
        "one for each image (s). `shared` leaves batch-norm buffers out, and the online probe, "
        "which reads other views there. `reversal` is compared at equal weights: the encoder's "
        "gradients with the authors', the masker's with those of `shared` before the encoder has "
        "moved.",
    ]
    rows = [
        [f"{case}, `{way}`", *cells(parts, PARTS)]
        for way, cases in found["steps"].items()
        for case, parts in cases.items()
    ]
    blocks.append(table(("one step", *PARTS.values()), rows))
    blocks.append(
        "The base objectives alone and with a filled copy, on arrays of the codes of MixMask "
        "(MoCo v2), Un-Mix (symmetric MoCo: batch norm in groups, shuffled keys), W-MSE (SimCLR, "
        "BYOL) and PatrickHua (SimSiam); absolute errors."
    )
    rows = [[name, *cells(parts, FILLED)] for name, parts in found["bases"].items()]
    blocks.append(table(("one step", *FILLED.values()), rows))
    return blocks


def cells(parts: dict[str, float], columns: dict[str, str]) -> list[str]:
    """One row; a dash for what was not compared."""
    return [f"{parts[part]:.0e}" if part in parts else "-" for part in columns]


def goals(found: dict[str, Any]) -> list[Goal]:
    """What ought to hold: nothing is further off than the bound."""
    ways = {OFFICIAL: "official", SHARED: "shared", REVERSAL: "reversal"}
    groups = [(text, found["steps"][way]) for text, way in ways.items()]
    goals = []
    for text, cases in [*groups, (BASE, found["bases"])]:
        largest = max(error for parts in cases.values() for error in parts.values())
        figure = f"{len(cases)} of them, at most {largest:.0e} off"
        goals.append(Goal(f"{text}, within {BOUND:.0e} in float64", figure, largest <= BOUND))
    return goals
