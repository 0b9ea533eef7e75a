"""Every array of the official code of filled masks, and what has to hold without training."""

import numpy as np
import pytest
from tests.exact import arrays, identities
from tests.exact.arrays import FILES
from tests.exact.identities import BASES, BOXED, TWICE
from tests.exact.masks import ORACLES

CLOSE = 1e-9

every_base = pytest.mark.parametrize("name", BASES)


@pytest.mark.parametrize("name", FILES)
def test_every_array_of_the_official_code_is_ours_to_1e_9(name):
    found = FILES[name].compared()
    assert {k: v for k, v in found.items() if not v <= CLOSE} == {}
    assert arrays.outcomes(name) == found.keys()


def test_every_file_of_arrays_is_compared():
    assert {p.stem for p in ORACLES.glob("*.npz")} == FILES.keys()


@every_base
def test_an_encoder_commutes_with_the_order_of_its_batch(name):
    assert identities.order_of_the_batch(name) < 1e-12


@every_base
@pytest.mark.parametrize("order", ["reverse", "random"])
def test_a_mask_and_its_complement_with_partners_the_other_way_are_one(name, order):
    assert max(identities.complement(name, order)) < 1e-12


@pytest.mark.parametrize("name", TWICE)
def test_a_mask_that_hides_nothing_gives_the_frameworks_own_loss_once_more(name):
    assert identities.empty(name) < 1e-12


@pytest.mark.parametrize("variant", BOXED, ids=lambda v: v.name)
@pytest.mark.parametrize("root", [0, 1])
def test_sharing_changes_neither_loss_nor_gradients_nor_queue(variant, root):
    loss, gradient, same_queue = identities.black_box(variant, root)
    assert loss < 1e-12 and gradient < 1e-12 and same_queue


def test_blocks_keep_the_main_image_in_the_middle():
    centre, corner = identities.kept_by_blocks()
    assert np.allclose((centre, corner), (0.804, 0.156), atol=0.012)
