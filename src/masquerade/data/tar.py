"""Tar archives in the layout of WebDataset: 0001.jpg and 0001.cls are one sample."""

import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from masquerade.data import cache, progress
from masquerade.data.develop import stamp
from masquerade.data.formats import SUFFIXES
from masquerade.data.stored import Span

LABEL = "cls"


class Sample(NamedTuple):
    """An image, its class (-1 = none), and which archive of several it lies in."""

    file: Span
    label: int
    piece: int = 0


def listed(paths: Sequence[Path], image: str, label: str) -> list[Sample]:
    """The images of some archives, in order; walked through once, then from the cache.

    Arguments and errors as `samples`.
    """
    stamps = [(str(path), *stamp(path)) for path in paths]
    name = f"{paths[0].stem} to {paths[-1].stem}, list"

    def fill(builder: cache.Builder) -> None:
        found: list[Sample] = []
        with progress.shown(f"listing {len(paths):,} archives", len(paths)) as advance:
            for piece, path in enumerate(paths):
                found += [s._replace(piece=piece) for s in samples(path, image, label)]
                advance(1)
        table = builder.array("table", "int64", (len(found), 4))
        table[:] = [(s.piece, s.file.start, s.file.length, s.label) for s in found]
        builder.about["names"] = [s.file.name for s in found]

    entry = cache.prepared(name, cache.key("tar", stamps, image, label), fill)
    rows = zip(entry.about["names"], entry.arrays["table"].tolist(), strict=True)
    return [
        Sample(Span(paths[piece], name, start, length), own, piece)
        for name, (piece, start, length, own) in rows
    ]


def samples(path: Path, image: str, label: str) -> list[Sample]:
    """The images of an archive, in order; nothing is unpacked.

    Args:
        path: The archive, not compressed.
        image: Which member of a sample is the image, as "jpg"; "" takes the one that is one.
        label: Which member holds the class, a whole number as text; a sample may lack it.

    Raises:
        ValueError: It is no such archive, or a sample has no image, or several.
    """
    groups: dict[str, dict[str, tarfile.TarInfo]] = {}
    labels: dict[str, int] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                folder, _, name = member.name.rpartition("/")
                key, _, kind = name.partition(".")
                key = f"{folder}/{key}" if folder else key
                groups.setdefault(key, {})[kind.lower()] = member
                if kind.lower() == label:
                    file = archive.extractfile(member)
                    assert file is not None
                    labels[key] = number(path, member.name, file.read())
            end = archive.offset
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as a tar archive: {why(path, error)}") from None
    if not ended(path, end):
        raise ValueError(f"{path} is cut off: it lacks the zeros at its end. Get it again")
    if not groups:
        raise ValueError(f"{path} holds no files")
    found = []
    for key, members in groups.items():
        member = members[which(path, key, tuple(members), image)]
        span = Span(path, f"{path.stem}/{member.name}", member.offset_data, member.size)
        found.append(Sample(span, labels.get(key, -1)))
    return found


def ended(path: Path, end: int) -> bool:
    """Whether a block of zeros follows the last member, or marks the end right before."""
    with path.open("rb") as file:
        file.seek(max(0, end - tarfile.BLOCKSIZE))
        last, after = file.read(tarfile.BLOCKSIZE), file.read(tarfile.BLOCKSIZE)
    return tarfile.NUL * tarfile.BLOCKSIZE in (last, after)


def which(path: Path, key: str, kinds: tuple[str, ...], image: str) -> str:
    """Which member of a sample is the image."""
    there = [kind for kind in kinds if (kind == image if image else f".{kind}" in SUFFIXES)]
    if len(there) == 1:
        return there[0]
    have = ", ".join(kinds)
    if there:
        raise ValueError(
            f"sample {key} of {path} has several images ({have}); choose one: data.image={there[0]}"
        )
    wanted = f"{image!r}" if image else "image"
    raise ValueError(f"sample {key} of {path} has no {wanted}; it has: {have}")


def number(path: Path, name: str, text: bytes) -> int:
    """A class as text; raises `ValueError` if it is none."""
    try:
        return max(-1, int(text))
    except ValueError:
        raise ValueError(
            f"{name} in {path} must hold a whole number, the class; it holds {text[:20]!r}. "
            "data.label= names another member"
        ) from None


def why(path: Path, error: Exception) -> str:
    """The reason in words: compressed archives cannot be read from the middle."""
    with path.open("rb") as file:
        start = file.read(6)
    if start[:2] == b"\x1f\x8b" or start[:3] == b"BZh" or start == b"\xfd7zXZ\0":
        return "it is compressed; unpack it once to a plain .tar, images are compressed already"
    return f"{error}; it is cut off or of another kind. Get it again"
