"""Files to a cache entry: headers first, then pixels, spread over processes. Imports no torch."""

import os
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masquerade.data import cache, progress, workers
from masquerade.data.decode import Judged, Plan, judge_stored
from masquerade.data.finding import Finding
from masquerade.data.stored import Stored


class Target(NamedTuple):
    """Where decoded images go; pickled to the workers."""

    plan: Plan
    path: Path
    dtype: str
    shape: tuple[int, ...]


class Survey:
    """A first look at files: their digests, and the headers where those are needed."""

    def __init__(self, name: str, files: Sequence[Stored], plan: Plan) -> None:
        self.name = name
        self.files = files
        self.plan = plan

    @cached_property
    def heads(self) -> list[Judged]:
        """What each file's bytes and header say."""
        what = f"looking at {len(self.files):,} files of {self.name}"
        return judged(what, head, self.plan, list(enumerate(self.files)))

    def content(self) -> str:
        """The key of the cache entry; remembered under the files' sizes and times."""
        known = {path: stamp(path) for path in {f.path for f in self.files}}
        stamps = [(str(f.path), f.name, *known[f.path]) for f in self.files]
        memo = cache.images() / f"seen.{cache.key(self.plan, stamps)}"
        if memo.exists():
            return memo.read_text("ascii")
        found = cache.key(
            self.plan, [(f.name, h.digest) for f, h in zip(self.files, self.heads, strict=True)]
        )
        memo.parent.mkdir(parents=True, exist_ok=True)
        half = memo.with_name(f"{memo.name}.{os.getpid()}")
        half.write_text(found, "ascii")
        half.replace(memo)
        return found


def stamp(path: Path) -> tuple[int, int, int]:
    """Size and times of a file; zeros where it is gone."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def fill(builder: cache.Builder, survey: Survey) -> None:
    """Decodes files into a cache entry; the headers say how large the canvas must be."""
    heads = agreeing(survey.files, survey.heads)
    usable = [i for i, h in enumerate(heads) if h.usable]
    findings = {i: h.findings for i, h in enumerate(heads)}
    kept: list[int] = []
    if usable:
        height, width, channels = (max(heads[i].stored[k] for i in usable) for k in range(3))
        dtype = "uint16" if any(heads[i].bits == 16 for i in usable) else "uint8"
        shape = len(usable), height, width, channels
        builder.array("pixels", dtype, shape)
        target = Target(survey.plan, builder.path("pixels"), dtype, shape)
        what = f"decoding {len(usable):,} images of {builder.name}"
        work = [(row, survey.files[i]) for row, i in enumerate(usable)]
        done = judged(what, develop, target, work)
        good = np.array([row for row, d in enumerate(done) if d.usable], np.int64)
        builder.shorten("pixels", good)
        extent = builder.array("extent", "int32", (len(good), 2))
        if len(good):
            extent[:] = [done[row].stored[:2] for row in good]
        findings |= {i: d.findings for i, d in zip(usable, done, strict=True)}
        kept = [usable[row] for row in good]
    else:
        builder.array("pixels", "uint8", (0, 1, 1, 1))
        builder.array("extent", "int32", (0, 2))
    builder.about["kept"] = kept
    builder.about["contents"] = [heads[i].digest for i in kept]
    builder.about["findings"] = [f for i in sorted(findings) for f in findings[i]]


def agreeing(files: Sequence[Stored], heads: list[Judged]) -> list[Judged]:
    """The verdicts, those with another number of channels than most marked as skipped."""
    counts = Counter(h.stored[2] for h in heads if h.usable)
    if len(counts) < 2:
        return heads
    most = max(counts, key=lambda c: (counts[c], c))
    return [
        h
        if not h.usable or h.stored[2] == most
        else h._replace(findings=(*h.findings, odd(f.name, h.stored[2], most)))
        for f, h in zip(files, heads, strict=True)
    ]


def odd(name: str, channels: int, most: int) -> Finding:
    """The finding for an image that cannot stand beside the others."""
    return Finding(name, "odd channels", f"has {channels} channels where most have {most}", "skip")


def judged(what: str, job: workers.Job, common: Any, items: Sequence[Any]) -> list[Judged]:
    """A worker's job on all files, shown while it runs; a file that kills its worker is bad."""
    results: dict[int, Judged] = {}
    with progress.shown(what, len(items)) as advance:
        for chunk in workers.spread(job, common, items, lost=crashed):
            results.update(chunk)
            advance(len(chunk))
    return [results[i] for i in range(len(items))]


def crashed(item: tuple[int, Stored]) -> Judged:
    """The verdict on a file that no process survives."""
    finding = Finding(item[1].name, "crash", "makes its decoder crash", "skip")
    return Judged("", (0, 0), (0, 0, 0), 8, None, (finding,))


def head(plan: Plan, items: Sequence[tuple[int, Stored]]) -> list[Judged]:
    """A worker's job: digests and headers."""
    return [judge_stored(file, plan, pixels=False) for _, file in items]


def whole(plan: Plan, items: Sequence[tuple[int, Stored]]) -> list[Judged]:
    """A worker's job: full decoding, for the findings only."""
    return [judge_stored(file, plan)._replace(pixels=None) for _, file in items]


def fits(shape: tuple[int, ...], canvas: tuple[int, ...]) -> bool:
    """Whether an image is what its header promised when the canvas was chosen."""
    return shape[0] <= canvas[0] and shape[1] <= canvas[1] and shape[2] == canvas[2]


def spread_out(image: NDArray[Any], canvas: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An image on its canvas, edges repeated; 8 bits become 16 where others have them."""
    if image.dtype != dtype:
        image = image.astype(np.uint16) * 257
    rest = [(0, n - m) for n, m in zip(canvas[:2], image.shape[:2], strict=True)]
    return np.pad(image, (*rest, (0, 0)), "edge")


def develop(target: Target, items: Sequence[tuple[int, Stored]]) -> list[Judged]:
    """A worker's job: decodes files into their rows of the canvas, edges repeated."""
    pixels = cache.mapped(target.path, target.dtype, target.shape, "r+")
    verdicts = []
    for row, file in items:
        verdict = judge_stored(file, target.plan)
        image = verdict.pixels
        if image is not None and not fits(image.shape, target.shape[1:]):
            text = "changed while it was being read"
            verdict = verdict._replace(findings=(Finding(file.name, "changed", text, "skip"),))
        elif image is not None:
            pixels[row] = spread_out(image, target.shape[1:], pixels.dtype)
        verdicts.append(verdict._replace(pixels=None))
    return verdicts
