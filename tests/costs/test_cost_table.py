import pytest
from benchmarks.bills import Bill, simclr
from benchmarks.cells import Cell
from benchmarks.cost_table import ROWS, SIMCLR, Printed, Row, adios_of
from benchmarks.flops import counted

from masquerade.engine.runtime import Runtime


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_bill_has_the_passes_that_the_paper_file_counts(row):
    assert row.bill.f() == row.printed.f
    if row.printed.u is not None:
        assert row.bill.u() == row.printed.u


def test_every_row_has_a_name_of_its_own():
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(
    ("counted", "off"), [(1.44, 0.0), (1.36, 0.0), (1.47, 0.02 / 1.4), (1.28, 0.07 / 1.4)]
)
def test_a_printed_figure_stands_for_all_that_round_to_it(counted, off):
    assert Cell("row", "(a)", "1.4", counted).off() == pytest.approx(off)


def test_a_step_is_counted_as_its_bill_says():
    runtime = Runtime.parse({"accelerator": "cpu", "threads": 1}).resolved()
    printed = Printed("3(N+1)", 9, 3)
    row = Row("ADIOS, N=2", SIMCLR, adios_of(2), "reversal", simclr("reversal", 2), printed)
    found = counted(row, 8, 2, runtime)
    assert (found.f, found.u) == (9, 3)
    assert found.flops == pytest.approx(found.expected, rel=1e-3)
    wrong = row._replace(bill=Bill(learn=3, masks=1, taught=1))  # no gradient into the images
    assert counted(wrong, 8, 2, runtime).flops > counted(wrong, 8, 2, runtime).expected * 1.01
