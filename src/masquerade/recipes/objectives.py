"""BYOL, SimSiam and MoCo without masks: what maskers on these objectives are compared with.

ADIOS released scripts with masks only. BYOL and SimSiam at the `paper` scale are its STL-10
scripts without the masker; MoCo is the CIFAR-100 baseline of MixMask, https://arxiv.org/abs/2210.11456,
which follows Un-Mix, https://arxiv.org/abs/2003.05438.
"""

from masquerade.data.augment.policy import Policy
from masquerade.data.sources import cifar100
from masquerade.engine.optimizers import sgd
from masquerade.engine.schedule import Schedule
from masquerade.evaluate import linear
from masquerade.jobs.settings import Optimizers, Pretrain, Statistics
from masquerade.maskers import erase
from masquerade.networks import backbone
from masquerade.networks.heads import ProjectorConfig
from masquerade.objectives import moco as queued
from masquerade.recipes import adios, small
from masquerade.recipes.base import Cell, Scale, Table


def byol(scale: Scale = "small") -> Pretrain:
    """BYOL without masks; at paper scale the heads and rates of ADIOS's script for STL-10."""
    if scale == "paper":
        return adios.stl10_byol(scale).replace(title="byol", maskers=())
    return small.small("byol", scale, objective=small.BYOL)


def simsiam(scale: Scale = "small") -> Pretrain:
    """SimSiam without masks; at paper scale the heads and rates of ADIOS's script for STL-10."""
    if scale == "paper":
        return adios.stl10_simsiam(scale).replace(title="simsiam", maskers=())
    return small.small("simsiam", scale, objective=small.SIMSIAM)


def moco(scale: Scale = "small") -> Pretrain:
    """MoCo without masks; at paper scale as MixMask's baseline on CIFAR-100, 1000 epochs."""
    if scale != "paper":
        return small.small("moco", scale, objective=small.MOCO)
    return Pretrain(
        title="moco",
        data=cifar100.Config(),
        size=32,
        # CIFAR-10's statistics, on CIFAR-100 too, as in the code
        normalise=Statistics(mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)),
        backbone=backbone.Config(name="resnet18", stem="small", options={"zero_init_last": False}),
        objective=queued.Config(
            temperature=0.1,
            projector=ProjectorConfig(out=128, layers=1),
            momentum=0.99,
            queue=4096,
            symmetric=True,
            groups=8,
        ),
        augment=Policy(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, blur=0.0),
        optimizers=Optimizers(
            encoder=sgd.Config(
                lr=0.06,
                decay=5e-4,
                decay_all=True,
                schedule=Schedule(warmup=0, start=0.0, count_from=1),
            ),
            probe=sgd.Config(lr=0.1),
        ),
        epochs=1000,
        batch=512,
    )


def crossing(scale: Scale = "small") -> Table:
    """Four objectives against no masks, erase, ADIOS, ADIOS-s and Sequential, on toybox."""
    if scale == "paper":
        raise ValueError("nobody published objectives.crossing; use scale=small")
    objectives = {
        "SimCLR": small.SIMCLR,
        "MoCo": small.MOCO,
        "BYOL": small.BYOL,
        "SimSiam": small.SIMSIAM,
    }
    maskers = {
        "no masks": (),
        "erase": (erase.Config(),),
        "ADIOS": (small.ADIOS,),
        "ADIOS-s": (small.ADIOS.replace(shown=1),),
        "Sequential": (small.SEQUENTIAL,),
    }
    return Table(
        "Every objective against every masker: linear probe on frozen features, top-1 in %",
        "",
        tuple(
            Cell(
                objective,
                masker,
                small.small(f"{objective}, {masker}", scale, objective=config, maskers=hides),
                {"linear": linear.Config()},
            )
            for objective, config in objectives.items()
            for masker, hides in maskers.items()
        ),
        ("toybox (rendered objects on real photo tiles), 32 px; nobody published these pairs.",),
    )
