"""What the plan of each objective compares, term by term, and the gradient a mask gets from it."""

import torch
from tests.pretext.frameworks import NOW, tiny

from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.engine.task import Carry
from masquerade.maskers.base import Masker
from masquerade.networks.heads import PredictorConfig, ProjectorConfig
from masquerade.objectives import byol, moco, simclr, simsiam
from masquerade.objectives.base import ObjectiveConfig
from masquerade.pretext.siamese import Siamese

HEAD = ProjectorConfig(hidden=16, out=8)
BYOL = byol.Config(
    projector=HEAD.replace(norm="hidden", bias=True), predictor=PredictorConfig(hidden=16)
)
SIMSIAM = simsiam.Config(
    projector=HEAD.replace(layers=3, norm="batch", last="plain"),
    predictor=PredictorConfig(hidden=16, bias=False),
)
MOCO = moco.Config(projector=HEAD, queue=12)
PATHS: dict[str, ObjectiveConfig] = {
    "SimCLR: masked and clean": simclr.Config(projector=HEAD),
    "MoCo: masked queries": MOCO,
    "MoCo: masked keys": MOCO.replace(masked="key"),
    "BYOL: masked predicts clean": BYOL.replace(masked="query"),
    "BYOL: clean predicts masked": BYOL.replace(masked="key"),
    "SimSiam: masked predicts clean": SIMSIAM.replace(terms=("masked_query",)),
    "SimSiam: clean predicts masked": SIMSIAM.replace(terms=("masked_key",)),
    "SimSiam: masked predicts masked": SIMSIAM.replace(terms=("masked_both",)),
}
BLOCKED = (
    "MoCo: masked keys",
    "BYOL: clean predicts masked",
    "SimSiam: clean predicts masked",
)


class Given(Masker):
    """Masks that are no parameters, but keep a gradient."""

    def __init__(self, masks):
        super().__init__()
        self.masks = masks

    def propose(self, images, seed):
        return self.masks


def gradient(config: ObjectiveConfig) -> float:
    """The length of the gradient at a mask of 1/2; 0 where none arrives."""
    torch.manual_seed(0)
    views = torch.randn(2, 6, 3, 32, 32, generator=Seed(5).generator(), dtype=torch.float64)
    masks = torch.full((6, 1, 32, 32), 0.5, dtype=torch.float64, requires_grad=True)
    task = Siamese(config.build(tiny()), [Given(masks)]).double()
    batch = Views((views[0], views[1]), None)
    task(batch, ("encoder", "masker"), Seed(0), NOW, Carry()).loss.backward()
    return 0.0 if masks.grad is None else float(masks.grad.norm())
