"""What stands on top of a page: what was trained on what, for how long, and what came of it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from masquerade.report import tasks
from masquerade.report.read import Story
from masquerade.report.tables import chance, columns, mean_of, pooled
from masquerade.report.words import Score, doubt, gap, percent, points, span, verdict

TOYBOX = "rendered objects on real photo tiles"
HOW = {
    "erase": "patches erased at random",
    "mixmask": "mixtures whose hidden parts another image fills",
    "unmix": "mixtures with a box of another image, or all of it",
    "sequential": "masks made one after another that learn where hiding hurts most",
    "adios": "masks that share the image and learn where hiding hurts most",
    "adios_s": "masks that share the image and learn where hiding hurts most, one at a time",
}
ASKED = {
    "linear": "a linear classifier that reads its features",
    "knn": "a vote among the nearest training images, by its features",
}


class Bar(NamedTuple):
    """A bar of the picture on top: a share in 0..1 of images named right."""

    name: str
    share: float
    text: str
    main: bool


class Headline(NamedTuple):
    """The top of a page.

    Attributes:
        title: A heading.
        mood: good, mixed, bad or open.
        verdict: One sentence.
        detail: How it was measured, and what that is worth.
        bars: The same as a picture; empty if nothing was measured.
        facts: Short things to know: name and value.
    """

    title: str
    mood: str
    verdict: str
    detail: str
    bars: list[Bar]
    facts: list[tuple[str, str]]


def headline(groups: Sequence[Sequence[Story]]) -> Headline:
    """The top of a page about the first of several groups of runs; see `groups.grouped`."""
    story = groups[0][0]
    mood, sentence, detail, bars = judged(groups[0], groups[1:])
    return Headline(titled(story), mood, sentence, detail, bars, facts(story))


def titled(story: Story) -> str:
    """`An image network, trained without labels on 4,000 images for 9 min`."""
    if "imported" in story.summary:
        return f"An image network, imported, trained on {data(story, brief=True)}"
    images = story.summary.get("images")
    on = f"on {images:,} images" if isinstance(images, int) else f"on {data(story, brief=True)}"
    spent = f" for {span(story.cpu_seconds)} of CPU time" if story.cpu_seconds else ""
    if story.finished:
        return f"An image network, trained without labels {on}{spent}"
    return f"An image network, being trained without labels {on}"


def judged(
    group: Sequence[Story], rivals: Sequence[Sequence[Story]]
) -> tuple[str, str, str, list[Bar]]:
    """Mood, verdict, how it was measured, and bars, those of rivals among them."""
    story = group[0]
    if not story.finished:
        done = f"{story.progress} are logged" if story.steps else "No step is logged yet"
        return "open", f"Training is not finished: {done}.", "", []
    wanted = sorted(columns(group), key=lambda c: (c.protocol != "linear", c.protocol != "knn"))
    column = next((c for c in wanted if pooled(group, c)), None)
    if column is None:
        why = [str(n) for r in story.results.values() for n in r.get("notes", [])]
        if found := tasks.sentence(group):
            return "open", found, why[0] if why else "", []
        sentence = "It is trained; how good its features are is not measured yet."
        if story.results:
            sentence = "It is trained; how good its features are could not be measured."
        return "open", sentence, why[0] if why else "", []
    trained, untrained, pixels = (
        average(pooled(group, column, row)) for row in ("trained", "untrained", "pixels")
    )
    assert trained is not None
    mood, sentence = verdict(trained, untrained, pixels)
    where = column.metric.partition("/")[0]
    seeds = f", mean of {len(group)} seeds" if len(group) > 1 else ""
    count = f"{trained.images:,} images" if trained.images else "images"
    asked = ASKED.get(column.protocol, f"the protocol {column.protocol}")
    detail = (
        f"Measured by {asked}, on {count} of the {where} split{seeds}: "
        f"{percent(trained.value)} named right."
    )
    guess = chance(story, column)
    others = [(rival[0].name, average(pooled(rival, column))) for rival in rivals]
    others += [("Same network, untrained", untrained), ("Raw pixels", pixels)]
    others += [("Guessing at random", Score(guess) if guess else None)]
    name = story.name if rivals else "This encoder"
    bars = [Bar(name, trained.value, percent(trained.value), True)]
    bars += [Bar(name, s.value, percent(s.value), False) for name, s in others if s]
    return mood, sentence, detail, bars


def average(scores: Sequence[Score]) -> Score | None:
    """The mean over seeds; the images are counted once, as every seed sees the same."""
    return Score(mean_of(scores), scores[0].images) if scores else None


def data(story: Story, brief: bool = False) -> str:
    """What the run was trained on, in words."""
    source = story.config.get("data")
    kind = str(source.get("kind", "")) if isinstance(source, dict) else str(source or "")
    text = str(story.summary.get("data") or kind or "images")
    if "toybox" in f"{text} {kind}" and TOYBOX not in text and not brief:
        text = f"{text}: {TOYBOX}"
    return text


def method(story: Story) -> str:
    """How the encoder was trained, in words."""
    if "imported" in story.summary:
        return f"unknown; imported: {story.summary['imported']}"
    pretext = story.config.get("pretext")
    if pretext:
        base = pretext.get("base") if isinstance(pretext, dict) else None
        twins = f" of each image and of its attacked twin, on {called(base)}" if base else ""
        return f"{called(pretext)}: hidden patches are predicted{twins}"
    objective = called(story.config.get("objective"))
    maskers = story.config.get("maskers") or []
    if not maskers:
        return f"{objective}: two random views of each image are matched; nothing is hidden"
    hidden = " and ".join(how(m) for m in maskers)
    return f"{objective}: two random views of each image are matched, against {hidden}"


def how(masker: Any) -> str:
    """How a masker hides, in words."""
    words = f"{HOW.get(called(masker), 'hiding')} ({called(masker)})"
    return ", hidden by ".join([words, *(how(given) for given in given_to(masker))])


def given_to(masker: Any) -> list[Any]:
    """The settings of the maskers whose masks another one fills; most have none."""
    return list(masker.get("given") or []) if isinstance(masker, dict) else []


def called(plug: Any) -> str:
    """The name of a plug-in in the settings."""
    return str(plug.get("kind", "?")) if isinstance(plug, dict) else str(plug)


def facts(story: Story) -> list[tuple[str, str]]:
    """Short things to know about a run."""
    backbone = story.config.get("backbone")
    network = backbone.get("name", "?") if isinstance(backbone, dict) else "?"
    epochs = story.summary.get("epochs", story.config.get("epochs", "?"))
    length = f"{epochs} passes over the images in {story.steps:,} steps"
    if not story.finished:
        length = f"{story.progress} so far, in all {epochs} passes over the images"
    found = [
        ("Images", data(story)),
        ("Network", str(story.summary.get("encoder_line") or network)),
        ("Method", method(story)),
    ]
    if "imported" not in story.summary:
        found.append(("Length", f"{length}, {story.config.get('batch', '?')} images each"))
    speed = story.summary.get("images_per_cpu_second")
    if isinstance(speed, int | float):
        found.append(("Speed", f"{speed:,.0f} images per CPU-second"))
    machine = story.environment.get("device")
    if machine:
        found.append(("Machine", f"{machine}; {story.environment.get('cores', '?')} cores"))
    return found


def outline(scores: dict[str, Any]) -> str:
    """How well the best mask finds the objects, beside a centred square; empty if not measured."""
    found = scores.get("test/iou")
    square = scores.get("test/square", scores.get("square/iou"))
    if not isinstance(found, int | float):
        return ""
    slot = scores.get("slot")
    which = f"Mask {slot + 1}" if isinstance(slot, int) else "The best mask"
    said = (
        f"{which} against the exact outline of the object, on test images: overlap (IoU, where 1 "
        f"is perfect and 0 a miss) {found:.2f}"
    )
    if isinstance(square, int | float):
        better = "does better" if found > square else "does no better"
        said += f"; a plain centred square reaches {square:.2f}, so the mask {better}"
    if "chosen_on" in scores:
        said += f". Which mask to take was decided on {scores['chosen_on']} images"
    together, alone = scores.get("test/ari"), scores.get("test/square_ari")
    if isinstance(together, int | float):
        said += (
            ". All masks together, as an outline of everything: adjusted Rand index (ARI, where 1 "
            f"is perfect and 0 chance) {together:.2f}"
        )
        if isinstance(alone, int | float):
            said += f"; the square reaches {alone:.2f}"
    return f"{said}."


def against(main: Sequence[Story], rival: Sequence[Story], name: str) -> str | None:
    """One sentence on how two groups of runs compare, None if they share no measurement."""
    for column in sorted(columns([*main, *rival]), key=lambda c: c.protocol != "linear"):
        a, b = average(pooled(main, column)), average(pooled(rival, column))
        if a is None or b is None:
            continue
        shares = f"{percent(a.value)} against {percent(b.value)}"
        if gap(a, b):
            word = "better" if a.value > b.value else "worse"
            found = f"{points(a.value - b.value)} {word}, {shares}"
        else:
            found = f"no clear difference, {shares}; up to {points(doubt(a, b))} may be chance"
        return f"Compared with {name} ({column.head}): {found}."
    return None
