"""The model card: what an encoder is, how it was trained, what was measured, what it is not.

Everything in it is read from the run's folder: the encoder's card, the settings, the summary, the
numbers under `eval/`.
"""

from typing import Any, NamedTuple

from masquerade.core.rundir import RunDir
from masquerade.jobs import finished, importing
from masquerade.jobs.settings import Pretrain
from masquerade.networks import encoder_file
from masquerade.networks.encoder_file import Card

SHOWN = 8  # metrics of a protocol
STANDARDISED = ", minus the mean, divided by the standard deviation"
LICENCES = {  # of training images, where it is known
    "toybox": "rendered objects on photo tiles, most of them CC0 or CC-BY; every author is named "
    "in masquerade's data/toybox/LICENSES.txt",
    "digits": "UCI's optical recognition of handwritten digits, CC BY 4.0",
    "fashion_mnist": "Fashion-MNIST, MIT",
    "imagenet": "ImageNet's terms of access: research and education, not commercial",
    "imagenet100": "ImageNet's terms of access: research and education, not commercial",
    "imagenet100s": "ImageNet's terms of access: research and education, not commercial",
}
FREE = "Not set here. It is for whoever trained the encoder to choose."


class Use(NamedTuple):
    """How an exported encoder is used.

    Attributes:
        architecture: What it is, in a few words.
        code: Python that loads it, run in its folder.
        also: A paragraph after the code; empty for none.
        ready: The end of the sentence that says what images must be; empty if [0, 1] is all.
    """

    architecture: str
    code: str
    also: str
    ready: str


class Measured(NamedTuple):
    """A number of the trained encoder, and of what it is compared with.

    Attributes:
        protocol: How it was measured.
        data: What was fitted on.
        metric: Its name, `test/top1`.
        trained: The encoder's.
        beside: Of others by name: untrained, pixels.
    """

    protocol: str
    data: str
    metric: str
    trained: float
    beside: dict[str, float]


def text(run: RunDir, use: Use, licence: str, front: str = "") -> str:
    """The model card of a run's encoder.

    Args:
        run: Its folder.
        use: How it is loaded.
        licence: Of the weights; empty says that none is set.
        front: Metadata in YAML; empty takes a short one.
    """
    card = encoder_file.card(run.path)
    trained = finished.settings(run) if run.has("config.json") else None
    summary = run.read_json("summary.json") if run.has("summary.json") else {}
    found = measured(run)
    return f"""\
---
{front or FRONT}---

# {card.about.get("title") or use.architecture}

{opening(run, card)} It turns an image into {card.dim} numbers; put a linear layer or a
nearest-neighbour search on top.

## Load it

```python
{use.code}
```

{use.also + chr(10) * 2 if use.also else ""}\
Give it images in [0, 1], resized so that the shorter side is {card.size} px, centre-cropped\
{use.ready}.

## What it is

{rows(facts(run, card, use))}

## How it was trained

{rows(training(run, card, trained, summary))}

## What was measured

{results(found)}

## Limits

{chr(10).join(f"- {one}" for one in limits(card, summary, found))}

## Licence

{f"The weights: {licence}." if licence else FREE}

The training images: {images_licence(trained, card)}.
"""


FRONT = """\
library_name: timm
tags: [timm, image-feature-extraction, self-supervised, masquerade]
"""


def rows(table: dict[str, str]) -> str:
    """A table of two columns."""
    return "\n".join(["| | |", "| --- | --- |", *(f"| {k} | {v} |" for k, v in table.items())])


def opening(run: RunDir, card: Card) -> str:
    """The first sentence."""
    if run.has(importing.RECORD):
        return f"An image encoder imported by masquerade from {card.about.get('imported')}."
    return "An image encoder trained without labels by masquerade."


def facts(run: RunDir, card: Card, use: Use) -> dict[str, str]:
    """The architecture and what it takes."""
    counted = digests(run, card)
    told = {k: v for k, v in card.about.items() if isinstance(v, str | int | float) and v != ""}
    return {
        "Architecture": use.architecture,
        "Features": f"{card.dim} numbers per image, pooled",
        "Trained on images of": f"{card.size} x {card.size} px, {card.channels} channels",
        "Mean": ", ".join(f"{v:.4f}" for v in card.mean),
        "Standard deviation": ", ".join(f"{v:.4f}" for v in card.std),
        "Started from": card.origin or "fresh weights",
        "Digests of training images": f"{counted}, kept in the run's folder" if counted else "none",
    } | {
        k.replace("_", " ").capitalize(): plainly(v)
        for k, v in told.items()
        if k not in ("title", "digests", "projector")
    }


