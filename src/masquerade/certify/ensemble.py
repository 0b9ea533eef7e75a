"""K heads on frozen features, each fitted on the images that its model sees.

An ensemble keeps its training examples as whole numbers in canonical order. Adding or removing
images therefore refits the heads they reach and no others, and ends in the bits of a new fit.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from masquerade.certify.base import Ballots
from masquerade.certify.learners.base import Examples, HeadConfig, counts
from masquerade.certify.partition import Partition, Parts
from masquerade.certify.whole import scores, whole
from masquerade.data.images import digest


class Labelled(NamedTuple):
    """Training images as an ensemble takes them.

    Attributes:
        features: Of a frozen encoder, finite; or, for networks, pixels.
        labels: 0 to C - 1.
        digests: The content of each image as hex (`ImageSet.digests`, or `feature_digests`).
        own: The partition of each image (`Parts.of(images).own`, `Parts.named(digests).own`).
    """

    features: Float[Tensor, "N D"] | UInt8[Tensor, "N C S S"]
    labels: Int[Tensor, " N"]
    digests: Sequence[str]
    own: Int[Tensor, " N"]


class Ensemble(NamedTuple):
    """K fitted heads and what they were fitted on.

    Attributes:
        parts: How the training set was divided.
        learner: How a head is fitted.
        classes: The names of the C classes.
        digests: The N training images by content, sorted; equal ones by label.
        features: Int16 [N, W], whole numbers.
        labels: [N].
        own: [N]: the partition of each image.
        weights: Int32 [C, W, K].
        seen: [K, C]: whether a model saw an image of a class.
    """

    parts: Parts
    learner: HeadConfig
    classes: tuple[str, ...]
    digests: tuple[str, ...]
    features: Int[Tensor, "N W"]
    labels: Int[Tensor, " N"]
    own: Int[Tensor, " N"]
    weights: Int[Tensor, "C W K"]
    seen: Bool[Tensor, "K C"]

    @property
    def partition(self) -> Partition:
        """Where every training image lies, and who sees it."""
        return self.parts.joined(self.own)

    @property
    def held(self) -> Labelled:
        """The training images."""
        return Labelled(self.features, self.labels, self.digests, self.own)

    def logits(self, features: Float[Tensor, "T D"]) -> Float[Tensor, "T K C"]:
        """What every head says of new images; -inf for a class that it never saw. Float64.

        Raises:
            ValueError: Features of another length than the heads were fitted on.
        """
        width = self.features.shape[1] - 1
        if features.shape[1] != width:
            raise ValueError(
                f"these heads were fitted on features of {width} numbers, got "
                f"{features.shape[1]}: features of another encoder or layer"
            )
        found = scores(whole(features), self.weights)
        missing = ~self.seen.T[:, None]
        found.permute(2, 0, 1).masked_fill_(missing, -torch.inf)
        return found

    def ballots(self, features: Float[Tensor, "T D"]) -> Ballots:
        """The votes on new images."""
        return Ballots(self.logits(features), self.partition.reach)


def feature_digests(features: Float[Tensor, "N D"]) -> list[str]:
    """Names for the content of images of which nothing but the features is known."""
    return [digest(row) for row in features.detach().cpu().float().contiguous().numpy()]


def fit(
    training: Labelled, classes: tuple[str, ...], parts: Parts, learner: HeadConfig
) -> Ensemble:
    """Fit all heads.

    Args:
        training: The images.
        classes: C names, fixed beforehand: what classes there are must not follow from the data.
        parts: How the set is divided.
        learner: How a head is fitted.

    Raises:
        ValueError: Fewer than two classes, lengths that differ, or labels out of range.
    """
    examined(training, classes)
    held = ordered(training._replace(features=whole(training.features)))
    empty = Ensemble(
        parts,
        learner,
        classes,
        tuple(held.digests),
        *held[:2],
        held.own,
        torch.zeros(len(classes), training.features.shape[1] + 1, parts.models, dtype=torch.int32),
        torch.zeros(parts.models, len(classes), dtype=torch.bool),
    )
    return refitted(empty, torch.arange(parts.models))


def add(ensemble: Ensemble, more: Labelled) -> Ensemble:
    """The ensemble with more training images: bit for bit a new fit on all of them.

    Raises:
        ValueError: As for `fit`; or the partitions are dealt by rank, so that images would move.
    """
    movable(ensemble.parts)
    examined(more, ensemble.classes)
    if more.features.shape[1] != ensemble.features.shape[1] - 1:
        raise ValueError(
            f"the ensemble's features have {ensemble.features.shape[1] - 1} numbers, got "
            f"{more.features.shape[1]}: features of another encoder or layer"
        )
    grown = joined(ensemble.held, more._replace(features=whole(more.features)))
    return refitted(holding(ensemble, grown), reached(ensemble, more.own))


def remove(ensemble: Ensemble, digests: Sequence[str]) -> Ensemble:
    """The ensemble without some images, as if it had never seen them: bit for bit a new fit.

    Args:
        ensemble: Of any number of images.
        digests: The images; every copy of each is forgotten, whatever its label.

    Raises:
        ValueError: One is not there; or the partitions are dealt by rank.
    """
    movable(ensemble.parts)
    rest = holding(ensemble, without(ensemble.held, digests))
    gone = set(digests)
    hit = torch.tensor([d in gone for d in ensemble.digests], dtype=torch.bool)
    return refitted(rest, reached(rest, ensemble.own[hit]))


def holding(ensemble: Ensemble, held: Labelled) -> Ensemble:
    """The ensemble with other training images, its heads not fitted on them yet."""
    return ensemble._replace(**{**held._asdict(), "digests": tuple(held.digests)})


def reached(ensemble: Ensemble, own: Int[Tensor, " M"]) -> Int[Tensor, " _"]:
    """The models that see any of these partitions."""
    models: Tensor = ensemble.partition.reach[own.unique()].unique()
    return models


def refitted(ensemble: Ensemble, models: Int[Tensor, " M"]) -> Ensemble:
    """The ensemble with the heads of some models fitted on what they see now.

    A model that sees nothing keeps no head: it abstains.
    """
    members = ensemble.partition.members()
    examples = Examples(ensemble.features, ensemble.labels, len(ensemble.classes))
    chosen = models.tolist()
    busy = [i for i in chosen if len(members[i])]
    weights, seen = ensemble.weights.clone(), ensemble.seen.clone()
    weights[:, :, chosen] = 0
    weights[:, :, busy] = ensemble.learner.fit(examples, [members[i] for i in busy])
    seen[chosen] = counts(examples, [members[i] for i in chosen]) > 0
    return ensemble._replace(weights=weights, seen=seen)


def canonical(digests: Sequence[str], labels: Int[Tensor, " N"]) -> Int[Tensor, " N"]:
    """The order of images by content, equal ones by label."""
    return torch.from_numpy(np.lexsort((labels.numpy(), np.array(digests, dtype=np.str_))))


def ordered(images: Labelled) -> Labelled:
    """Training images in canonical order."""
    rows = canonical(images.digests, images.labels)
    names = tuple(images.digests[i] for i in rows.tolist())
    return Labelled(images.features[rows], images.labels[rows].long(), names, images.own[rows])


def joined(held: Labelled, more: Labelled) -> Labelled:
    """Training images and more of them, in canonical order."""
    both = [torch.cat(pair) for pair in zip(held[:2], more[:2], strict=True)]
    names = [*held.digests, *more.digests]
    return ordered(Labelled(both[0], both[1].long(), names, torch.cat([held.own, more.own])))


def without(held: Labelled, digests: Sequence[str]) -> Labelled:
    """Training images but for some; raises `ValueError` where one is not there."""
    gone = set(digests)
    strange = sorted(gone - set(held.digests))
    if strange:
        raise ValueError(
            f"{len(strange)} of {len(gone)} images were not learnt, {strange[0]} first"
        )
    kept = torch.tensor([d not in gone for d in held.digests], dtype=torch.bool)
    names = tuple(d for d in held.digests if d not in gone)
    return Labelled(held.features[kept], held.labels[kept], names, held.own[kept])


def movable(parts: Parts) -> None:
    """Raises `ValueError` where one image more or less would move others."""
    if parts.assign == "dealt":
        raise ValueError(
            "with assign=dealt the place of an image depends on all others, so images can neither "
            "be added nor removed; fit again, or use assign=content"
        )


def examined(training: Labelled, classes: tuple[str, ...]) -> None:
    """Raises `ValueError` where examples do not fit together, or to fewer than two classes."""
    if len(classes) < 2:
        raise ValueError(f"a certificate needs two classes, got {len(classes)}")
    lengths = [len(column) for column in training]
    if len(set(lengths)) > 1:
        raise ValueError(
            "{} features, {} labels, {} digests and {} partitions cannot belong to the same "
            "images".format(*lengths)
        )
    labels = training.labels
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        raise ValueError(
            f"labels must be 0 to {len(classes) - 1}, got {int(labels.min())} to "
            f"{int(labels.max())}. Leave out images without a label"
        )
