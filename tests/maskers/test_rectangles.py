"""Rectangles laid by chance: how much they hide, and where; the "beit" masks of ADIOS."""

import math
from random import Random

import numpy as np
import pytest
import torch

from masquerade.core.seed import Seed
from masquerade.engine import gather
from masquerade.maskers import rectangles

# Of 300 masks that the official code drew at 96 pixels: mean and deviation of the hidden share.
OFFICIAL = (0.3676, 0.0519)


def drawn(count, size=96, **changes):
    masker = rectangles.Config(**changes).build(size, 3)
    return masker.propose(torch.zeros(count, 3, size, size), Seed(0))


def test_the_hidden_share_has_the_mean_and_the_deviation_of_the_official_code():
    shares = drawn(600).mean((1, 2, 3)).numpy()
    mean, spread = OFFICIAL
    noise = spread * math.sqrt(1 / 300 + 1 / 600)  # of the difference of two means
    assert abs(shares.mean() - mean) < 3 * noise
    assert abs(shares.std() - spread) < 0.2 * spread
    assert shares.min() >= 0.3


def test_what_is_hidden_is_a_union_of_rectangles_that_stops_once_it_is_enough(monkeypatch):
    stream = Random(3)
    laid = []

    class Noted(np.ndarray):
        def __setitem__(self, place, value):
            laid.append(place)
            super().__setitem__(place, value)

    plain = np.zeros
    monkeypatch.setattr(np, "zeros", lambda s, dtype: plain(s, dtype).view(Noted))
    hidden = rectangles.covered(rectangles.Config(), 96, 96, stream).numpy()
    monkeypatch.undo()
    again = plain((96, 96), bool)
    for number, (rows, columns) in enumerate(laid):
        assert again.sum() < 0.3 * 96 * 96, number
        tall, wide = rows.stop - rows.start, columns.stop - columns.start
        assert 0.28 < tall / wide < 3.6
        assert rows.start >= 0 and rows.stop <= 96 and columns.start >= 0 and columns.stop <= 96
        again[rows, columns] = True
    np.testing.assert_array_equal(again, hidden)


def test_each_image_and_each_copy_has_its_own_mask_whatever_process_it_is_in(monkeypatch):
    whole = drawn(4, size=32, masks=2)
    assert len({tuple(mask.flatten().tolist()) for mask in whole.flatten(0, 1)}) == 8
    for rank in (0, 1):
        monkeypatch.setattr(gather, "rank", lambda rank=rank: rank)
        assert torch.equal(drawn(2, size=32, masks=2), whole[2 * rank : 2 * rank + 2])


def test_rectangles_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"smallest=64 is more than half of an image of 8 x 8"):
        rectangles.Config().build(8, 3)
