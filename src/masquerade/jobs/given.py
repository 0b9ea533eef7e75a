"""Images that somebody names on a command line: a file, a folder, a list, an array, a source."""

from pathlib import Path

from masquerade.core.config import Settings
from masquerade.core.errors import BadImages, WrongPath
from masquerade.data.decode import Plan, judge
from masquerade.data.formats import SUFFIXES as IMAGES
from masquerade.data.images import ImageSet
from masquerade.data.listing import shown
from masquerade.data.raster import Channels
from masquerade.data.sources.base import SUFFIXES, SourceConfig


class Source(Settings):
    """A source by its name or path; a settings class so that mistakes are told in words."""

    data: SourceConfig


def looked_up(images: str, split: str, size: int, channels: int) -> ImageSet:
    """The images that a word names, files read with as many channels as the encoder takes.

    Args:
        images: An image file, a folder, a list file, an array file, or the name of a source.
        split: The part of the source; empty takes all of it where it can be had in one piece,
            else its `test`, else its first part.
        size: Side of what a network will see, in pixels.
        channels: Channels that it takes.

    Raises:
        WrongPath: There is nothing of that name.
        BadImages: Nothing there can be used.
        ValueError: No such source or split.
    """
    path = Path(images).expanduser()
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        return single(path, Plan(reading(channels), max(96, 2 * size)))
    if not path.exists() and ("/" in images or path.suffix.lower() in IMAGES):
        raise WrongPath(f"there is nothing at {images} (looked from {Path.cwd()})")
    source = Source.parse({"data": images}).data
    if "channels" in type(source).model_fields:
        source = source.replace(channels=reading(channels))
    return source.load(split or usual(source.splits()), size)


def usual(splits: tuple[str, ...]) -> str:
    """The part of a source that is meant where none is named."""
    return next((name for name in ("all", "test") if name in splits), splits[0])


def reading(channels: int) -> Channels:
    """How files are read for a network that takes so many channels."""
    if channels == 1:
        return "grey"
    return "rgb" if channels == 3 else "keep"


def single(path: Path, plan: Plan) -> ImageSet:
    """One image file, decoded without a trace in the cache.

    Raises:
        BadImages: It cannot be used.
    """
    name = shown(str(path))
    judged = judge(path, name, plan)
    if judged.pixels is None:
        raise BadImages(" and ".join(f"{f.file} {f.reason}" for f in judged.findings))
    return ImageSet(name, judged.pixels[None], files=(name,), paths=(path,))
