"""The cost table of the paper file on filled masks, row by row: what is built, and what is printed.

The printed figures are copied from papers/mixmask.md, section 8. Heads are those that section 6.1
gives for CIFAR-100.
"""

from typing import NamedTuple

from benchmarks.bills import Bill

from masquerade.maskers import erase, mixmask, unmix
from masquerade.maskers.base import MaskerConfig
from masquerade.networks.heads import PredictorConfig, ProjectorConfig
from masquerade.objectives import byol, moco, simclr, simsiam
from masquerade.objectives.base import ObjectiveConfig

MOCO = moco.Config(
    temperature=0.1, projector=ProjectorConfig(layers=1, out=128), momentum=0.99, queue=4096
)
SIMCLR = simclr.Config(
    temperature=0.5,
    projector=ProjectorConfig(hidden=1024, out=64, norm="batch", last="affine", bias=True),
    joint=True,
)
SIMSIAM = simsiam.Config(
    projector=ProjectorConfig(hidden=2048, out=2048, norm="batch", last="plain"),
    predictor=PredictorConfig(hidden=512, bias=False),
    terms=("masked_query", "masked_key"),
    masked_views="one",
)
BYOL = byol.Config(
    projector=ProjectorConfig(hidden=1024, out=64, norm="hidden", bias=True),
    predictor=PredictorConfig(hidden=1024),
)

ONE = mixmask.Config(pattern="discrete", grid=2)
TWO = (unmix.Config(), ONE.replace(partners="random"))
ERASED = erase.Config(grid=2, ratio=0.5, exact=False, per_image=False, clean=True)


class Form(NamedTuple):
    """How a step is computed, as it is printed.

    Attributes:
        formula: Encodes with gradient (g) and without (n).
        times: The multiple of the base.
        bill: The passes, from first principles.
        measured: The time as a multiple of the base's, from the line under the table.
    """

    formula: str
    times: str
    bill: Bill
    measured: str = ""

    def units(self) -> float:
        """What the table counts: 3 for an encode with gradient, 1 for one without."""
        return self.bill.f()


class Variant(NamedTuple):
    """A framework with what hides.

    Attributes:
        framework: What the table calls it.
        branches: The same of what hides; empty for the base.
        objective: Its settings.
        maskers: Theirs.
        shared: What the product computes.
        black_box: What it would be without sharing; None where the table has no such figure.
    """

    framework: str
    branches: str
    objective: ObjectiveConfig
    maskers: tuple[MaskerConfig, ...]
    shared: Form
    black_box: Form | None = None

    @property
    def name(self) -> str:
        return f"{self.framework} + {self.branches}" if self.branches else self.framework


VARIANTS = [
    Variant("MoCo, asymmetric", "", MOCO, (), Form("1g+1n", "1", Bill(learn=1, still=1))),
    Variant(
        "MoCo, asymmetric",
        "MixMask",
        MOCO,
        (ONE,),
        Form("2g+1n", "1.75", Bill(learn=2, still=1), "1.79"),
    ),
    Variant(
        "MoCo, asymmetric",
        "MixMask*",
        MOCO,
        TWO,
        Form("3g+1n", "2.5", Bill(learn=3, still=1), "2.62"),
    ),
    Variant(
        "MoCo, asymmetric",
        "erase, pair",
        MOCO,
        (ERASED.replace(pair=True),),
        Form("3g+1n", "2.5", Bill(learn=3, still=1)),
    ),
    Variant(
        "MoCo, asymmetric",
        "erase, single",
        MOCO,
        (ERASED,),
        Form("2g+1n", "1.75", Bill(learn=2, still=1)),
    ),
    Variant(
        "MoCo, symmetric",
        "",
        MOCO.replace(symmetric=True),
        (),
        Form("2g+2n", "1", Bill(learn=2, still=2)),
    ),
    Variant(
        "MoCo, symmetric",
        "MixMask",
        MOCO.replace(symmetric=True),
        (ONE,),
        Form("3g+2n", "1.38", Bill(learn=3, still=2), "1.33"),
        Form("4g+2n", "1.75", Bill(learn=4, still=2), "1.73"),
    ),
    Variant(
        "MoCo, symmetric",
        "MixMask*",
        MOCO.replace(symmetric=True),
        TWO,
        Form("4g+2n", "1.75", Bill(learn=4, still=2)),
        Form("6g+2n", "2.5", Bill(learn=6, still=2)),
    ),
    Variant("SimCLR", "", SIMCLR, (), Form("2g", "1", Bill(learn=2))),
    Variant(
        "SimCLR",
        "MixMask",
        SIMCLR,
        (ONE,),
        # The head sees each pair in one batch, so the clean view goes through it once more.
        Form("3g", "1.5", Bill(learn=3, heads=3), "1.56"),
        Form("6g", "3", Bill(learn=6)),
    ),
    Variant(
        "SimCLR",
        "MixMask*",
        SIMCLR,
        TWO,
        Form("4g", "2", Bill(learn=4, heads=6)),
        Form("10g", "5", Bill(learn=10)),
    ),
    Variant("SimSiam", "", SIMSIAM, (), Form("2g", "1", Bill(learn=2, predictor=6))),
    Variant(
        "SimSiam",
        "MixMask",
        SIMSIAM,
        (ONE,),
        Form("3g", "1.5", Bill(learn=3, predictor=9)),
        Form("6g", "3", Bill(learn=6, predictor=18)),
    ),
    Variant(
        "SimSiam",
        "MixMask*",
        SIMSIAM,
        TWO,
        Form("4g", "2", Bill(learn=4, predictor=12)),
        Form("10g", "5", Bill(learn=10, predictor=30)),
    ),
    Variant("BYOL", "", BYOL, (), Form("2g+2n", "1", Bill(learn=2, still=2, predictor=6))),
    Variant(
        "BYOL",
        "MixMask, both",
        BYOL,
        (ONE,),
        Form("3g+3n", "1.5", Bill(learn=3, still=3, predictor=9)),
        Form("6g+6n", "3", Bill(learn=6, still=6, predictor=18)),
    ),
    Variant(
        "BYOL",
        "MixMask*, both",
        BYOL,
        TWO,
        Form("4g+4n", "2", Bill(learn=4, still=4, predictor=12)),
        Form("10g+10n", "5", Bill(learn=10, still=10, predictor=30)),
    ),
    Variant(
        "BYOL",
        "MixMask, mixed_online",
        BYOL.replace(masked="query"),
        (ONE,),
        Form("3g+2n", "1.38", Bill(learn=3, still=2, predictor=9)),
    ),
    Variant(
        "BYOL",
        "MixMask*, mixed_online",
        BYOL.replace(masked="query"),
        TWO,
        Form("4g+2n", "1.75", Bill(learn=4, still=2, predictor=12)),
    ),
]
