"""Do the tests notice? Six mistakes that are easy to make with filled masks, each made on purpose.

The mistakes are those named at the end of papers/mixmask.md. Each is one exact text of the source
replaced in a copy of it; the tests then run on the copy and at least one has to fail. Where a text
is not found once, because the source has moved on, the script stops: no mistake is left out
silently.

    python benchmarks/mutations.py
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks.machine import ROOT, Goal, machine, table, write

from masquerade.engine.runtime import Runtime

LOSSES = ("tests/pretext/test_mixing.py", "tests/pretext/test_filling.py")
MASKS = ("tests/maskers/test_blocks.py",)
FILLING = ("tests/maskers/test_partners.py", "tests/maskers/test_mixmask.py")
FAILED, PASSED = 1, 0  # what pytest exits with; anything else is a run that went wrong


class Mutation(NamedTuple):
    """A mistake.

    Attributes:
        name: As the paper file calls it, or a few words.
        file: Where, under src/masquerade.
        right: The text that is there once.
        wrong: What is put in its place.
        tests: The files that ought to notice.
    """

    name: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


MUTATIONS = [
    Mutation(
        "swapped share (lambda for 1 - lambda)",
        "pretext/positives.py",
        "torch.stack([copy.share, rest], 1)",
        "torch.stack([rest, copy.share], 1)",
        LOSSES,
    ),
    Mutation(
        "fill for the inverse permutation",
        "pretext/positives.py",
        "gather.gathered(copy.partner).argsort()",
        "gather.gathered(copy.partner)",
        LOSSES,
    ),
    Mutation(
        "off-by-one flip (n - i)",
        "maskers/partners.py",
        "torch.arange(length).flip(0)",
        "torch.arange(length).flip(0).roll(1)",
        FILLING,
    ),
    Mutation(
        "swapped momentum order (MoCo's copy moves after the step)",
        "objectives/moco.py",
        """\
    def before_step(self, progress: Progress) -> None:
        follow(self.key_backbone, self.backbone, self.config.momentum)
        follow(self.key_projector, self.projector, self.config.momentum)

    @torch.no_grad()
    def after_step(self, progress: Progress) -> None:
""",
        """\
    @torch.no_grad()
    def after_step(self, progress: Progress) -> None:
        follow(self.key_backbone, self.backbone, self.config.momentum)
        follow(self.key_projector, self.projector, self.config.momentum)
