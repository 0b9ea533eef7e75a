"""Whole training steps against arrays of the ADIOS authors' code: see published.py."""

import pytest
from tests.pretext.published import CASES, official, reversal, shared, stepped

every_case = pytest.mark.parametrize("case", CASES)


def wrong(found):
    """What is further off than 1e-9, and that something was compared in every part."""
    assert all(found.values())
    return {n: v for part in found.values() for n, v in part.items() if not v <= 1e-9}


@every_case
def test_an_official_step_gives_the_published_losses_gradients_weights_and_buffers(case):
    found = official(case)
    assert wrong(found) == {}
    assert any("running_var" in name for name in found["after"])


@every_case
def test_a_shared_step_differs_in_batch_norm_buffers_alone(case):
    found = shared(case)
    assert wrong(found) == {}
    trained = {n for n, _ in stepped(case, "shared")[0].named_parameters() if "probe" not in n}
    assert found["after"].keys() == trained


@every_case
def test_reversal_gives_the_gradients_of_shared_at_equal_weights(case):
    found = reversal(case)
    assert wrong(found) == {}
    assert any(name.startswith("maskers.0.unet.") for name in found["masker"])
