"""Looks at every file before training does, and says what training will do with it.

The judgement is `decode.judge`, the same that pretraining asks; on top come what only shows when
files are compared: copies, and images whose channels do not agree.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from masquerade.core.errors import WrongPath
from masquerade.data import develop
from masquerade.data.arrange import Arranged, arranged
from masquerade.data.decode import Judged, Plan
from masquerade.data.finding import Finding
from masquerade.data.listing import listed, shown
from masquerade.data.raster import Channels
from masquerade.data.stored import File, Stored

HEADINGS = {
    "skip": "skipped by pretraining (data.strict=true stops instead):",
    "use": "used, but look at them:",
    "ignore": "ignored, not taken for images:",
}


class Report(NamedTuple):
    """What lies at a path.

    Attributes:
        path: What was looked at.
        files: Files judged as images.
        usable: How many of them pretraining uses.
        summary: Sentences on sizes, splits and classes.
        findings: One per problem and file, those that cost images first.
    """

    path: str
    files: int
    usable: int
    summary: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def skipped(self) -> tuple[Finding, ...]:
        """Findings that cost an image."""
        return tuple(f for f in self.findings if f.action == "skip")

    def lines(self, most: int = 50) -> list[str]:
        """The report as text, at most so many files under each heading."""
        text = [f"{self.path}: {self.usable:,} of {self.files:,} images can be used", *self.summary]
        for action, heading in HEADINGS.items():
            own = [f for f in self.findings if f.action == action]
            if own:
                kinds = ", ".join(f"{n} {k}" for k, n in Counter(f.problem for f in own).items())
                text += ["", f"{heading} {kinds}"]
                text += [f"  {f.file} {f.reason}" for f in own[:most]]
                if len(own) > most:
                    text.append(f"  and {len(own) - most:,} more")
        return text


def examine(path: Path, channels: Channels = "rgb") -> Report:
    """Decodes every file at a path and reports; never raises for what is in a file.

    Args:
        path: A folder, a list of images (.txt), shards (.tar, .parquet, or a folder of nothing
            else), or one image.
        channels: As pretraining would read them.

    Raises:
        WrongPath: There is nothing at the path.
        ValueError: A shard cannot be opened.
    """
    path = path.expanduser()
    if not path.exists():
        raise WrongPath(f"there is nothing at {path} (looked from {Path.cwd()})")
    files, passed = inside(path)
    what = f"judging {len(files):,} files of {path}"
    plan = Plan(channels, 96)
    judged = develop.judged(what, develop.whole, plan, list(enumerate(files)))
    judged = develop.agreeing(files, judged)
    found = [f for j in judged for f in j.findings] + copies(files, judged) + list(passed)
    return Report(
        shown(str(path)),
        len(files),
        sum(j.usable for j in judged),
        tuple(sizes(judged) + (meaning(path) if path.is_dir() and arrangeable(files) else [])),
        tuple(sorted(found, key=lambda f: (list(HEADINGS).index(f.action), f.file))),
    )


def inside(path: Path) -> tuple[list[Stored], tuple[Finding, ...]]:
    """The images at a path, wherever they are stored, and what was passed by."""
    from masquerade.data.sources import list as lists
    from masquerade.data.sources import shards

    suffix = path.suffix.lower()
    if suffix == ".txt":
        return [file for file, _ in lists.read(path)], ()
    if suffix in shards.KINDS:
        return [*shards.packed([path]).files], ()
    if not path.is_dir():
        return [File(path, shown(path.name))], ()
    listing = listed(path.resolve())
    if not listing.files and any(p.suffix in shards.KINDS for p in path.iterdir()):
        return [*shards.packed(shards.at(str(path))).files], ()
    return [File(listing.root / f, shown(f)) for f in listing.files], listing.findings


def arrangeable(files: Sequence[Stored]) -> bool:
    """Whether there are images in files of their own, whose folders may mean something."""
    return any(isinstance(file, File) for file in files)


def copies(files: Sequence[Stored], judged: Sequence[Judged]) -> list[Finding]:
    """Files with the bytes of an earlier one."""
    first: dict[str, str] = {}
    found = []
    for file, verdict in zip(files, judged, strict=True):
        earlier = first.setdefault(verdict.digest, file.name) if verdict.usable else file.name
        if earlier != file.name:
            text = f"has the same bytes as {earlier}; both are used"
            found.append(Finding(file.name, "duplicate", text, "use"))
    return found


def sizes(judged: Sequence[Judged]) -> list[str]:
    """The range of sizes and what is stored, as sentences."""
    good = [j for j in judged if j.usable]
    if not good:
        return []
    small, large = (pick((j.shape for j in good), key=area) for pick in (min, max))
    channels = max(j.stored[2] for j in good)
    bits = max(j.bits for j in good)
    return [
        f"from {small[1]} x {small[0]} to {large[1]} x {large[0]} pixels; "
        f"read as {channels} channel{'s' * (channels > 1)} of {bits} bits"
    ]


def area(shape: tuple[int, int]) -> int:
    """Pixels of an image."""
    return shape[0] * shape[1]


def meaning(folder: Path) -> list[str]:
    """How a folder's arrangement is understood, as sentences."""
    found: Arranged = arranged(folder.resolve(), labels=True)
    counts = Counter(found.label.values())
    text = []
    if found.parts:
        parts = ", ".join(f"{name} ({len(own):,})" for name, own in found.parts.items())
        text.append(f"splits: {parts}")
    if found.classes:
        first = [f"{name} ({counts[i]:,})" for i, name in enumerate(found.classes[:10])]
        more = ["..."] if len(found.classes) > 10 else []
        text.append(f"{len(found.classes)} classes: {', '.join(first + more)}")
    else:
        text.append("no class folders: pretraining needs none, evaluation does")
    return text
