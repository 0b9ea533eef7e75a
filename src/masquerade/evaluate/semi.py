"""Few labels, 1 %: another protocol, fitted on a share of the labels and measured on all images.

The default fine-tunes as SwAV does on 1 % of ImageNet, which MixMask's Table 6 follows: Caron et
al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", 2020,
https://arxiv.org/abs/2006.09882; papers/mixmask.md, section 7. `semi10` has its setting for 10 %.
`head.frozen=true` leaves the network as it is, `head=linear` fits a probe.

Note:
    SwAV reports the best epoch on the images it is measured on; here it is the last. Images that
    show the same object (toybox) are drawn together, so that no view of it leaks.
"""

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, randperm

from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.data.subsets import fraction
from masquerade.engine.optimizers import sgd
from masquerade.engine.schedule import Schedule
from masquerade.evaluate import finetune_sgd
from masquerade.evaluate.base import Protocol, ProtocolConfig, Result
from masquerade.evaluate.classifier import labelled
from masquerade.evaluate.frozen import Frozen


def swav(lr: float, head_scale: float) -> finetune_sgd.Config:
    """SwAV's 20 epochs of SGD in batches of 256, times 0.2 after epochs 12 and 16."""
    fall = Schedule(shape="drops", drops=(12, 16), factor=0.2, warmup=0)
    return finetune_sgd.Config(
        epochs=20,
        batch=256,
        optimizer=sgd.Config(lr=lr, schedule=fall),
        head_scale=head_scale,
        kept_statistics=False,
    )


class Config(ProtocolConfig):
    """Settings of few labels.

    Attributes:
        ratio: Share of each class's labelled images; 1 takes all, as for a source that reads a
            list of 1 %.
        groups: So many objects of each class in the place of a share; 0 takes the share. Where
            images do not say which object they show, each is one of its own.
        draw: Another number draws other images. The 1 % are among the 10 % of the same draw.
        head: The protocol that is fitted on them. What it sees (crop, layer, bn) is set outside.
    """

    ratio: float = Field(0.01, gt=0, le=1)
    groups: int = Field(0, ge=0)
    draw: int = Field(0, ge=0)
    head: ProtocolConfig = swav(0.02, 250.0)

    @model_validator(mode="after")
    def _outside(self) -> "Config":
        usual = type(self.head)()
        for name in ("crop", "layer", "bn"):
            if getattr(self.head, name) != getattr(usual, name):
                raise ValueError(f"head.{name} is not read; set {name} of {self.kind} itself")
        if isinstance(self.head, Config):
            raise ValueError(f"{self.kind} cannot be fitted inside of itself; use head=linear")
        return self

    def build(self) -> "Semi":
        return Semi(self)

    def suits(self, encoder: Frozen) -> bool:
        """Whether the head can be fitted on an encoder."""
        return self.head.suits(encoder)


class Semi(Protocol):
    """Draws the labels, then hands over to the protocol that is fitted on them."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(
        self, encoder: Frozen, train: ImageSet, tests: dict[str, ImageSet], seed: Seed
    ) -> Result:
        """Fit on the images that were drawn, measure on each of `tests`."""
        config = self.config
        known = labelled(train, config.kind)
        where, groups = Seed(config.draw).fold("few labels"), train.targets.get("group")
        if config.groups:
            rows = by_group(known.labels, groups, config.groups, where)
            what = f"{config.groups} object{'s' if config.groups > 1 else ''} of each class"
        else:
            rows = fraction(known.labels, config.ratio, where, groups)
            what = f"{config.ratio:.3g} of the labels, " + (
                "class by class" if groups is None else "class by class and whole objects at a time"
            )
        head = config.head.replace(crop=config.crop, layer=config.layer)
        few = train.subset(rows, f"{train.name}, {len(rows):,} labels")
        result = head.build().run(encoder, few, tests, seed)
        note = f"{what}: {len(rows):,} of {len(known.rows):,} labelled images (draw {config.draw})"
        return result._replace(
            metrics={"labels": float(len(rows)), **result.metrics},
            notes=(note, *result.notes),
        )


def by_group(
    labels: Int[Tensor, " N"], groups: NDArray[np.int64] | None, count: int, seed: Seed
) -> NDArray[np.int64]:
    """All images of `count` groups of each class, ascending; of all where a class has fewer.

    Nested: with one seed, the first group is among the first three.

    Args:
        labels: Class indices; images with -1 are never drawn.
        groups: Which object each image shows; None makes each image one of its own.
        count: Groups of each class.
        seed: Which draw.
    """
    classes = labels.cpu().numpy()
    groups = np.arange(len(classes)) if groups is None else groups
    kept = []
    for label in np.unique(classes[classes >= 0]):
        members = np.flatnonzero(classes == label)
        names = np.unique(groups[members])
        order = randperm(len(names), generator=seed.fold("group", int(label)).generator()).numpy()
        kept.append(members[np.isin(groups[members], names[order[:count]])])
    return np.sort(np.concatenate(kept)) if kept else np.zeros(0, np.int64)
