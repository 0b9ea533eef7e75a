import base64
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from masquerade.jobs import painting
from masquerade.report import pictures
from masquerade.report.snapshots import Snapshot


def pixels(cell: pictures.Cell) -> NDArray[np.int64]:
    data = base64.b64decode(cell.source.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(np.int64)


def test_a_hidden_pixel_has_the_mean_colour_and_a_kept_one_its_own() -> None:
    image = np.full((1, 8, 8, 3), (200, 100, 50), np.uint8)
    hidden = np.zeros((1, 1, 8, 8), np.uint8)
    hidden[..., :4] = 255
    hidden[..., 4:6] = 51  # a fifth
    panel = pictures.panels(Snapshot(1, image, hidden), (0.0, 1.0, 0.2))[0]
    view = pixels(panel.views[0])
    assert view[0, 0] == pytest.approx([0, 255, 51], abs=1)
    assert view[0, 5] == pytest.approx([160, 131, 50], abs=1)
    assert view[0, 7] == pytest.approx([200, 100, 50], abs=1)
    assert "55% hidden" in panel.masks[0].words
    assert panel.hard is None


def test_without_a_known_mean_the_images_shown_give_it() -> None:
    image = np.zeros((2, 8, 8, 1), np.uint8)
    image[1] = 200
    hidden = np.full((2, 1, 8, 8), 255, np.uint8)
    for panel in pictures.panels(Snapshot(1, image, hidden), None):
        assert pixels(panel.views[0])[0, 0] == pytest.approx([100] * 3, abs=1)


def test_the_strongest_mask_gives_the_colour_pale_below_a_half() -> None:
    hidden = np.array([[[0.9, 0.1]], [[0.2, 0.4]], [[0.1, 0.0]]])
    found = pictures.hardened(hidden)
    assert tuple(found[0, 0]) == painting.COLOURS[0]
    assert found[0, 1].astype(int).sum() > sum(painting.COLOURS[1])


def test_a_film_needs_three_moments_of_the_same_image() -> None:
    image = np.zeros((1, 8, 8, 3), np.uint8)
    hidden = np.zeros((1, 2, 8, 8), np.uint8)
    taken = [Snapshot(s, image, hidden) for s in (1, 5, 9)]
    film = pictures.film(taken)
    assert film is not None
    assert film.steps == [1, 5, 9]
    assert len(film.masks) == 2
    assert pictures.film(taken[:2]) is None
    assert pictures.film([*taken[:2], Snapshot(9, image + 1, hidden)]) is None
