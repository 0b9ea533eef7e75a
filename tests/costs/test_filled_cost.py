import pytest
from benchmarks.filled_cost import Figure, counts, figures
from benchmarks.filled_table import VARIANTS

from masquerade.engine.runtime import Runtime

BASES = {v.framework: v for v in VARIANTS if not v.branches}
FORMS = [(v, f) for v in VARIANTS for f in (v.shared, v.black_box) if f]
NAMES = [f"{v.name}, {f.formula}" for v, f in FORMS]


@pytest.mark.parametrize(("variant", "form"), FORMS, ids=NAMES)
def test_a_bill_has_the_encodes_of_the_paper_files_formula(variant, form):
    with_gradient, _, without = form.formula.partition("g")
    still = int(without.strip("+n") or 0)
    assert (form.bill.learn, form.bill.still) == (int(with_gradient), still)


@pytest.mark.parametrize(("variant", "form"), FORMS, ids=NAMES)
def test_the_printed_multiple_is_that_of_the_units(variant, form):
    digits = len(form.times.partition(".")[2])
    times = form.units() / BASES[variant.framework].shared.units()
    assert abs(times - float(form.times)) <= 0.5 * 10.0**-digits + 1e-9


def test_every_variant_has_a_name_of_its_own_and_a_base():
    assert len({v.name for v in VARIANTS}) == len(VARIANTS)
    assert {v.framework for v in VARIANTS} == set(BASES)


def test_a_step_is_counted_as_the_table_says_in_both_forms():
    runtime = Runtime.parse({"accelerator": "cpu", "threads": 1}).resolved()
    chosen = [v for v in VARIANTS if v.name in ("SimCLR", "SimCLR + MixMask")]
    base, mixed = counts(runtime, chosen)
    assert (base.shared.f, mixed.shared.f) == (6, 9)
    assert mixed.black_box and mixed.black_box.f == 18
    for found in (base.shared, mixed.shared, mixed.black_box):
        assert found.flops == pytest.approx(found.expected, rel=1e-3)
    by_form = {f.form: f for f in figures([base, mixed])}
    assert by_form["shared"].off() < 0.01
    assert by_form["black box"].off() < 0.01


def test_a_multiple_is_off_by_its_relative_distance():
    assert Figure("row", "shared", 1.5, 1.545, 1.5).off() == pytest.approx(0.03)
