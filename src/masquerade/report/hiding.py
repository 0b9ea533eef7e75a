"""What was hidden, and what filled it: the pictures of masks on a run's page."""

from typing import Any

from masquerade.report import copies, embedding, pictures
from masquerade.report.headline import called, given_to
from masquerade.report.pictures import Cell
from masquerade.report.read import Story
from masquerade.report.snapshots import Snapshot
from masquerade.report.words import listed

SEEN = "Left: an image. Beside it: what the encoder gets to see of it."
MIXED = "Left: an image. Then its partner, and the mixture of both that the encoder gets to see."
SEVERAL = "Left: an image. Beside it: mixtures with other images, which the encoder gets to see."


def shown(told: Story) -> dict[str, Any]:
    """What the template is filled with.

    `sheets` show masks that are learned and erase, and views made from them; `stages` show what
    the encoder saw, where chance draws or partners fill.
    """
    names = labels(told)
    taken = told.snapshots
    moments = [taken[0], taken[-1]] if len(taken) > 1 else taken
    when = ["So far"] if len(moments) == 1 else ["Early", "Late"]
    if told.by_chance:
        when = ["One draw", "Another draw"]
    dated = list(zip(when, moments, strict=False))
    frames = pictures.frames(taken)
    if told.by_chance and not any(shot.copies for shot in frames):
        frames = []  # older runs kept the same draw at every moment
    return {
        "sheets": [(w, s.step, pictures.panels(s, told.mean)) for w, s in dated if not s.copies],
        "stages": [(w, copies.stage(s, names)) for w, s in dated if s.copies],
        "masks": coloured(taken[-1]) if taken else 0,
        "fills": any(copy.fills for shot in moments for copy in shot.copies),
        "drawn": drawn(told, names),
        "by_chance": told.by_chance,
        "mean_known": told.mean is not None,
        "film": pictures.film(frames),
        "reel": copies.rows(frames, names) if frames and frames[0].copies else [],
        **glimpsed(told),
    }


def labels(told: Story) -> list[str]:
    """What each masker is called: `mixmask of adios`; numbered where two have one name."""
    found = [
        " of ".join(called(one) for one in (masker, *given_to(masker)))
        for masker in told.config.get("maskers") or []
    ]
    places = (copy.masker for shot in told.snapshots for copy in shot.copies)
    found += ["?"] * (max(places, default=-1) + 1 - len(found))  # settings that were cut
    return [
        f"{name} {found[: k + 1].count(name)}" if found.count(name) > 1 else name
        for k, name in enumerate(found)
    ]


def coloured(taken: Snapshot) -> int:
    """How many masks have a colour in the pictures of the strongest."""
    if not taken.copies:
        return int(taken.hidden.shape[1])
    groups = copies.members(taken).values()
    return max((len(made) for made in groups if made[0].learned and len(made) > 1), default=0)


def drawn(told: Story, names: list[str]) -> str:
    """Which masks are drawn by chance; empty where all are learned."""
    if told.by_chance:
        return "These masks are drawn by chance, anew in every step: nobody learned where to hide."
    made = told.snapshots[-1].copies if told.snapshots else ()
    chance, learned = (
        listed(list(dict.fromkeys(names[c.masker] for c in made if c.learned == one)) or [""])
        for one in (False, True)
    )
    if not chance:
        return ""
    return (
        f"The masks of {chance} are drawn by chance, anew in every step; those of {learned} are "
        "learned."
    )


def judged(told: Story) -> str:
    """Why nothing is said of how good the masks are; empty where some are learned."""
    if not told.by_chance:
        return ""
    return (
        f"The masks are drawn by chance ({listed(labels(told))}): nobody learned where to hide, "
        "so they are neither judged nor measured."
    )


def glimpsed(told: Story) -> dict[str, Any]:
    """Three images and what the encoder sees of them, for the top of a page, and what that is."""
    if not told.snapshots:
        laid = told.embedding
        words = "Some of the images it was tested on."
        return {"glimpse": embedding.sample(laid) if laid else [], "glimpsed": words}
    last = told.snapshots[-1]
    if not last.copies:
        return {"glimpse": pictures.glimpse(last, told.mean), "glimpsed": SEEN}
    scenes = copies.stage(last, labels(told)).scenes[:3]
    filled = all(copy.fills for copy in last.copies)
    alone = filled and len(last.copies) == 1
    mixtures = MIXED if alone else SEVERAL
    return {
        "glimpse": [[scene.image, *beside(scene, alone)] for scene in scenes],
        "glimpsed": mixtures if filled else SEEN,
    }


def beside(scene: copies.Scene, alone: bool) -> list[Cell]:
    """At most three pictures: the views, and the partner where there is one view alone."""
    views = [slot.lower for slot in scene.slots if slot.lower]
    partners = [slot.upper for slot in scene.slots if slot.head == "partner"] if alone else []
    return [*partners, *views][:3]
