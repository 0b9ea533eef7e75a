"""The files of tests/oracles/mixmask: who repeats each of them, and which arrays are no outcome."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from tests.exact import around, masks, steps
from tests.exact.masks import oracle

GIVEN = {"x", "x1", "x2", "mask", "perm", "T", "m", "K", "mlp", "tau", "lr", "wd", "momentum"}
MOCO = ("q/", "k/")
WMSE = ("model/", "model_t/", "head/", "head_t/", "pred/", "bn_last/")
NETWORKS = (*MOCO, *WMSE, "backbone/", "projector/", "predictor/", "encoder/")


class File(NamedTuple):
    """A file of arrays.

    Attributes:
        shows: What is in it, in a few words.
        compared: How far each of its outcomes is off ours.
        given: What it starts from besides what many files start from.
        counted: Statistics of random draws, which other tests compare within standard errors.
    """

    shows: str
    compared: Callable[[], dict[str, float]]
    given: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()


FILES = {
    "masks": File(
        "blocked and discrete masks of seeds, in cells and pixels, and their shares",
        masks.masks,
        counted=("stats_table", "stats_columns"),
    ),
    "mixing": File(
        "mixtures of MixMask and Un-Mix, boxes and shares of seeds",
        masks.mixing,
        counted=("region_lambda_stats/s32", "region_lambda_stats/s64", "region_lambda_stats/s224"),
    ),
    "moco_v2_mixmask": File(
        "a step: logits, losses, gradients, queue, moving copy", steps.moco_v2_mixmask
    ),
    "moco_v2_mixmask_3steps": File(
        "three steps of SGD: masks, losses, weights, copy, queue", steps.moco_v2_mixmask_3steps
    ),
    "moco_v2_both": File(
        "a step of MixMask*: mixtures, logits, losses, gradients, queue",
        steps.moco_v2_both,
        given=("bbox",),
    ),
    "unmix_moco_cifar_sym": File(
        "a step of Un-Mix's symmetric MoCo: loss, gradients, queue, running statistics",
        steps.unmix_moco_cifar_sym,
        given=("lam", "bn_splits", "layout", "shuffles", "queue"),
    ),
    "moco_v2_erase_derived": File(
        "three readings of the erase baseline: losses", steps.moco_v2_erase_derived
    ),
    **{
        f"{name}_mixmask": File(
            f"a step of {said}: losses of both orders and views, gradients",
            partial(steps.framework, name),
        )
        for name, said in (("simclr", "SimCLR"), ("byol", "BYOL"), ("simsiam", "SimSiam"))
    },
    "base_losses": File(
        "losses of free embeddings, from several code bases", around.base_losses, given=("z1", "z2")
    ),
    "schedules": File("learning rates and BYOL's momentum", around.schedules),
    "knn": File(
        "predictions and accuracies of two protocols",
        around.knn,
        given=("train", "test", "ytrain", "ytest"),
    ),
}


def outcomes(name: str) -> set[str]:
    """The arrays of a file that a step or a draw ends in."""
    file = FILES[name]
    rest = {*GIVEN, "queue", *file.given, *file.counted}
    return {k for k in oracle(name) if k not in rest and not k.startswith(NETWORKS)}
