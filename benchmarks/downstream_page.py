"""The tables of `downstream.py`, and what they ought to show."""

from statistics import mean
from typing import Any

from benchmarks.machine import Goal, table
from benchmarks.trials import gained, gains, said

from masquerade.maskers import clusters

HELD = "Sequential, budget held"
DYNAMIC = "Sequential, dynamic budget"
DENSE = {
    "objects test/miou": "objects and background: mIoU",
    "objects test/pixels": "right pixels",
    "segment test/miou": "classes and background: mIoU",
    "segment test/pixels": "right pixels",
    "detect test/ap": "detection: AP",
    "detect test/ap50": "AP50",
}
MASKS = {
    "test/iou": "IoU, best mask",
    "test/ari": "ARI",
    "test/ari_fg": "ARI-FG",
    "test/msc": "mSC",
    "test/ssc": "SSC",
}
SIDE, CENTRES = 32, 5  # of the budgets of the small recipe
AMOUNTS = {
    "few-groups-1": "1 object of each class",
    "few-groups-3": "3 objects",
    "few-groups-10": "10 objects",
    "few-ratio-0.01": "1 %",
    "few-ratio-0.1": "10 %",
}


def body(figures: dict[str, Any]) -> list[str]:
    """The paragraphs and tables of the page."""
    return [
        READING,
        "## Segmentation and detection of scenes",
        scores(figures["dense"], DENSE, 100, 1),
        DENSELY,
        nothing(figures["background"]),
        "## Masks of scenes",
        scores(figures["masks"], MASKS, 1, 3),
        MASKED,
        *costs(figures["cost"]),
        *(part for data, found in figures["few"].items() for part in few(data, found)),
    ]


def scores(rows: dict[str, Any], columns: dict[str, str], scale: float, digits: int) -> str:
    """Mean (lowest to highest seed) of every column."""
    lines = [
        [row, *(said(found.get(c, []), scale, digits) for c in columns)]
        for row, found in rows.items()
    ]
    return table(("", *columns.values()), lines)


def nothing(background: float) -> str:
    """What a network reaches that finds no object, in percent."""
    one, many = (100 * background / classes for classes in (2, 17))
    return (
        f"Background everywhere has {100 * background:.1f} right pixels, an mIoU of {one:.1f} "
        f"beside one class of objects and of {many:.1f} beside 16."
    )


def costs(found: dict[str, list[float]]) -> list[str]:
    """What a step takes, in that of SimCLR."""
    if not {"SimCLR", HELD, DYNAMIC} <= set(found):
        return []
    base = mean(found["SimCLR"])
    each = ", ".join(f"{name} {mean(values) / base:.2f}" for name, values in found.items())
    return [
        f"CPU-seconds of a step, in those of SimCLR: {each}. Dynamic budgets cluster the colours "
        f"of each view once a step, at {SIDE} x {SIDE} pixels or less: {clusters.STEPS} rounds of "
        f"k-means with {CENTRES} centres, {flops() / 1e6:.1f} MFLOP an image."
    ]


def flops() -> int:
    """Of the k-means of one image: distances to all centres, then means of their members."""
    distances, means = 3 * 3, 2 * 3  # operations of a pixel and a centre, 3 channels
    return clusters.STEPS * SIDE * SIDE * CENTRES * (distances + means)


def few(data: str, found: dict[str, Any]) -> list[str]:
    """The table of few labels on one set."""
    amounts = [a for a in AMOUNTS if f"{a}-linear" in found]
    rows = {
        f"{method}: {how}": [found[f"{a}-{name}"].get(method, []) for a in amounts]
        for method in found[f"{amounts[0]}-linear"]
        for name, how in (("linear", "linear"), ("tuned", "fine-tuned"))
    }
    names = {"untrained: fine-tuned": "from scratch"}
    lines = [
        [names.get(row, row), *(said(values, 100) for values in cells)]
        for row, cells in rows.items()
        if any(cells)
    ]
    return [
        f"## Few labels: {data}",
        table(("top-1 in %", *(AMOUNTS[a] for a in amounts)), lines),
    ]


def judged(figures: dict[str, Any]) -> list[Goal]:
    """What ought to hold, seed by seed."""
    goals = []
    dense = figures["dense"]
    for key, name in (
        ("objects test/miou", "mIoU"),
        ("segment test/miou", "mIoU over 16 classes"),
        ("detect test/ap", "AP"),
    ):
        for method in ("SimCLR", HELD):
            text = f"scenes: {name} of {method} above the untrained encoder on every seed"
            goals.append(above(text, dense[method][key], dense["untrained"][key]))
    masks = figures["masks"]
    for method in ("ADIOS", HELD, DYNAMIC):
        for rival in ("masks by chance", "colour clusters"):
            text = f"scenes: ARI of {method}'s masks above that of {rival} on every seed"
            goals.append(above(text, masks[method]["test/ari"], masks[rival]["test/ari"]))
    for data, found in figures["few"].items():
        for name, rows in found.items():
            if name.endswith("-tuned"):
                amount = AMOUNTS[name.removesuffix("-tuned")]
                text = f"{data}, {amount}: SimCLR fine-tuned above from scratch on every seed"
                goals.append(above(text, rows["SimCLR"], rows["untrained"]))
    return goals


def above(text: str, own: list[float], rival: list[float]) -> Goal:
    """Whether every seed gains, in points."""
    points = gains(own, rival)
    return Goal(text, f"{gained(points)} points", min(points) > 0)


READING = (
    "Encoders: trained without labels on toybox things10 (or Fashion-MNIST) at 32 pixels for 372 "
    "(312) steps. Mean over seeds, lowest and highest in brackets; a seed changes the encoder, the "
    "order of its images and which labels are drawn."
)
DENSELY = (
    "Transfer to scenes of things16 with 2 to 6 objects, 600 to train on, 200 of unseen objects to "
    "measure on. An FCN-8s at 64 pixels, trained together with the encoder for 8 epochs: mIoU "
    "over the background and all objects as one class, and over the background and 16 classes, "
    "which so few images teach none of the encoders. A Faster R-CNN (C4) at 96 pixels, 4 epochs, "
    "all objects as one class, too: AP of VOC 2007, mean over overlaps .50:.05:.95. In percent. "
    "These are minutes on a small network: the rows compare with each other only."
)
MASKED = (
    "All masks of a method together as a segmentation of each scene (the strongest mask of a pixel "
    "has it), against its exact objects and the background, which has a label of its own. The IoU "
    "is that of the one mask that hits any object best, chosen with its threshold on training "
    "scenes. ARI-FG looks at pixels of objects only. The maskers were trained on single objects, "
    "not on scenes."
)
