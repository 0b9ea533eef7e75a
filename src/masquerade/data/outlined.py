"""Objects of images that lie in files: their annotations, prepared once beside the pixels."""

from collections.abc import Callable, Sequence

from masquerade.data import cache, progress
from masquerade.data.decode import Plan
from masquerade.data.dense import Dense
from masquerade.data.drawing import Drawing, Pile
from masquerade.data.images import ImageSet
from masquerade.data.prepare import NAMED, Decoded


def outlined(
    made: Decoded,
    plan: Plan,
    classes: tuple[str, ...],
    content: Sequence[str],
    draw: Callable[[int], Drawing],
) -> ImageSet:
    """Decoded images with their objects.

    Args:
        made: The images.
        plan: What they were decoded by.
        classes: Names of the objects' classes.
        content: Names what is drawn: digests of annotation files, and settings.
        draw: What is drawn in the file of a number, as `made.kept` counts.

    Raises:
        ValueError: An annotation does not fit its image or the classes.
    """
    images = made.images
    extents = images.extents(range(len(images))).tolist()
    pixels = cache.key([made.contents, images.files])

    def fill(builder: cache.Builder) -> None:
        pile = Pile(len(classes), images.shape, plan.longest)
        what = f"reading what is drawn in {len(images):,} images of {images.name}"
        with progress.shown(what, len(images)) as advance:
            for file, (height, width) in zip(made.kept.tolist(), extents, strict=True):
                pile.add(draw(file), (height, width))
                advance(1)
        pile.write(builder)

    entry = cache.prepared(
        f"{images.name}, objects", cache.key("objects", pixels, plan, classes, content), fill
    )
    found = images.outlined(Dense(entry.arrays, images.shape, images.extent), classes)
    empty: list[str] = entry.about["empty"]
    if not empty:
        return found
    some = ", ".join(empty[:NAMED]) + (", ..." if len(empty) > NAMED else "")
    return found.noted(f"{images.name}: boxes without area are left out: {some}.")
