"""Do the masks of a run make sense? What metrics.jsonl says of them, in words.

papers/adversarial_masking.md, section 11: how adversarial masks fail and how it looks. A verdict
holds for the end of what was logged and says since which step; what came and went is no verdict.
"""

from collections.abc import Callable
from statistics import fmean
from typing import NamedTuple

from masquerade.jobs.tracks import STEADY, Rows, Track, by_step, numbered, together, track

EMPTY, FULL = 0.02, 0.9  # of the image: hides nothing, hides everything
DIM = 0.8  # pixels deviate from the mask's size by less than half as much as in a binary mask
SAME = 0.1  # share of the masks' variance that lies between images
RAGGED = 0.5  # neighbouring pixels differ half as much as any two
OVERLAPPING = 0.7  # cosine of two masks; two independent masks of a quarter each have 0.25
UNEQUAL = 4.0  # largest over smallest mask, both alive
WEAK, STRONG = 0.02, 0.9  # of what the encoder has learned, see `strength`
LEARNED = 0.05  # of the first loss; below it `strength` would divide by nothing
DEAF, LOUD = 1e-4, 1e3  # length of the masker's gradient over that of the encoder's


class Verdict(NamedTuple):
    """What the numbers mean.

    Attributes:
        healthy: Whether nothing is wrong.
        text: A sentence for the user, with the step and the numbers.
        since: The first step at which it held, from 1; None if it is healthy.
        about: The trouble in a word or two, the same in every run: to count runs, and to say a
            thing once.
    """

    healthy: bool
    text: str
    since: int | None
    about: str


def verdicts(rows: Rows) -> list[Verdict]:
    """What is wrong with the masks of a run, or one sentence that they are healthy.

    Args:
        rows: Lines of metrics.jsonl; several of one step are joined. A run that is not finished
            is judged as far as it is.

    Returns:
        Troubles in the order in which one would mend them; empty where no masks are learned, or too
            little is logged to tell.
    """
    joined = by_step(rows)
    slots = sizes(joined)
    if not slots or min(len(size.steps) for size in slots.values()) < STEADY:
        return []
    found = dead(slots)
    alive = [k for k in slots if f"mask {k + 1}" not in {v.about for v in found}]
    found += UNDECIDED.verdict(joined) or ALIKE.verdict(joined)  # equally dim masks are alike
    found += PLACES.verdict(joined) + NOISE.verdict(joined)
    found += unequal({k: slots[k] for k in alive})
    found += pull(joined) + heard(joined)
    return found or [healthy(joined, slots)]


def sizes(rows: Rows) -> dict[int, Track]:
    """The hidden share of each mask."""
    return numbered(rows, "masker/size")


def dead(slots: dict[int, Track]) -> list[Verdict]:
    """Masks that hide nothing, and masks that hide everything."""
    found = []
    for k, size in slots.items():
        about = f"mask {k + 1}"
        if since := size.since(lambda s: s < EMPTY):
            text = (
                f"{about} hides nothing since step {since:,} ({size.last:.1%} of the image): its "
                "copy is one more unmasked view. Hold its budget, or take fewer masks"
            )
            found.append(Verdict(False, text, since, about))
        elif since := size.since(lambda s: s > FULL):
            text = (
                f"{about} hides everything since step {since:,} ({size.last:.1%} of the image): "
                "the encoder learns nothing from its copy. Raise the price of large masks"
            )
            found.append(Verdict(False, text, since, about))
    return found


class Sign(NamedTuple):
    """A number of all masks together that tells a trouble.

    Attributes:
        key: Under which it is logged.
        holds: Whether a value means trouble.
        about: See `Verdict`.
        text: The sentence; `{since}` and `{value}` are filled in.
    """

    key: str
    holds: Callable[[float], bool]
    about: str
    text: str

    def verdict(self, rows: Rows) -> list[Verdict]:
        """The trouble, if it is there."""
        values = track(rows, self.key)
        since = values.since(self.holds)
        if since is None:
            return []
        text = self.text.format(since=f"since step {since:,}", value=values.last)
        return [Verdict(False, text, since, self.about)]


UNDECIDED = Sign(
    "masker/dimming",
    lambda v: v > DIM,
    "undecided",
    "the masks are undecided {since} ({value:.2f}, where 0 cuts out and 1 dims every pixel "
    "alike): they dim the image more than they hide parts of it. Pictures of the strongest mask do "
    "not show it",
)
ALIKE = Sign(
    "masker/overlap",
    lambda v: v > OVERLAPPING,
    "overlapping",
    "the masks hide much the same {since} (cosine of two masks {value:.2f}, where 1 is equal): "
    "raise the price of overlap, or take fewer masks",
)
PLACES = Sign(
    "masker/image_dependence",
    lambda v: v < SAME,
    "same for every image",
    "the masks are the same for every image {since} (image dependence {value:.2f} of 1): they "
    "hide places, not things",
)
NOISE = Sign(
    "masker/raggedness",
    lambda v: v > RAGGED,
    "ragged",
    "the masks are ragged {since} ({value:.2f}, where 0 is smooth and 1 is noise): single pixels, "
    "not parts. Raise the weight of consistency",
)


