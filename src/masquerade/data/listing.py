"""The files of a folder: which are images, which are not, and where walking stopped."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from masquerade.data.finding import Finding
from masquerade.data.formats import SUFFIXES

MAGIC = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  "),
    b"BM",
)
# Companions of images that nobody takes for one; not even looked into.
COMPANIONS = frozenset(
    [
        ".txt",
        ".csv",
        ".tsv",
        ".json",
        ".jsonl",
        ".xml",
        ".yaml",
        ".yml",
        ".md",
        ".rst",
        ".html",
        ".htm",
        ".pdf",
        ".doc",
        ".docx",
        ".xls",
        ".xlsx",
        ".py",
        ".ipynb",
        ".sh",
        ".toml",
        ".ini",
        ".cfg",
        ".log",
        ".lock",
        ".db",
        ".sqlite",
        ".npy",
        ".npz",
        ".mat",
        ".pkl",
        ".pt",
        ".pth",
        ".h5",
        ".hdf5",
        ".zip",
        ".tar",
        ".gz",
        ".bz2",
        ".xz",
        ".7z",
        ".rar",
        ".mp4",
        ".mov",
        ".avi",
        ".mkv",
        ".webm",
        ".mp3",
        ".wav",
    ]
)


class Listing(NamedTuple):
    """What lies in a folder.

    Attributes:
        root: The folder.
        files: Paths of images relative to it, sorted, "/" between the parts.
        findings: Everything that was passed by.
    """

    root: Path
    files: tuple[str, ...]
    findings: tuple[Finding, ...]


def listed(root: Path) -> Listing:
    """All images below a folder, links followed, hidden files and folders left out.

    Images are known by their suffix, files with an unknown suffix by their first bytes.
    """
    files: list[str] = []
    findings: list[Finding] = []
    for relative, problem in walked(root, "", ()):
        if problem is None:
            files.append(relative)
        else:
            findings.append(problem)
    return Listing(root, tuple(sorted(files)), tuple(sorted(findings)))


def walked(
    folder: Path, prefix: str, above: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, Finding | None]]:
    """Relative names of images, or findings about what is none."""
    try:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
        here = folder.stat()
    except OSError as error:
        text = f"cannot be opened: {error.strerror}"
        yield prefix, Finding(shown(prefix.rstrip("/")) or ".", "unreadable", text, "skip")
        return
    place = here.st_dev, here.st_ino
    if place in above:
        text = "is a link to a folder that holds it"
        yield prefix, Finding(shown(prefix.rstrip("/")), "link loop", text, "ignore")
        return
    for entry in entries:
        name = prefix + entry.name
        problem = None
        try:
            mode = entry.stat().st_mode
        except OSError as error:
            lost = "is a link that leads nowhere" if entry.is_symlink() else f"{error.strerror}"
            yield name, Finding(shown(name), "broken link", lost, "skip")
            continue
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            if Path(entry.name).suffix.lower() in SUFFIXES:
                problem = Finding(shown(name), "hidden", "is hidden", "ignore")
                yield name, problem
        elif stat.S_ISDIR(mode):
            yield from walked(folder / entry.name, name + "/", (*above, place))
        elif not stat.S_ISREG(mode):
            yield name, Finding(shown(name), "not a file", "is a pipe, socket or device", "ignore")
        elif not image_like(folder / entry.name):
            yield name, Finding(shown(name), "not an image", "is not an image", "ignore")
        else:
            yield name, None


def image_like(path: Path) -> bool:
    """Whether a file is to be judged as an image: by suffix, or by its first bytes."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return True
    if suffix in COMPANIONS:
        return False
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return False
    webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    return webp or start[4:12] == b"ftypavif" or start.startswith(MAGIC)


def shown(name: str) -> str:
    """A file name that can be printed: bytes that are no text and control characters escaped."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
