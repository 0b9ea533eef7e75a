"""What adversaries do when they are trained: papers/adversarial_masking.md, section 12."""

import pytest
from tests.maskers.toy import train

ADIOS = {"kind": "adios", "width": 8, "norm": "gn"}
ADIOS_S = {**ADIOS, "shown": 1}
SEQUENTIAL = {"kind": "sequential", "width": 8, "norm": "gn"}
LONG = pytest.param(1, 220, marks=pytest.mark.slow)
lengths = pytest.mark.parametrize(("seed", "steps"), [(0, 120), LONG])


@lengths
def test_with_a_sparsity_of_1_no_mask_runs_empty(seed, steps):
    sizes = train({**ADIOS, "sparsity": 1}, steps, seed)
    assert (sizes > 0.15).all()
    assert (sizes < 0.35).all()


@lengths
@pytest.mark.parametrize("tree", [ADIOS, ADIOS_S], ids=["adios", "adios_s"])
def test_without_sparsity_a_mask_runs_empty(tree, seed, steps):
    assert train({**tree, "sparsity": 0}, steps, seed)[-1].min() < 0.1


@lengths
@pytest.mark.parametrize(
    "tree",
    [{**ADIOS, "sparsity": 0, "budget": "held"}, {**SEQUENTIAL, "control": "held"}],
    ids=["adios", "sequential"],
)
def test_a_held_budget_is_kept(tree, seed, steps):
    last = train(tree, steps, seed)[-40:].mean(0)
    assert ((last - 0.25).abs() < 0.02).all()


@pytest.mark.slow
def test_the_printed_budget_weight_of_sequential_does_not_keep_it():
    assert train(SEQUENTIAL, 220)[-1].min() < 0.05