""",
        LOSSES,
    ),
    Mutation(
        "min_cells (blocks of 1 cell instead of 4)",
        "maskers/blocks.py",
        "stream.uniform(smallest, missing)",
        "stream.uniform(1, missing)",
        MASKS,
    ),
    Mutation(
        "non-strict block size (a block spans a side)",
        "maskers/blocks.py",
        "if max(height, width) >= grid:",
        "if max(height, width) > grid:",
        MASKS,
    ),
    Mutation(
        "min_cells, masks drawn together",
        "maskers/blocks.py",
        "area = smallest + (room - smallest) * drawn[0]",
        "area = 1 + (room - 1) * drawn[0]",
        MASKS,
    ),
    Mutation(
        "non-strict block size, masks drawn together",
        "maskers/blocks.py",
        "fits = (height < grid) & (width < grid)",
        "fits = (height <= grid) & (width <= grid)",
        MASKS,
    ),
]


class Outcome(NamedTuple):
    """What a run of tests came to.

    Attributes:
        tests: How many there were.
        failed: The names of those that failed.
        seconds: How long it took.
    """

    tests: int
    failed: list[str]
    seconds: float


def mutated(source: str, mutation: Mutation) -> str:
    """A text with the mistake in it.

    Raises:
        ValueError: The right text is not there, or more than once.
    """
    count = source.count(mutation.right)
    if count != 1:
        raise ValueError(
            f"{mutation.name}: {mutation.file} has the text to be replaced {count} times, not "
            f"once; write anew what benchmarks/mutations.py looks for: {mutation.right!r}"
        )
    return source.replace(mutation.right, mutation.wrong)


def outcome(source: Path, tests: list[str]) -> Outcome:
    """Run tests on a copy of the package.

    Raises:
        RuntimeError: They did not run to their end, or on another copy.
    """
    begun = time.monotonic()
    there = {**os.environ, "PYTHONPATH": str(source)}
    there["HYPOTHESIS_STORAGE_DIRECTORY"] = str(source / "hypothesis")
    found = [sys.executable, "-c", "import masquerade; print(masquerade.__file__)"]
    origin = subprocess.run(found, env=there, cwd=ROOT, check=True, capture_output=True, text=True)
    if not Path(origin.stdout.strip()).is_relative_to(source):
        raise RuntimeError(f"the tests would run on {origin.stdout.strip()}, not on {source}")
    report = source / "report.xml"
    words = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
    verb = [sys.executable, "-m", "pytest", *words]
    ended = subprocess.run(verb, env=there, cwd=ROOT, check=False, capture_output=True, text=True)
    if ended.returncode not in (PASSED, FAILED):
        raise RuntimeError(f"{' '.join(tests)} did not run:\n{ended.stdout[-2000:]}{ended.stderr}")
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [c.attrib["name"] for c in cases if c.find("failure") is not None]
    if (ended.returncode == FAILED) != bool(failed):
        raise RuntimeError(f"{' '.join(tests)} failed before a test did:\n{ended.stdout[-2000:]}")
    return Outcome(len(cases), failed, time.monotonic() - begun)


def tried(mutation: Mutation | None) -> Outcome:
    """Run the tests on a copy of the source with a mistake, or with none."""
    with tempfile.TemporaryDirectory(prefix="masquerade-mutations-") as folder:
        source = Path(folder)
        package = source / "masquerade"
        shutil.copytree(
            ROOT / "src" / "masquerade", package, ignore=shutil.ignore_patterns("__py*")
        )
        if mutation is None:
            return outcome(source, sorted({t for m in MUTATIONS for t in m.tests}))
        place = package / mutation.file
        place.write_text(mutated(place.read_text(encoding="utf-8"), mutation), encoding="utf-8")
        return outcome(source, list(mutation.tests))


def main() -> int:
    """Try every mistake and write docs/results/mutations."""
    where = machine(Runtime(accelerator="cpu", threads=1).resolved())
    for mutation in MUTATIONS:  # all texts are looked for before anything runs
        place = ROOT / "src" / "masquerade" / mutation.file
        mutated(place.read_text(encoding="utf-8"), mutation)
    right = tried(None)
    print(f"no mistake: {len(right.failed)} of {right.tests} tests fail", file=sys.stderr)
    found: dict[str, Outcome] = {}
    for mutation in MUTATIONS:
        found[mutation.name] = made = tried(mutation)
        print(f"{mutation.name}: {len(made.failed)} of {made.tests} fail", file=sys.stderr)
    unseen = [name for name, made in found.items() if not made.failed]
    goals = [
        Goal(
            "without a mistake every test passes",
            f"{right.tests - len(right.failed)} of {right.tests} pass",
            not right.failed,
        ),
        Goal(
            "every mistake that the paper file on filled masks names breaks a test",
            f"unseen: {', '.join(unseen)}" if unseen else f"all {len(found)} are noticed",
            not unseen,
        ),
    ]
    lines = [
        (m.name, m.file, f"{len(found[m.name].failed)} of {found[m.name].tests}", first(m, found))
        for m in MUTATIONS
    ]
    body = [
        "Each mistake is made in a copy of the source by replacing one text, and the tests of the "
        "files named in benchmarks/mutations.py run on that copy.",
        table(("mistake", "in", "tests that fail", "the first of them"), lines),
    ]
    figures = {
        "without": right._asdict(),
        "with": {m.name: m._asdict() | found[m.name]._asdict() for m in MUTATIONS},
    }
    write("mutations", "Mistakes made on purpose", body, figures, goals, where)
    return len(unseen) + len(right.failed)


def first(mutation: Mutation, found: dict[str, Outcome]) -> str:
    """The name of a test that fails, without its parameters."""
    failed = found[mutation.name].failed
    return f"`{failed[0].partition('[')[0]}`" if failed else "none"


if __name__ == "__main__":
    sys.exit(main())
