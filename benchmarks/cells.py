"""The cells of the paper file's cost table beside what was counted."""

from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.cost_table import Row
from benchmarks.flops import Found

FIRST_PRINCIPLES = "first principles"


class Counted(NamedTuple):
    """A row with what its step computes, by the channels of the mask network.

    Attributes:
        row: Of the table.
        narrow: With 8 channels, or without a mask network.
        wide: With 32, where the table has a figure for that; the same without a mask network.
    """

    row: Row
    narrow: Found
    wide: Found | None


class Cell(NamedTuple):
    """One figure of the table.

    Attributes:
        row: Its name.
        column: What it is of.
        printed: As it stands there; it means every number that rounds to it.
        counted: What ours computes.
    """

    row: str
    column: str
    printed: str
    counted: float

    def off(self) -> float:
        """The relative distance to the nearest number that rounds to what is printed."""
        half = 0.5 * 10.0 ** -len(self.printed.partition(".")[2])
        aim = float(self.printed)
        return max(0.0, abs(self.counted - aim) - half) / aim


def cells(rows: list[Counted]) -> list[Cell]:
    """Every figure that the table has and ours can be compared with."""
    by_name = {counted.row.name: counted for counted in rows}
    return [cell for counted in rows for cell in _of(counted, by_name)]


def times_simclr(found: Found, by_name: dict[str, Counted]) -> float:
    """FLOPs over those of a SimCLR step."""
    return found.flops / by_name["SimCLR"].narrow.flops


def _of(counted: Counted, by_name: dict[str, Counted]) -> Iterator[Cell]:
    row, narrow, wide = counted
    printed = row.printed

    def cell(column: str, text: str, figure: float) -> Cell:
        return Cell(row.name, column, text, figure)

    yield cell("f", f"{printed.f:.4f}", narrow.f)
    if printed.rel:
        yield cell("rel", printed.rel, narrow.f / by_name["SimCLR"].narrow.f)
    if printed.flops:
        yield cell("FLOPs, c=8", printed.flops, narrow.flops)
    for found, channels in ((narrow, 8), (wide, 32)):
        if found is None or (channels == 32 and not row.learned):
            continue
        yield cell(f"{FIRST_PRINCIPLES}, c={channels}", f"{found.expected:.4f}", found.flops)
        if printed.u is not None:
            whole = printed.f + printed.u * found.unit
            yield cell(f"f + u, c={channels}", f"{whole:.4f}", found.flops)
    if printed.u:
        yield cell("u", f"{printed.u:.4f}", narrow.u)
    if wide and printed.wide:
        yield cell("(a)", printed.wide, times_simclr(wide, by_name))
    if wide and printed.wide_flops:
        yield cell("FLOPs, c=32", printed.wide_flops, wide.flops)
    if wide and printed.more_than_head:
        head = by_name[row.name.replace("input", "head")].wide
        assert head is not None
        more = times_simclr(wide, by_name) - times_simclr(head, by_name)
        yield cell("(a), over head", printed.more_than_head, more)
