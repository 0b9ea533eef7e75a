"""Sequential adversarial masking, and what its paper compares with.

https://arxiv.org/abs/2212.08277
The `paper` scale is the setting of its Table 3 on STL-10; the `small` one trains in minutes on
two cores on toybox (rendered objects on real photo tiles).
"""

from masquerade.data.augment import policy
from masquerade.data.sources import stl10, toybox
from masquerade.engine.optimizers import adamw, lars, sgd
from masquerade.engine.schedule import Schedule
from masquerade.jobs.settings import Optimizers, Pretrain
from masquerade.maskers import erase as erasing
from masquerade.maskers import sequential as learning
from masquerade.networks import backbone
from masquerade.networks.heads import ProjectorConfig
from masquerade.objectives import simclr as contrast
from masquerade.recipes.base import Scale


def simclr(scale: Scale = "small") -> Pretrain:
    """SimCLR without masks: the baseline. The ADIOS paper reports 85.10 top-1, linear, STL-10."""
    return _paper("simclr") if scale == "paper" else _small("simclr", scale)


def erase(scale: Scale = "small") -> Pretrain:
    """SimCLR on one view with three quarters of its patches erased by chance."""
    masks = (erasing.Config(),)
    return (_paper("erase") if scale == "paper" else _small("erase", scale)).replace(maskers=masks)


def sequential(scale: Scale = "small") -> Pretrain:
    """SimCLR against a learned masker. The paper reports 86.40 top-1, linear, STL-10."""
    if scale == "paper":
        masks = learning.Config(masks=5)
        return _paper("sequential").replace(maskers=(masks,), step="shared")
    masks = learning.Config(masks=3, width=8, norm="gn", budget_weight=10)  # weight 1 drifts
    return _small("sequential", scale).replace(maskers=(masks,))


def _paper(title: str) -> Pretrain:
    decay = 1e-4
    return Pretrain(
        title=title,
        data=stl10.Config(),
        size=96,
        normalise="published",
        backbone=backbone.Config(name="resnet18", stem="imagenet"),
        objective=contrast.Config(temperature=0.2, projector=ProjectorConfig(hidden=2048, out=128)),
        augment=policy.adios_stl10(),
        optimizers=Optimizers(
            encoder=lars.Config(lr=0.11, decay=decay),
            masker=lars.Config(lr=0.014515, decay=decay),
            probe=sgd.Config(lr=0.1),
        ),
        epochs=500,
        batch=256,
    )


def _small(title: str, scale: Scale) -> Pretrain:
    smooth = Schedule(warmup=1, start=0.0, per="step")
    optimizers = Optimizers(
        encoder=adamw.Config(lr=1e-3, decay=1e-4, schedule=smooth),
        masker=adamw.Config(lr=1e-3, schedule=smooth),
        probe=adamw.Config(lr=1e-2, schedule=smooth),
    )
    smoke = scale == "smoke"
    return Pretrain(
        title=title,
        data=toybox.Config(per_class=16) if smoke else toybox.Config(),
        size=32,
        backbone=backbone.Config(
            name="resnet18", options={"layers": [1, 1, 1, 1], "channels": [32, 64, 128, 256]}
        ),
        objective=contrast.Config(projector=ProjectorConfig(hidden=512, out=128)),
        augment=policy.simclr(32).replace(crop_scale=(0.2, 1.0)),
        optimizers=optimizers,
        epochs=2 if smoke else 8,
        batch=64,
    )
