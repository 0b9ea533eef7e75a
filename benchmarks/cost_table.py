"""The cost table of the paper file, row by row: what is built, its bill, and what is printed.

The printed figures are copied from papers/adversarial_masking.md, section 14.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from benchmarks import bills
from benchmarks.bills import Bill

from masquerade.maskers import adios, erase, sequential
from masquerade.maskers.base import MaskerConfig
from masquerade.objectives import byol, moco, simclr, simsiam
from masquerade.objectives.base import ObjectiveConfig
from masquerade.pretext.game import Step

SIMCLR, BYOL = simclr.Config(), byol.Config()
SIMSIAM = simsiam.Config(terms=("masked_query", "masked_key", "clean", "masked_both"))
MOCO = moco.Config(queue=4096)  # 65536 would add 0.05 f, the products with its keys
NARROW, WIDE = 8, 32  # channels of the mask network

PROBE = (
    "the table's official 8 f (1.33) encode both clean views once more for the online probe. Ours "
    "reads features that are there: 6 f (1.00), the table's own figure"
)


class Printed(NamedTuple):
    """Figures of the table, as they are printed there; empty where it has none.

    Attributes:
        formula: Of the f-count.
        f: Encoder forwards.
        u: Forwards of the mask network.
        rel: Encoder forwards over SimCLR's.
        wide: Column (a): all FLOPs over SimCLR's with a mask network of 32 channels.
        flops: All FLOPs in f with 8 channels, from the line of measured counts.
        wide_flops: The same with 32 channels.
        more_than_head: Of feedback to the input: what it has in column (a) beyond the head's.
    """

    formula: str
    f: float
    u: float | None = 0
    rel: str = ""
    wide: str = ""
    flops: str = ""
    wide_flops: str = ""
    more_than_head: str = ""

    def wants_wide(self) -> bool:
        """Whether there is a figure for 32 channels."""
        return bool(self.wide or self.wide_flops or self.more_than_head)


class Row(NamedTuple):
    """One method and one way of alternating.

    Attributes:
        method: What the table calls it.
        objective: Its settings.
        masker: Its settings, with a mask network of 8 channels if it has one.
        step: How encoder and masker alternate; None where nobody does.
        bill: What it ought to cost.
        printed: What the table says.
        every: The masker is trained in every so many-th step.
        why: Where ours differs from the official code: how, in words.
    """

    method: str
    objective: ObjectiveConfig
    masker: MaskerConfig | None
    step: Step | None
    bill: Bill
    printed: Printed
    every: int = 1
    why: str = ""

    @property
    def name(self) -> str:
        return f"{self.method}, {self.step}" if self.step else self.method

    @property
    def learned(self) -> bool:
        """Whether there is a mask network."""
        return self.bill.masks > 0

    def masker_of(self, width: int) -> MaskerConfig | None:
        """The masker's settings with so many channels."""
        return self.masker.replace(width=width) if self.masker and self.learned else self.masker


def ways(
    method: str,
    objective: ObjectiveConfig,
    masker: MaskerConfig,
    bill: Callable[[Step, int], Bill],
    copies: int,
    printed: dict[Step, Printed],
) -> list[Row]:
    """A row for each way of alternating, with so many masked copies."""
    return [
        Row(method, objective, masker, step, bill(step, copies), figures)
        for step, figures in printed.items()
    ]


def adios_of(masks: int, shown: int = 0) -> adios.Config:
    return adios.Config(masks=masks, shown=shown, width=NARROW, norm="gn")


def sequential_with(feedback: Literal["head", "input"]) -> sequential.Config:
    return sequential.Config(masks=5, feedback=feedback, width=NARROW, norm="gn")


PLAIN = [
    Row("SimCLR", SIMCLR, None, None, Bill(learn=2), Printed("6", 6, 0, "1.00", "1.00", "5.87")),
    Row(
        "SimSiam",
        SIMSIAM,
        None,
        None,
        Bill(learn=2, predictor=6),
        Printed("6", 6, 0, "1.00", "1.00"),
    ),
    Row(
        "BYOL",
        BYOL,
        None,
        None,
        Bill(learn=2, still=2, predictor=6),
        Printed("8", 8, 0, "1.33", "1.33"),
    ),
    Row("MoCo, asymmetric", MOCO, None, None, Bill(learn=1, still=1), Printed("4", 4, 0, "0.67")),
    Row(
        "random erase, 1 view",
        SIMCLR,
        erase.Config(),
        None,
        Bill(learn=2),
        Printed("6", 6, 0, "1.00"),
        why=PROBE,
    ),
]

