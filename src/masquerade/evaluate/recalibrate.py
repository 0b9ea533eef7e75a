"""Batch-norm statistics re-estimated on images that nothing hides, before an encoder is measured.

In training a batch norm keeps running statistics of whatever it sees: clean views, and masked
ones. Against an adversary with N masks most of them are masked, so an encoder in evaluation mode
normalises whole images with statistics of images with holes ("Adversarial Masking for
Self-Supervised Learning", Shi et al., 2022, https://arxiv.org/abs/2201.13100, keeps them so).
`bn=recalibrate` replaces them; no weight changes and no label is read.
"""

from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as AnyBatchNorm

from masquerade.core.errors import MissingData
from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.evaluate.frozen import Frozen

MOST = 2000  # images that are looked at


class Recalibrated(NamedTuple):
    """An encoder with other batch-norm statistics.

    Attributes:
        frozen: The encoder; the very same where it has no batch norm.
        images: How many images its statistics come from; 0 where it has no batch norm.
    """

    frozen: Frozen
    images: int


def recalibrated(frozen: Frozen, images: ImageSet, crop: float, seed: Seed) -> Recalibrated:
    """A copy of an encoder whose batch norms know whole images as evaluation shows them.

    Running mean and variance become the plain average over batches of equal size (within one
    image), drawn from all images: sets sorted by class would make batches of one class. Every
    layer sees what the layers before it give in train mode; all else stays in evaluation mode.

    Args:
        frozen: The encoder and its projector, which is treated likewise; not changed.
        images: At most 2,000 of them are looked at, without their labels.
        crop: As for `Frozen.features`.
        seed: Decides which, and in which order.

    Raises:
        ValueError: There is but one image.
    """
    if not norms(frozen.encoder):
        return Recalibrated(frozen, 0)
    if len(images) < 2:
        raise ValueError(f"bn=recalibrate needs at least 2 images, {images.name} has {len(images)}")
    found = copied(frozen)
    layers = norms(found.encoder) + (norms(found.projector) if found.projector else [])
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain average
        layer.train()
    rows = torch.randperm(len(images), generator=seed.fold("recalibrate").generator())[:MOST]
    with torch.no_grad():
        for part in torch.tensor_split(rows, -(-len(rows) // frozen.batch)):
            (batch,) = frozen.shown(images.subset(part), crop)
            # contiguous: torch sums float32 batches in channels_last one by one on a CPU
            features = found.encoder(batch.contiguous().to(found.device))
            if found.projector:
                found.projector(features)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()
    return Recalibrated(found, len(rows))


def norms(module: nn.Module) -> list[AnyBatchNorm]:
    """The batch norms that keep running statistics."""
    found = [m for m in module.modules() if isinstance(m, AnyBatchNorm)]
    return [m for m in found if m.track_running_stats and m.running_mean is not None]


def statistics(frozen: Frozen) -> dict[str, Tensor]:
    """Running means and variances by name, `encoder.` or `projector.` first."""
    kept = {}
    for part, module in parts(frozen).items():
        for name, value in module.state_dict().items():
            if name.endswith(("running_mean", "running_var")):
                kept[f"{part}.{name}"] = value.detach().cpu().contiguous()
    return kept


def restored(frozen: Frozen, kept: dict[str, Tensor]) -> Frozen:
    """A copy of an encoder with statistics that were kept.

    Raises:
        MissingData: They are those of another encoder.
    """
    found = copied(frozen)
    own = statistics(found)
    if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in kept.items()}:
        raise MissingData(
            "the head was fitted on batch-norm statistics of another encoder; "
            "evaluate the run again"
        )
    for part, module in parts(found).items():
        state = {n.removeprefix(f"{part}."): t for n, t in kept.items() if n.startswith(f"{part}.")}
        module.load_state_dict(state, strict=False)
    return found


def parts(frozen: Frozen) -> dict[str, nn.Module]:
    """The encoder, and the projector where there is one."""
    found = {"encoder": frozen.encoder}
    return found if frozen.projector is None else {**found, "projector": frozen.projector}


def copied(frozen: Frozen) -> Frozen:
    """The same with modules of its own, in evaluation mode."""
    projector = frozen.projector
    return Frozen(
        deepcopy(frozen.encoder).eval(),
        frozen.size,
        frozen.mean,
        frozen.std,
        projector=None if projector is None else deepcopy(projector).eval(),
        bf16=frozen.bf16,
        cache=frozen.cache,
        batch=frozen.batch,
    )
