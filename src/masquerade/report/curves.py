"""Which curves a run has, and how to read each."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from masquerade.report.figures import Chart, Curve, Part, chart, stacked
from masquerade.report.groups import names
from masquerade.report.headline import given_to
from masquerade.report.read import Series, Story
from masquerade.report.words import NONE, listed, percent

PARTS = {
    "data": "reading images",
    "augmentation": "augmentation",
    "encoder": "encoder",
    "masker": "mask network",
    "watching": "checks",
}


FIRST = 6  # charts that a page shows without a click


def charts(main: Story, others: Sequence[Story] = ()) -> list[Chart]:
    """The curves of a run, those worth a look first; those of others beside where they compare."""
    labels = names([main, *others]) if others else ["this run"]
    runs = list(zip(labels, [main, *others], strict=True))
    outer = main.config.get("maskers") or []
    maskers = [m for o in outer for m in (o, *given_to(o)) if isinstance(m, dict)]
    budget = next((m["budget"] for m in maskers if "budget" in m), None)
    most = float(max(main.series("health/directions").values, default=0.0))
    guides = [(float(budget), "budget")] if isinstance(budget, int | float) else []
    found = [
        chart(
            "Encoder loss",
            (
                "How far the predicted patches are from those that were hidden."
                if main.config.get("pretext")
                else "How badly the encoder matches two views of an image among all others."
            )
            + (" Runs that hide more have a harder task: compare their results." if others else ""),
            beside(runs, "encoder/loss"),
            unit="" if main.config.get("pretext") else "nats",
        ),
        chart(
            "Right answers while training",
            "A linear classifier trained along on the encoder's features, which never see "
            "a label. Measured on training images as they come, augmented.",
            beside(runs, "probe/top1"),
            share=True,
            floor=0.0,
        ),
        chart(
            "Size of each mask",
            "The part of the image that each mask hides, on average. A mask that falls "
            "to 0 % or climbs to 100 % has died.",
            of_each(main, "masker/size"),
            share=True,
            floor=0.0,
            guides=guides,
        ),
        chart(
            "Images and their twins",
            "The loss of images as they are, and of their twins after an attack.",
            [
                Curve("images", main.series("clean/loss"), 1, "i"),
                Curve("twins", main.series("twin/loss"), 2, "t"),
            ],
        ),
        chart(
            "How far twins are moved",
            "The distance of a twin's features from its image's, a mean over tokens: after the "
            "random start, after the attack, and after random signs of the whole budget, which an "
            "attack has to beat.",
            [
                Curve("attack", main.series("twin/distance"), 1, "a"),
                Curve("random signs", main.series("attack/noise"), 2, "r"),
                Curve("random start", main.series("attack/before"), 3, "s"),
            ],
            floor=0.0,
        ),
        chart(
            "How the masks hide",
            "Undecided: 0 % cuts parts out, 100 % dims every pixel alike. Image dependence: 0 % "
            "hides the same places in every image. Overlap: 100 % all masks hide the same. Ragged: "
            "100 % is noise.",
            [
                Curve("undecided", undecided(main), 1, "u"),
                Curve("image dependence", main.series("masker/image_dependence"), 2, "i"),
                Curve("overlap", main.series("masker/overlap"), 3, "o"),
                Curve("ragged", main.series("masker/raggedness"), 4, "r"),
            ],
            share=True,
            floor=0.0,
            ceiling=1.0,
        ),
        chart(
            "How much harder each mask makes it",
            "The loss under each mask minus that of whole views. 0: the mask does nothing.",
            of_each(main, "masker/gain"),
            floor=0.0,
        ),
        chart(
            "Directions in use (RankMe)",
            "How many directions of the embedding carry something. More is richer.",
            beside(runs, "health/rankme"),
            floor=0.0,
            guides=[(most, "all there are")] if most else [],
        ),
        chart(
            "Spread of the embeddings",
            "1: they fill all directions alike. 0: every image looks the same to the "
            "encoder (collapse).",
            beside(runs, "health/std"),
            floor=0.0,
            ceiling=1.0,
        ),
        chart(
            "Same image, other image",
            "Mean squared distance of the embeddings, 0 to 4. Two views of one image should lie "
            "far closer than two images.",
            []
            if main.config.get("pretext")  # a single view of each image
            else [
                Curve("two views of one image", main.series("health/alignment"), 1, "v"),
                Curve("two images", main.series("health/strangers"), 2, "i"),
            ],
            floor=0.0,
        ),
        chart(
            "Uniformity",
            "How evenly the images are spread over all directions. 0: not at all; about -4: as "
            "evenly as can be.",
            beside(runs, "health/uniformity"),
        ),
        chart(
            "What the masks pay",
            "The masker's penalty for masks of the wrong size, overlapping or ragged.",
            [Curve("price", main.series("masker/price"), 1), *named(main, "masker/price")],
            floor=0.0,
        ),
        chart(
            "Pieces of each mask",
            "How many separate pieces the hard mask has, on average. Many small ones are noise.",
            of_each(main, "masker/pieces"),
            floor=0.0,
        ),
        chart(
            "Length of the gradients",
            "Of each network, before its step. A masker without gradient learns nothing.",
            [
                Curve(player, main.series(f"{player}/gradient"), k, player[0])
                for k, player in enumerate(("encoder", "masker"), 1)
            ],
            floor=0.0,
        ),
        chart(
            "Learning rates",
            "How large the steps of each network are.",
            [
                Curve(player, main.series(f"{player}/lr"), k, player[0])
                for k, player in enumerate(("encoder", "masker", "probe"), 1)
            ],
            smooth=False,
            floor=0.0,
        ),
    ]
    return [c for c in found if c is not None]


def beside(runs: Sequence[tuple[str, Story]], key: str) -> list[Curve]:
    """One number of several runs, by their names."""
    return [
        Curve(name, told.series(key), k, str(k) if len(runs) > 1 else "")
        for k, (name, told) in enumerate(runs, 1)
    ]


def of_each(story: Story, name: str) -> list[Curve]:
    """A number of every mask: `NAME/0`, `NAME/1`, ..."""
    start = f"{name}/"
    keys = {k for row in story.rows for k in row if k.startswith(start)}
    slots = sorted(int(k.removeprefix(start)) for k in keys if k.removeprefix(start).isdigit())
    return [Curve(f"mask {k + 1}", story.series(f"{name}/{k}"), k + 1, str(k + 1)) for k in slots]


def named(story: Story, name: str) -> list[Curve]:
    """The parts of a number, `NAME/budget`, `NAME/overlap`; none where there is one alone."""
    start = f"{name}/"
    parts = sorted({k for row in story.rows for k in row if k.startswith(start)})
    found = [(k.removeprefix(start), story.series(k)) for k in parts]
    if len(found) < 2:
        return []
    return [Curve(part, series, k, part[0]) for k, (part, series) in enumerate(found, 2)]


def undecided(story: Story) -> Series:
    """How evenly the masks dim; of runs that did not log it, their softness."""
    found = story.series("masker/dimming")
    return found if len(found.steps) else story.series("masker/softness")


class Times(NamedTuple):
    """Where the time went.

    Attributes:
        bars: Of the first and the last epoch: its name and its parts.
        legend: Label and colour of every part.
        words: The last epoch in a sentence.
        table: Every epoch: its number, each part's share, images per second.
    """

    bars: list[tuple[str, list[Part]]]
    legend: list[tuple[str, int]]
    words: str
    table: list[tuple[int, list[str], str]]


def times(story: Story) -> Times | None:
    """Where the time of each epoch went, None if it was not logged."""
    rows = [r for r in story.rows if any(k.startswith("time/") for k in r)]
    if not rows:
        return None
    seen = {k.removeprefix("time/") for r in rows for k in r if k.startswith("time/")}
    names = [*(n for n in PARTS if n in seen), *sorted(seen - set(PARTS))]

    def shares(row: dict[str, Any]) -> list[tuple[str, float]]:
        return [(PARTS.get(n, n), float(row.get(f"time/{n}", 0.0))) for n in names]

    chosen = [rows[0], rows[-1]] if len(rows) > 1 else rows
    every = sorted(stacked(shares(rows[-1])), key=lambda p: -p.share)
    last = [p for p in every if p.share >= 0.01] or every
    rest = "; under 1\N{NO-BREAK SPACE}% each: " if len(last) < len(every) else ""
    rest += ", ".join(p.label for p in every[len(last) :])
    return Times(
        [(f"Epoch {int(r['epoch']) + 1}", stacked(shares(r))) for r in chosen],
        [(PARTS.get(n, n), k) for k, n in enumerate(names, 1)],
        f"In the last epoch: {listed([f'{percent(p.share, 0)} {p.label}' for p in last])}{rest}.",
        [
            (
                int(r["epoch"]) + 1,
                [percent(share) for _, share in shares(r)],
                f"{r['images_per_s']:,.0f}" if "images_per_s" in r else NONE,
            )
            for r in rows
        ],
    )