WITH_SIMCLR = [
    *ways(
        "SimCLR-ADIOS, N=4",
        SIMCLR,
        adios_of(4),
        bills.simclr,
        4,
        {
            "official": Printed("9N+2", 38, 4, "6.33", "6.9", "37.7"),
            "shared": Printed("5N+4", 24, 3, "4.00", "4.4", "23.9", "26.3"),
            "reversal": Printed("3(N+1)", 15, 3, "2.50", "2.9", "15.1", "17.6"),
        },
    ),
    *ways(
        "SimCLR-ADIOS, N=6",
        SIMCLR,
        adios_of(6),
        bills.simclr,
        6,
        {
            "official": Printed("9N+2", 56, 4, "9.33", "9.9"),
            "shared": Printed("5N+4", 34, 3, "5.67", "6.1", "", "36.2"),
            "reversal": Printed("3(N+1)", 21, 3, "3.50", "3.9", "", "23.6"),
        },
    ),
    Row(
        "SimCLR-ADIOS, N=4, every 4 steps",
        SIMCLR,
        adios_of(4),
        "shared",
        bills.every(4, 4),
        Printed("3(N+1)+(2N+1)/r", 17.25, 1.5, "2.9"),
        every=4,
    ),
    Row(
        "SimCLR-ADIOS, 2 of 4",
        SIMCLR,
        adios_of(4, shown=2),
        "reversal",
        bills.simclr("reversal", 2),
        Printed("3(K+1)", 9, 3, "1.50"),
    ),
    *ways(
        "SimCLR-ADIOS-s",
        SIMCLR,
        adios_of(4, shown=1),
        lambda step, _: bills.simclr_single(step),
        1,
        {
            "official": Printed("11", 11, 6, "1.83", "2.7", "11.3"),
            "shared": Printed("9", 9, 3, "1.50", "1.9"),
            "reversal": Printed("6", 6, 3, "1.00", "1.4"),
        },
    ),
]
WITH_BYOL = [
    *ways(
        "BYOL-ADIOS, N=4",
        BYOL,
        adios_of(4),
        bills.byol,
        4,
        {
            "official": Printed("13N+4", 56, 4, flops="55.7"),
            "shared": Printed("6N+4", 28, 3),
            "reversal": Printed("4(N+1)", 20, 3),
        },
    ),
    *ways(
        "BYOL-ADIOS, N=6",
        BYOL,
        adios_of(6),
        bills.byol,
        6,
        {
            "official": Printed("13N+4", 82, 4, "13.7"),
            "shared": Printed("6N+4", 40, 3, "6.7"),
            "reversal": Printed("4(N+1)", 28, 3, "4.7"),
        },
    ),
    *ways(
        "BYOL-ADIOS-s",
        BYOL,
        adios_of(4, shown=1),
        bills.byol,
        1,
        {
            "official": Printed("13N+4, N=1", 17, 4, flops="17.1"),
            "shared": Printed("6N+4, N=1", 10, 3),
            "reversal": Printed("4(N+1), N=1", 8, 3),
        },
    ),
]
WITH_SIMSIAM = [
    *ways(
        "SimSiam-ADIOS, N=4",
        SIMSIAM,
        adios_of(4),
        bills.simsiam,
        4,
        {
            "official": Printed("18N+2", 74, 8, "12.3", flops="73.4"),
            "shared": Printed("10N+8", 48, 6, "8.0"),
            "reversal": Printed("6(N+1)", 30, 6, "5.0"),
        },
    ),
    *ways(
        "SimSiam-ADIOS-s",
        SIMSIAM,
        adios_of(4, shown=1),
        bills.simsiam,
        1,
        {
            "official": Printed("18N+2, N=1", 20, 8, flops="20.2"),
            "shared": Printed("10N+8, N=1", 18, 6),
            "reversal": Printed("6(N+1), N=1", 12, 6),
        },
    ),
]
WITH_SEQUENTIAL = [
    *ways(
        "Sequential, N=5, head",
        SIMCLR,
        sequential_with("head"),
        bills.simclr,
        5,
        {
            "official": Printed("9N+2", 47, 4, "7.8", "8.4"),
            "shared": Printed("5N+4", 29, 3, "4.8", "5.3"),
            "reversal": Printed("3(N+1)", 18, 3, "3.0", "3.4"),
        },
    ),
    *ways(
        "Sequential, N=5, input",
        SIMCLR,
        sequential_with("input"),
        bills.fed,
        5,
        {
            "official": Printed("9N+2", 47, None, "7.8"),
            "shared": Printed("5N+4", 29, 15, "4.8", more_than_head="1.8"),
            "reversal": Printed("3(N+1)", 18, 15, "3.0", more_than_head="1.8"),
        },
    ),
]
ROWS = [*PLAIN, *WITH_SIMCLR, *WITH_BYOL, *WITH_SIMSIAM, *WITH_SEQUENTIAL]
LEFT_OUT = (
    "**MixMask and Un-Mix on SimCLR** (9 f, 1.50): in [filling_cost](filling_cost.md).",
    "**Sequential with 2 empty masks replaced by one weighted clean pair** (15 f, 3 u, 2.5): an "
    "idea of the paper file that is not built; an empty mask costs as much as any other.",
)
