"""What the `small` and `smoke` scales of all recipes share: minutes on two CPU cores.

toybox at 32 pixels (rendered objects on real photo tiles), a ResNet-18 with one block per stage
and a quarter of the widths, or a ViT of its size. `smoke` takes seconds: it says that a recipe
runs, nothing about what it learns.
"""

from typing import Any

from masquerade.data.augment import policy
from masquerade.data.sources import toybox
from masquerade.engine.optimizers import adamw
from masquerade.engine.schedule import Schedule
from masquerade.jobs.settings import Optimizers, Pretrain
from masquerade.maskers import adios, sequential
from masquerade.networks import backbone
from masquerade.networks.heads import PredictorConfig, ProjectorConfig
from masquerade.objectives import byol, moco, simclr, simsiam
from masquerade.recipes.base import Scale

RESNET = backbone.Config(
    name="resnet18", options={"layers": [1, 1, 1, 1], "channels": [32, 64, 128, 256]}
)
NARROW = backbone.Config(  # 0.32 million parameters
    name="resnet18", options={"layers": [1, 1, 1, 1], "channels": [16, 32, 64, 128]}
)
VIT = backbone.Config(
    name="vit_tiny_patch16_224",
    options={"depth": 4, "embed_dim": 128, "num_heads": 4},
)
SIMCLR = simclr.Config(projector=ProjectorConfig(hidden=512, out=128))
BYOL = byol.Config(
    projector=ProjectorConfig(hidden=512, out=128, norm="hidden", bias=True),
    predictor=PredictorConfig(hidden=512),
    momentum=0.98,
)
SIMSIAM = simsiam.Config(
    projector=ProjectorConfig(hidden=512, out=512, layers=3, norm="batch", last="plain"),
    predictor=PredictorConfig(hidden=128, bias=False),
)
MOCO = moco.Config(
    projector=ProjectorConfig(hidden=512, out=128), momentum=0.98, queue=1024, symmetric=True
)
ADIOS = adios.Config(masks=4, width=8, norm="gn", sparsity=1.0)
SEQUENTIAL = sequential.Config(masks=3, width=8, norm="gn", budget_weight=10)  # weight 1 drifts
SMOOTH = Schedule(warmup=1, start=0.0, per="step")


def small(title: str, of: Scale, **changes: Any) -> Pretrain:
    """SimCLR on toybox in minutes, or in seconds for `smoke`, after some changes."""
    smoke = of == "smoke"
    return Pretrain(
        title=title,
        data=toybox.Config(per_class=16, per_class_test=8) if smoke else toybox.Config(),
        size=32,
        backbone=RESNET,
        objective=SIMCLR,
        augment=policy.simclr(32).replace(crop_scale=(0.2, 1.0)),
        optimizers=Optimizers(
            encoder=adamw.Config(lr=1e-3, decay=1e-4, schedule=SMOOTH),
            masker=adamw.Config(lr=1e-3, schedule=SMOOTH),
            probe=adamw.Config(lr=1e-2, schedule=SMOOTH),
        ),
        epochs=2 if smoke else 8,
        batch=64,
    ).replace(**changes)
