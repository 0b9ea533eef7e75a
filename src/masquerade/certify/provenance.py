"""What a radius entitles to say, which depends on where the features come from.

A poisoned image that the encoder was trained on moves the features of all images and so reaches
every model; a label that influenced the encoder does the same. What the encoder's card and the
digests of its training images show is verified; what nobody can verify the user may assert; and
without either the weaker sentence is said.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from masquerade.networks import encoder_file

Scope = Literal["general", "labels", "nothing"]
Status = Literal["verified", "asserted", "open"]
Assertion = Literal["label_free", "unreachable"]


class Manifest(NamedTuple):
    """What is known about a feature extractor.

    Attributes:
        name: What it is called in sentences.
        learnt: Whether it was trained on anything; raw pixels and fresh weights were not.
        digests: The images it was trained on; None where that is not known.
        labels: Whether labels influenced it; None where that is not known.
        extractor: Whether something makes features of images, which sentences then must name.
    """

    name: str
    learnt: bool
    digests: frozenset[str] | None = None
    labels: bool | None = None
    extractor: bool = True


class Assumption(NamedTuple):
    """One thing that a sentence rests on.

    Attributes:
        text: The thing.
        status: `verified` by us, `asserted` by the user, or `open`: neither.
    """

    text: str
    status: Status


class Claim(NamedTuple):
    """What may be said.

    Attributes:
        scope: Against what the radius holds: any poisons (`general`), changed labels only
            (`labels`), or nothing.
        why: How the scope came about, in a sentence; empty where nothing was held back.
        assumptions: What it rests on.
        extractor: Whether a feature extractor is among that.
    """

    scope: Scope
    why: str
    assumptions: tuple[Assumption, ...]
    extractor: bool = True

    def sentence(self, radius: int | None = None) -> str:
        """What is proven about one prediction with this radius, R if none is given, with unit."""
        if self.scope == "nothing":
            return f"Nothing is certified: {self.why}."
        start = (
            "For this input the prediction stays the same for every training set that differs "
            "from the one used by at most "
        )
        if self.scope == "labels":
            intact = "images and the feature extractor" if self.extractor else "images"
            return f"{start}{counted(radius, 'changed label')}; {intact} are assumed intact."
        end = ", provided the feature extractor is unaffected" if self.extractor else ""
        return (
            f"{start}{counted(radius, 'inserted or removed image')} (a changed image counts "
            f"twice, a changed label once){end}."
        )

    @property
    def unit(self) -> str:
        """What a radius counts, for tables and axes."""
        return {
            "general": "images inserted, removed or relabelled (a changed image counts twice)",
            "labels": "labels changed; images assumed intact",
            "nothing": "partitions poisoned; nothing is certified",
        }[self.scope]


IMAGES = Manifest("raw images", learnt=False, extractor=False)
PIXELS = Manifest("raw pixels", learnt=False, extractor=False)
UNTRAINED = Manifest("an untrained encoder", learnt=False)
UNKNOWN = Manifest("these features", learnt=True)


def manifest(folder: Path) -> Manifest:
    """What the card of a run's encoder shows, and the list of digests beside it.

    Weights that training started from were trained on images that no list holds, so then neither
    images nor labels are known.

    Raises:
        MissingData: There is no card.
        ValueError: The card cannot be used.
    """
    card = encoder_file.card(folder)
    if card.origin:
        return Manifest(f"the encoder (which started from {card.origin})", learnt=True)
    labels = card.about.get("labels_used")
    file = card.about.get("digests")
    place = folder / file if isinstance(file, str) and Path(file).name == file else None
    lines = place.read_text("ascii").split() if place and place.is_file() else []
    whole = bool(lines) and len(lines) == card.about.get("images")  # or the list was cut
    return Manifest(
        "the encoder",
        learnt=True,
        digests=frozenset(lines) if whole else None,
        labels=labels if isinstance(labels, bool) else None,
    )


def claim(
    source: Manifest,
    digests: Sequence[str],
    asserted: Sequence[Assertion] = (),
    *,
    dealt: bool = False,
    portable: bool = False,
    repeats: bool = True,
) -> Claim:
    """What may be said about certificates of models on these features.

    Args:
        source: Where the features come from.
        digests: The labelled training images.
        asserted: `label_free`: no label of these images influenced the extractor or a choice
            about it. `unreachable`: whoever supplies these images could not reach what the
            extractor was trained on.
        dealt: Whether the partition of an image depends on other images (`assign=dealt`).
        portable: Whether models have the same bits on every machine.
        repeats: Whether training a model again is known to give the same bits.
    """
    local = local_assumptions(dealt, portable, repeats)
    if not source.learnt:
        free = f"{source.name}: nothing that models share was learnt from any image or label"
        rests = Assumption(free, "verified"), *local
        scope: Scope = "labels" if dealt else "general"
        return Claim(scope, DEALT if dealt else "", rests, source.extractor)
    shared = None if source.digests is None else len(source.digests.intersection(digests))
    found = (label_free(source, asserted), apart(shared, len(digests)), beyond(asserted))
    labels, _, reach = (a.status for a in found)
    if source.labels:
        return Claim("nothing", f"labels influenced {source.name}", (*found, *local))
    if labels == "open":
        why = (
            f"it is not known whether labels influenced {source.name}. If none did, say so: "
            "asserted=label_free"
        )
        return Claim("nothing", why, (*found, *local))
    if dealt:
        return Claim("labels", DEALT, (*found, *local))
    if reach == "open":
        return Claim("labels", held_back(source, shared, len(digests)), (*found, *local))
    return Claim("general", "", (*found, *local))


DEALT = "assign=dealt lets the place of an image depend on others, so images must be intact"


def label_free(source: Manifest, asserted: Sequence[Assertion]) -> Assumption:
    """That no label influenced the extractor."""
    text = f"no label influenced {source.name}"
    if source.labels is not None:
        return Assumption(text, "open" if source.labels else "verified")
    return Assumption(text, "asserted" if "label_free" in asserted else "open")


def apart(shared: int | None, images: int) -> Assumption:
    """That the extractor was trained on other images, byte for byte."""
    text = f"none of the {images:,} labelled images was seen in its training, byte for byte"
    if shared:
        text = f"{shared:,} of the {images:,} labelled images were seen in its training"
    return Assumption(text, "open" if shared is None or shared else "verified")


def beyond(asserted: Sequence[Assertion]) -> Assumption:
    """That poisons cannot have reached what the extractor was trained on."""
    text = "whoever supplies the labelled images could not reach the images it was trained on"
    return Assumption(text, "asserted" if "unreachable" in asserted else "open")


def local_assumptions(dealt: bool, portable: bool, repeats: bool) -> tuple[Assumption, ...]:
    """What the code enforces, and what only the user can keep."""
    place = "the labelled images alone" if dealt else "its own pixels alone"
    machine = "on every machine" if portable else "on this machine and library"
    return (
        Assumption(f"the partition of an image follows from {place}", "verified"),
        Assumption(
            f"a model follows from its own partitions alone, bit for bit {machine}",
            "verified" if repeats else "open",
        ),
        Assumption(
            "classes, rule, partitions and base learner were chosen without these labels", "open"
        ),
    )


def held_back(source: Manifest, shared: int | None, images: int) -> str:
    """Why inserted images are not covered."""
    if shared:
        return (
            f"{source.name} was trained on {shared:,} of the {images:,} labelled images, so an "
            "inserted image could move the features of all others"
        )
    if shared is None:
        return f"it is not known which images {source.name} was trained on"
    return (
        f"{source.name} saw none of the labelled images, but nothing shows that whoever supplied "
        "them could not reach its training images. If so, say so: asserted=unreachable"
    )


def counted(number: int | None, noun: str) -> str:
    """`1 changed label`, `2 changed labels`, `R changed labels`."""
    return f"{'R' if number is None else f'{number:,}'} {noun}{'' if number == 1 else 's'}"
