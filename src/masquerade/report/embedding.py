"""Images as the encoder sees them: a map with thumbnails, and the neighbours of a few."""

import base64
import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from masquerade.report.files import Bytes
from masquerade.report.pictures import Cell, uri
from masquerade.report.read import Embedding

EDGE = 40  # side of a thumbnail of the map, in units of the map
MAP = (1000, 640)
GOLDEN = 0.6180339887  # multiples of it, modulo 1, mix rows that come sorted by class


def sample(shown: Embedding) -> list[list[Cell]]:
    """Twelve images in three rows, for the top of a page without masks."""
    rows = np.unique(np.linspace(0, len(shown.pictures) - 1, 12).round().astype(int))
    cells = [Cell(uri(shown.pictures[r]), named(shown, r) or "An image") for r in rows.tolist()]
    return [cells[k : k + 4] for k in range(0, len(cells), 4)]


class Point(NamedTuple):
    """An image of the map: its place in units of the map, its class, and its picture's corner."""

    row: int
    x: float
    y: float
    slot: int
    label: str
    corner: tuple[int, int]
    picture: bool


class Map(NamedTuple):
    """Images laid out in the plane; those with `picture` do not overlap, the rest are dots."""

    atlas: str
    size: tuple[int, int]
    thumb: tuple[int, int]
    points: list[Point]


def laid_out(shown: Embedding) -> Map:
    """The map of an embedding; thumbnails are put where there is room."""
    pictures, thumb = reduced(shown.pictures)
    columns = max(1, int(np.ceil(np.sqrt(len(pictures)))))
    rows = -(-len(pictures) // columns)
    h, w = thumb
    atlas = np.zeros((max(rows, 1) * h, columns * w, pictures.shape[3]), np.uint8)
    for k, picture in enumerate(pictures):
        atlas[k // columns * h :, k % columns * w :][:h, :w] = picture
    low, high = shown.place.min(0), shown.place.max(0)
    extent = np.where(high > low, high - low, 1.0)
    room = np.array(MAP) - 1.5 * EDGE
    places = (shown.place - low) / extent * room + 0.75 * EDGE
    taken: list[tuple[float, float]] = []
    points = []
    mixed = sorted(range(len(places)), key=lambda k: k * GOLDEN % 1)
    for k, (x, y) in ((k, places[k].tolist()) for k in mixed):
        free = all(abs(x - a) >= EDGE or abs(y - b) >= EDGE for a, b in taken)
        if free:
            taken.append((x, y))
        label = int(shown.labels[k])
        corner = (k % columns * w, k // columns * h)
        points.append(Point(k, x, y, label + 1, named(shown, k), corner, free))
    points.sort(key=lambda p: p.picture)
    return Map(whole(atlas), (atlas.shape[1], atlas.shape[0]), (w, h), points)


def reduced(pictures: Bytes, side: int = 40) -> tuple[Bytes, tuple[int, int]]:
    """Pictures with a longest side of at most `side` pixels, and their (height, width)."""
    height, width = pictures.shape[1:3]
    step = max(1, -(-max(height, width) // side))
    if step > 1:  # whole blocks are averaged
        h, w = height // step, width // step
        cut = pictures[:, : h * step, : w * step].astype(np.float64)
        cut = cut.reshape(len(cut), h, step, w, step, -1).mean((2, 4))
        pictures = cut.round().astype(np.uint8)
    return pictures, (pictures.shape[1], pictures.shape[2])


def whole(atlas: Bytes) -> str:
    """A data address of all thumbnails in one picture."""
    image = Image.fromarray(atlas[..., 0] if atlas.shape[2] != 3 else atlas)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=82, method=4)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"


def named(shown: Embedding, row: int) -> str:
    """The class of an image of the map, empty if it has none."""
    label = int(shown.labels[row])
    if label < 0:
        return ""
    return shown.classes[label] if label < len(shown.classes) else f"class {label}"


class Neighbour(NamedTuple):
    """An image near a query: its picture, class, similarity, whether it is of the same class."""

    picture: Cell
    label: str
    similarity: float
    same: bool | None


class Query(NamedTuple):
    """An image and those nearest to it."""

    picture: Cell
    label: str
    near: list[Neighbour]


def queries(shown: Embedding, most: int = 8) -> list[Query]:
    """Some images with their nearest neighbours."""
    found = []
    for row, near, close in zip(
        shown.queries[:most].tolist(),
        shown.neighbours[:most].tolist(),
        shown.similarity[:most].tolist(),
        strict=True,
    ):
        own = named(shown, row)
        found.append(
            Query(
                Cell(uri(shown.pictures[row]), f"Query: {own or 'an image'}"),
                own,
                [
                    Neighbour(
                        Cell(uri(shown.pictures[n]), f"Neighbour: {named(shown, n) or 'an image'}"),
                        named(shown, n),
                        s,
                        named(shown, n) == own if own else None,
                    )
                    for n, s in zip(near, close, strict=True)
                ],
            )
        )
    return found
