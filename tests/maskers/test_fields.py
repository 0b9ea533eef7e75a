import torch

from masquerade.core.seed import Seed
from masquerade.maskers import fields


def surfaces(count, cells, size):
    return fields.smooth(torch.randn(count, cells, cells, generator=Seed(0).generator()), size)


def test_every_pixel_is_standard_normal():
    found = surfaces(4000, 4, (16, 24)).double()
    assert found.shape == (4000, 16, 24)
    assert found.mean(0).abs().max() < 4.5 / 4000**0.5
    assert (found.square().mean(0) - 1).abs().max() < 4.5 * (2 / 4000) ** 0.5


def test_pixels_of_a_cell_agree_and_those_two_cells_apart_do_not():
    found = surfaces(4000, 6, (48, 48)).double()
    row = found[:, 20]
    assert (row[:, 8:40] * row[:, 9:41]).mean(0).min() > 0.9
    assert (row[:, :32] * row[:, 16:]).mean(0).abs().max() < 0.12
    column = found[:, :, 20]
    assert (column[:, :32] * column[:, 16:]).mean(0).abs().max() < 0.12
