"""A run that takes a second: 40 images, a tiny encoder, every part of the real one."""

from typing import Any

from masquerade.data.sources import toybox
from masquerade.engine.optimizers import adamw
from masquerade.engine.runtime import Runtime
from masquerade.engine.schedule import Schedule
from masquerade.jobs.settings import Optimizers, Pretrain
from masquerade.maskers import sequential
from masquerade.networks import backbone
from masquerade.networks.heads import ProjectorConfig
from masquerade.objectives import simclr

SMOOTH = Schedule(warmup=1, start=0.0, per="step")
PLAIN = Pretrain(
    title="small",
    data=toybox.Config(per_class=4, pixels=32),
    size=32,
    backbone=backbone.Config(options={"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}),
    objective=simclr.Config(projector=ProjectorConfig(hidden=16, out=8)),
    optimizers=Optimizers(
        encoder=adamw.Config(lr=2e-3, schedule=SMOOTH),
        masker=adamw.Config(lr=1e-3, schedule=SMOOTH),
        probe=adamw.Config(lr=1e-2, schedule=SMOOTH),
    ),
    epochs=3,
    batch=8,
    runtime=Runtime(accelerator="cpu", threads=1),
    log_every=1,
)
MASKED = PLAIN.replace(maskers=(sequential.Config(masks=2, width=8, norm="gn"),))


def variant(name: str, **changes: Any) -> Pretrain:
    """SimCLR, or Sequential in one of its steps."""
    base = PLAIN if name == "simclr" else MASKED.replace(step=name)
    return base.replace(**changes)
