"""Image files to an ImageSet: judged and decoded once, in parallel, into the cache."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masquerade.core.errors import BadImages, MissingData
from masquerade.data import cache
from masquerade.data.arrange import held_out
from masquerade.data.decode import Plan
from masquerade.data.develop import Survey, fill
from masquerade.data.finding import Finding
from masquerade.data.images import ImageSet
from masquerade.data.stored import File, Stored
from masquerade.data.streamed import Streamed, index

NAMED = 5  # skipped files named in a note; doctor names all


class Decoded(NamedTuple):
    """Prepared files.

    Attributes:
        images: The usable ones, in the order of the files.
        kept: Which of the files these are.
        contents: Digest of each kept file's bytes; equal files have equal digests.
        findings: What was found, skipped files among it.
    """

    images: ImageSet
    kept: NDArray[np.int64]
    contents: list[str]
    findings: list[Finding]


def decoded(
    name: str,
    files: Sequence[Stored],
    plan: Plan,
    strict: bool,
    passed: Sequence[Finding] = (),
    stream: bool = False,
) -> Decoded:
    """The images of some files, from the cache if their bytes were decoded before.

    The entry is named by every file's content. Reading all files to know that is spared where
    their sizes and times (of writing, and of the last change of any kind) are those of last time.

    Args:
        name: What the user calls the set.
        files: What to decode.
        plan: How.
        strict: Refuse a set of which a file cannot be used.
        passed: What was found before, while listing; its skipped files count too.
        stream: Keep no pixels: every file is decoded once to judge it, and then whenever it is
            read.

    Raises:
        BadImages: Files cannot be used and `strict` is set, or none can.
        DiskFull: The cache has no room.
    """
    if not files:
        raise MissingData(f"{name} holds no images")
    survey = Survey(name, files, plan)
    content = survey.content()
    if stream:
        entry = cache.prepared(name, cache.key("streamed", content), lambda b: index(b, survey))
    else:
        entry = cache.prepared(name, content, lambda b: fill(b, survey))
    findings = [Finding(*found) for found in entry.about["findings"]]
    before = [f for f in passed if f.action == "skip"]
    skipped = before + [f for f in findings if f.action == "skip"]
    count = f"{len(skipped)} of {len(files) + len(before)} files of {name}"
    if skipped and strict:
        lines = "\n".join(f"  {f.file} {f.reason}" for f in skipped)
        raise BadImages(
            f"{count} cannot be used, and data.strict=true forbids to skip them:\n{lines}"
        )
    kept = np.array(entry.about["kept"], np.int64)
    if not len(kept):
        raise BadImages(f"none of the {len(files)} files of {name} can be used: {told(skipped)}")
    pixels: NDArray[Any] | Streamed
    if stream:
        about = entry.about["canvas"], entry.about["dtype"]
        pixels = Streamed([files[i] for i in kept], plan, *about)
    else:
        pixels = entry.arrays["pixels"]
    images = ImageSet(
        name,
        pixels,
        extent=entry.arrays["extent"],
        files=tuple(files[i].name for i in kept),
        paths=whole(files, kept),
        notes=(f"{count} are skipped: {told(skipped)}.",) if skipped else (),
        folder=entry.folder,
    )
    return Decoded(images, kept, entry.about["contents"], findings)


def whole(files: Sequence[Stored], kept: NDArray[np.int64]) -> tuple[Path, ...]:
    """The paths of images that are files of their own; () where some are parts of larger ones."""
    some = [files[i] for i in kept]
    return tuple(f.path for f in some) if all(isinstance(f, File) for f in some) else ()


def told(skipped: Sequence[Finding]) -> str:
    """Skipped files by name and reason, the first five, then how many more."""
    first = "; ".join(f"{f.file} {f.reason}" for f in skipped[:NAMED])
    more = len(skipped) - NAMED
    return f"{first}; and {more} more (masquerade doctor names all)" if more > 0 else first


def part(images: ImageSet, contents: Sequence[str], split: str, ratio: float) -> ImageSet:
    """The "train" or the held-out "test" of labelled images that came in one piece.

    Args:
        images: All of them, with labels.
        contents: A digest of each; copies fall on one side.
        split: "train" or "test".
        ratio: Share of each class that is held out.
    """
    held = held_out(images.targets["label"], contents, ratio)
    rows = np.flatnonzero(held if split == "test" else ~held)
    return images.subset(rows, f"{images.name} {split}").noted(
        f"{images.name} comes without a test part: {held.sum()} of its {len(held)} images "
        f"({ratio:.0%} of each class, chosen by content) are held out as 'test', only to evaluate "
        "on. data.holdout=0 holds out none."
    )