def training(
    run: RunDir, card: Card, trained: Pretrain | None, summary: dict[str, Any]
) -> dict[str, str]:
    """Method, length, data and program of the training, as far as they are known."""
    if trained is None or run.has(importing.RECORD):
        return {"Method": card.origin or "unknown", "Images": str(card.about.get("trained_on", ""))}
    masks = ", ".join(m.kind for m in trained.maskers) or "no masks"
    method = trained.pretext.kind if trained.pretext else f"{trained.objective.kind}, {masks}"
    passes = "1 epoch" if trained.epochs == 1 else f"{trained.epochs:,} epochs"
    made = run.read_json("environment.json") if run.has("environment.json") else {}
    return {
        "Method": method,
        "Images": f"{summary.get('images', 'unknown')} of {card.about.get('trained_on', '')}",
        "Length": f"{passes} of batch {trained.batch}, {summary.get('steps')} steps",
        "Optimizer": trained.optimizers.encoder.described(),
        "Seed": str(trained.seed),
        "Program": f"masquerade {made.get('masquerade')}, torch {made.get('torch')}, "
        f"timm {made.get('timm')}",
        "Machine": str(made.get("device", "unknown")),
    }


def measured(run: RunDir) -> list[Measured]:
    """Every number that evaluate kept of the trained encoder."""
    found = []
    for name, content in run.results("eval").items():
        by_encoder = content.get("rows", {}) if isinstance(content, dict) else {}
        for metric, value in by_encoder.get("trained", {}).items():
            beside = {
                who: numbers[metric]
                for who, numbers in by_encoder.items()
                if who != "trained" and metric in numbers
            }
            if isinstance(value, int | float):
                found.append(Measured(name, str(content.get("data")), metric, value, beside))
    return found


def results(found: list[Measured]) -> str:
    """The numbers as a table, the first few of each protocol."""
    if not found:
        return "Nothing yet: `masquerade evaluate RUN` measures it."
    lines = [
        "| protocol | fitted on | metric | this encoder | untrained | raw pixels |",
        "| --- | --- | --- | --: | --: | --: |",
    ]
    for protocol in dict.fromkeys(one.protocol for one in found):
        own = [one for one in found if one.protocol == protocol]
        for one in own[:SHOWN]:
            others = [one.beside.get(who) for who in ("untrained", "pixels")]
            cells = [number(v) for v in (one.trained, *others)]
            lines.append(f"| {protocol} | {one.data} | {one.metric} | {' | '.join(cells)} |")
        if len(own) > SHOWN:
            lines.append(f"| {protocol} | | {len(own) - SHOWN} more in the run's folder | | | |")
    return "\n".join(lines)


def limits(card: Card, summary: dict[str, Any], found: list[Measured]) -> list[str]:
    """What one should not expect, from what is known."""
    told = [
        f"It has seen {card.about.get('trained_on', 'images')} at {card.size} px. Other kinds of "
        "images and other sizes were not tried.",
        *[str(note) for note in summary.get("notes", [])],
    ]
    verdict = summary.get("verdict", {})
    if verdict and not verdict.get("healthy", True):
        told.append(f"Its training ended with a warning: {verdict.get('text')}")
    for one in found:
        for who, value in one.beside.items():
            if one.metric.endswith("top1") and value >= one.trained:
                name = {"pixels": "Raw pixels", "untrained": "The same network untrained"}[who]
                told.append(
                    f"{name} did as well or better in {one.protocol}, {one.metric}: "
                    f"{number(value)} against {number(one.trained)}."
                )
    told.append("Fairness, privacy of training images and safety were not examined.")
    return told


def images_licence(trained: Pretrain | None, card: Card) -> str:
    """What is known of the licence of the training images."""
    kind = trained.data.kind if trained and "imported" not in card.about else ""
    return LICENCES.get(kind, "not known here; look where they come from")


def digests(run: RunDir, card: Card) -> int:
    """How many digests of training images the run keeps."""
    name = card.about.get("digests")
    if not isinstance(name, str) or not run.has(name):
        return 0
    return len((run.path / name).read_text(encoding="utf-8").split())


def number(value: float | None) -> str:
    """A number in a table."""
    return "-" if value is None else f"{value:.4g}"


def plainly(value: object) -> str:
    """A value as a word: yes and no rather than True and False."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
