"""Filled masks beside the official code's arrays, and what has to hold without training.

What `make test` bounds (tests/exact), in figures: every array of tests/oracles/mixmask, whatever
it is, beside ours in float64; the identities of papers/mixmask.md, sections 1 and 5, on each
framework with random weights. Part of filling.py; seconds.
"""

from typing import Any

from benchmarks.machine import Goal, table

BOUND = 1e-9
CENTRE, CORNER, SURE = 0.80, 0.16, 0.02  # of the main image on a grid of 8, as the paper file says
ARRAYS = (
    "The largest difference of any number of each file, float64. What a file starts from "
    "(weights, images, settings) is not counted; statistics of draws, which no two generators "
    "share, are compared within standard errors in tests/maskers. Files: tests/oracles/mixmask, "
    "computed with the official code of MixMask, Un-Mix, W-MSE and SimSiam."
)
IDENTITIES = (
    "Random weights, no training, float64. *Order*: what a query says in a batch turned round or "
    "shuffled, beside what it said before. *Complement*: loss and gradient of a mask beside those "
    "of its complement with partners the other way, reversed and random. *Empty*: the loss with a "
    "mask that hides nothing beside twice the framework's own; symmetric MoCo compares a mixture "
    "with both keys, so that it is another loss. *Shared*: one encoding of each mixture beside the "
    "framework asked anew for each term (benchmarks/black_box.py), MixMask and MixMask*. Gradients "
    "are beside their largest number."
)
COLUMNS = {
    "order": "order",
    "complement": "complement",
    "empty": "empty",
    "loss": "shared, loss",
    "gradient": "shared, gradient",
}


def figures() -> dict[str, Any]:
    """The error of every array and identity."""
    from tests.exact import identities  # tests are there where benchmarks are
    from tests.exact.arrays import FILES

    files = {name: file.compared() for name, file in FILES.items()}
    shows = {name: file.shows for name, file in FILES.items()}
    holds: dict[str, dict[str, float]] = {}
    for name in identities.BASES:
        orders = identities.complement(name, "reverse"), identities.complement(name, "random")
        found = {"order": identities.order_of_the_batch(name)}
        found["complement"] = max(error for errors in orders for error in errors)
        if name in identities.TWICE:
            found["empty"] = identities.empty(name)
        boxed = [identities.black_box(v) for v in identities.BOXED if v.framework == name]
        if boxed:
            found["loss"] = max(loss for loss, *_ in boxed)
            found["gradient"] = max(gradient for _, gradient, _ in boxed)
        holds[name] = found
    centre, corner = identities.kept_by_blocks()
    kept = {"centre": centre, "corner": corner, "draws": identities.DRAWS}
    return {"files": files, "shows": shows, "identities": holds, "kept": kept}


def page(found: dict[str, Any]) -> list[str]:
    """The tables and how to read them."""
    rows = [
        (name, found["shows"][name], len(errors), f"{max(errors.values()):.0e}")
        for name, errors in found["files"].items()
    ]
    holds = [
        (name, *(f"{errors[c]:.0e}" if c in errors else "-" for c in COLUMNS))
        for name, errors in found["identities"].items()
    ]
    return [
        "## Every array of the official code",
        ARRAYS,
        table(("file", "what", "arrays", "largest difference"), rows),
        "## What holds without training",
        IDENTITIES,
        table(("", *COLUMNS.values()), holds),
        f"Blocks on a grid of 8, half of it hidden, {found['kept']['draws']} draws: the centre "
        f"cell keeps the main image in {found['kept']['centre']:.1%} of them, a corner in "
        f"{found['kept']['corner']:.1%}.",
    ]


def goals(found: dict[str, Any]) -> list[Goal]:
    """What ought to hold."""
    arrays = sum(len(errors) for errors in found["files"].values())
    largest = max(error for errors in found["files"].values() for error in errors.values())
    off = max(error for errors in found["identities"].values() for error in errors.values())
    centre, corner = found["kept"]["centre"], found["kept"]["corner"]
    return [
        Goal(
            f"every array of the official code within {BOUND:.0e} in float64",
            f"{arrays} arrays of {len(found['files'])} files, at most {largest:.0e} off",
            largest <= BOUND,
        ),
        Goal(
            f"identities without training within {BOUND:.0e}",
            f"{len(found['identities'])} frameworks, at most {off:.0e} off",
            off <= BOUND,
        ),
        Goal(
            f"blocks keep the main image in {CENTRE:.0%} of the draws in the middle of a grid of "
            f"8, in {CORNER:.0%} in a corner, within {100 * SURE:.0f} points",
            f"{centre:.1%} and {corner:.1%}",
            abs(centre - CENTRE) <= SURE and abs(corner - CORNER) <= SURE,
        ),
    ]