def unequal(slots: dict[int, Track]) -> list[Verdict]:
    """Live masks of very different size."""
    quotients = together(list(slots.values()), lambda v: max(v) / max(min(v), EMPTY))
    ratio = Track(list(quotients), list(quotients.values()))
    since = ratio.since(lambda v: v > UNEQUAL)
    if not since:
        return []
    order = sorted(slots, key=lambda k: slots[k].last)
    low, high = order[0], order[-1]
    text = (
        f"the masks share the image unequally since step {since:,}: mask {high + 1} hides "
        f"{slots[high].last:.0%}, mask {low + 1} only {slots[low].last:.0%}. A higher price of "
        "wrong sizes evens them"
    )
    return [Verdict(False, text, since, "unequal")]


def pull(rows: Rows) -> list[Verdict]:
    """A masker that makes the task hopeless, or no harder at all."""
    found = strength(rows)
    if since := found.since(lambda v: v > STRONG):
        text = (
            f"the masker is too strong since step {since:,}: the encoder matches masked views "
            f"hardly better than it did at the start (the masks undo {found.last:.0%} of what it "
            "learned). Lower optimizers.masker.lr, or hide less"
        )
        return [Verdict(False, text, since, "too strong")]
    if since := found.since(lambda v: v < WEAK):
        text = (
            f"the masker is too weak since step {since:,}: masked views are as easy to match as "
            f"whole ones (the masks undo {max(found.last, 0):.1%} of what the encoder learned). "
            "Raise optimizers.masker.lr, or lower the price"
        )
        return [Verdict(False, text, since, "too weak")]
    return []


def strength(rows: Rows) -> Track:
    """How much of what the encoder has learned the masks undo, over the training.

    The gain (loss of masked minus of whole views, a mean over masks) over what the loss of whole
    views has fallen since the start of the training. It has no unit, so that it means the same
    with every objective. Empty while the encoder has learned nothing, or without gains in the log.
    """
    gained = numbered(rows, "masker/gain")
    gains = together(list(gained.values()))
    losses = together([track(rows, f"masker/loss/{k}") for k in gained])
    if not losses or not gains:
        return Track([], [])
    start = fmean(list(losses.values())[:STEADY])
    found = {}
    for step in sorted(losses.keys() & gains.keys()):
        learned = start - (losses[step] - gains[step])
        if learned > LEARNED * max(abs(start), 1.0):
            found[step] = gains[step] / learned
    return Track(list(found), list(found.values()))


def heard(rows: Rows) -> list[Verdict]:
    """A masker whose gradient is nothing, or drowns out everything, beside the encoder's."""
    lengths = [track(rows, "masker/gradient"), track(rows, "encoder/gradient")]
    ratios = together(lengths, lambda v: v[0] / max(v[1], 1e-30))
    ratio = Track(list(ratios), list(ratios.values()))
    if since := ratio.since(lambda v: v < DEAF):
        text = (
            f"the masker hardly gets a gradient since step {since:,} ({ratio.last:.1e} of "
            "the encoder's): its masks are saturated at 0 or 1, or nothing of the loss reaches them"
        )
        return [Verdict(False, text, since, "no gradient")]
    if since := ratio.since(lambda v: v > LOUD):
        text = (
            f"the masker's gradient is {ratio.last:,.0f} times the encoder's since step "
            f"{since:,}: with SGD its learning rate is too high, or its price explodes"
        )
        return [Verdict(False, text, since, "large gradient")]
    return []


def healthy(rows: Rows, slots: dict[int, Track]) -> Verdict:
    """One sentence for masks with which nothing is wrong."""
    shares = sorted(t.last for t in slots.values())
    who = "the mask hides" if len(shares) == 1 else f"each of the {len(shares)} masks hides"
    low, high = f"{shares[0]:.0%}", f"{shares[-1]:.0%}"
    much = low if low == high else f"{low} to {high}"
    depends = track(rows, "masker/image_dependence")
    where = ", another part in each image" if depends.steps and depends.last > SAME else ""
    return Verdict(
        True, f"the masks are healthy: {who} {much} of the image{where}", None, "healthy"
    )
