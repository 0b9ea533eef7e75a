"""Numbers as people read them, and the sentences a page opens with."""

import math
from typing import NamedTuple

NONE = "\N{EN DASH}"  # stands where nothing was measured


class Score(NamedTuple):
    """How often something names the right class.

    Attributes:
        value: A share in 0..1.
        images: How many images it was measured on, 0 if unknown.
    """

    value: float
    images: int = 0


def percent(share: float, digits: int = 1) -> str:
    """`41.2 %`, the space unbreakable."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def points(difference: float) -> str:
    """The size of a difference of two shares: `9.1 points`, `1 point`."""
    text = f"{abs(100 * difference):.1f}"
    return f"{text}\N{NO-BREAK SPACE}point{'' if text == '1.0' else 's'}"


def span(seconds: float) -> str:
    """A time for people: `40 s`, `12 min`, `3.5 h`, `2.1 days`."""
    gap = "\N{NO-BREAK SPACE}"
    if seconds < 90:
        return f"{seconds:.0f}{gap}s"
    if seconds < 5400:
        return f"{seconds / 60:.0f}{gap}min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f}{gap}h"
    return f"{seconds / 86400:.1f}{gap}days"


def short(value: float) -> str:
    """A number in at most four figures: `0.0123`, `1.23`, `1,234`."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 0.001:
        return f"{value:.1e}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def doubt(a: Score, b: Score) -> float:
    """Two standard errors of the difference of two shares measured on finitely many images.

    0 where the number of images is unknown. Independent draws are assumed; both are measured
    on the same images, so the true doubt is rather smaller.
    """
    if not (a.images and b.images):
        return 0.0
    return 2 * math.sqrt(sum(s.value * (1 - s.value) / s.images for s in (a, b)))


def gap(a: Score, b: Score) -> int:
    """1 if `a` is clearly better, -1 if clearly worse, 0 if chance alone could explain it."""
    difference = a.value - b.value
    if abs(difference) <= doubt(a, b):
        return 0
    return 1 if difference > 0 else -1


def verdict(trained: Score, untrained: Score | None, pixels: Score | None) -> tuple[str, str]:
    """What came of it: a mood (`good`, `mixed`, `bad`, `open`) and a sentence for the top."""
    others = [(untrained, "the same network untrained"), (pixels, "raw pixels")]
    known = [(score, name, gap(trained, score)) for score, name in others if score]
    if not known:
        return "open", f"It names {percent(trained.value)} of new images right."
    better = [compared(trained, s, name) for s, name, sign in known if sign > 0]
    worse = [compared(trained, s, name) for s, name, sign in known if sign < 0]
    same = [name for _, name, sign in known if sign == 0]
    level = f"no clear difference from {' or '.join(same)}" if same else ""
    if better and not worse and not same:
        return "good", f"Training helped: {' and '.join(better)}."
    if better:
        rest = " and ".join([*worse, *([level] if level else [])])
        return "mixed", f"Training helped in part: {' and '.join(better)}, but {rest}."
    if worse:
        rest = f", and {level}" if level else ""
        return "bad", f"Training did not help: {' and '.join(worse)}{rest}."
    return "mixed", f"Training brought no clear gain over {' or '.join(same)}."


def compared(a: Score, b: Score, name: str) -> str:
    """`9.1 points better than raw pixels`."""
    word = "better" if a.value > b.value else "worse"
    return f"{points(a.value - b.value)} {word} than {name}"


def listed(things: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return things[0] if len(things) == 1 else f"{', '.join(things[:-1])} and {things[-1]}"
