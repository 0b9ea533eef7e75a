"""K networks on raw images, each trained on the images that its model sees.

A network's file is named by the model and carries a key: everything that its weights follow from.
What is there under the right key is never trained again, so adding or removing images trains the
networks they reach and no others, and ends in the bits of a new training.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from json import dumps
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from masquerade.certify import cluster, ensemble
from masquerade.certify.base import Ballots
from masquerade.certify.boosted import summed
from masquerade.certify.ensemble import Labelled
from masquerade.certify.learners.base import alone
from masquerade.certify.learners.networks import Config
from masquerade.certify.partition import Partition, Parts
from masquerade.certify.school import Machine, Unit, Weights, learn, repeatable
from masquerade.certify.several import Lesson
from masquerade.certify.views import Scale
from masquerade.core import tensorfile
from masquerade.core.errors import MissingData

BATCH = 256  # images per forward pass, always so many: a network's last bits follow their number
Say = Callable[[str], None]


class Networks(NamedTuple):
    """K networks and what they were trained on.

    Attributes:
        parts: How the training set was divided.
        learner: How a network is trained.
        classes: The names of the C classes.
        digests: The N training images by content, sorted; equal ones by label.
        features: Their pixels, resized.
        labels: [N].
        own: [N]: the partition of each image.
        seen: [K, C]: whether a model saw an image of a class.
        machine: What networks are computed on.
        place: The folder of their files.
    """

    parts: Parts
    learner: Config
    classes: tuple[str, ...]
    digests: tuple[str, ...]
    features: UInt8[Tensor, "N C S S"]
    labels: Int[Tensor, " N"]
    own: Int[Tensor, " N"]
    seen: Bool[Tensor, "K C"]
    machine: Machine
    place: Path

    @property
    def partition(self) -> Partition:
        """Where every training image lies, and who sees it."""
        return self.parts.joined(self.own)

    @property
    def held(self) -> Labelled:
        """The training images."""
        return Labelled(self.features, self.labels, self.digests, self.own)

    def logits(self, images: UInt8[Tensor, "T _ S S"]) -> Float[Tensor, "T K C"]:
        """What every model says of new images; -inf for a class that it never saw.

        Raises:
            ValueError: Images of another size or number of channels.
            MissingData: A network's file is not there, or is not that of these images.
        """
        if images.shape[1:] != self.features.shape[1:]:
            raise ValueError(
                f"these networks were trained on images of {list(self.features.shape[1:])} "
                f"(channels, height, width), got {list(images.shape[1:])}"
            )
        count, classes = len(images), len(self.classes)
        out = torch.full((classes, count, self.parts.models), -torch.inf)
        members = self.partition.members()
        with alone(), repeatable(), torch.no_grad():
            for model in torch.nonzero(self.seen.any(1))[:, 0].tolist():
                versions = [self._read(model, v, members[model]) for v in range(self.learner.boost)]
                if all(versions):  # one that diverged abstains
                    found = summed([self._scores(w, images)[:, None] for w in versions])[:, 0]
                    found[:, ~self.seen[model]] = -torch.inf
                    out[:, :, model] = found.T
        return out.permute(1, 2, 0)

    def ballots(self, images: UInt8[Tensor, "T _ S S"]) -> Ballots:
        """The votes on new images."""
        return Ballots(self.logits(images), self.partition.reach)

    def key(self, model: int, version: int, rows: Int[Tensor, " m"]) -> str:
        """A name for everything that a network's weights follow from.

        Where several are trained as one, the others change nothing of it.
        """
        seen = [(self.digests[i], int(self.labels[i])) for i in rows.tolist()]
        shape = list(self.features.shape[1:])
        about = [self.learner.tree(), self.machine, len(self.classes), shape, model, version, seen]
        return blake2b(dumps(about).encode(), digest_size=16).hexdigest()

    def file(self, model: int, version: int) -> str:
        """The name of a network's file."""
        return f"{model:05d}-{version}.safetensors"

    def there(self, model: int, version: int, rows: Int[Tensor, " m"]) -> bool:
        """Whether a network is trained."""
        try:
            with safetensors.safe_open(self.place / self.file(model, version), "pt") as stored:
                said = stored.metadata() or {}
        except (FileNotFoundError, safetensors.SafetensorError):
            return False
        return bool(said.get("key") == self.key(model, version, rows))

    def keep(self, model: int, version: int, rows: Int[Tensor, " m"], found: Weights) -> None:
        """Write a network's file, whole or not at all."""
        about = {"key": self.key(model, version, rows)}
        tensorfile.save(self.place / self.file(model, version), found, about)

    def _read(self, model: int, version: int, rows: Int[Tensor, " m"]) -> Weights:
        if not self.there(model, version, rows):
            raise MissingData(
                f"{self.place / self.file(model, version)} is not there, or not the network of "
                "these images; repeat masquerade certify, which trains what is missing"
            )
        return safetensors.torch.load_file(self.place / self.file(model, version))

    def _scores(self, weights: Weights, images: UInt8[Tensor, "T _ S S"]) -> Float[Tensor, "T C"]:
        """What one network says, in float32; every pass has the same number of images."""
        runtime = self.machine.runtime()
        device = runtime.device()
        state = dict(weights)
        scale = Scale(state.pop("mean"), state.pop("std"))
        channels, size = images.shape[1:3]
        net = self.learner.network.build(size, channels, len(self.classes))
        net.load_state_dict(state)
        net = net.to(device).eval()
        found = []
        for part in images.split(BATCH):
            full = torch.cat([part, part[:1].expand(BATCH - len(part), -1, -1, -1)])
            with runtime.autocast():
                scores = net(scale.applied(full.to(device)))
            found.append(scores[: len(part)].float().cpu())
        return torch.cat(found)


def fit(
    training: Labelled,
    classes: tuple[str, ...],
    parts: Parts,
    learner: Config,
    machine: Machine,
    place: Path,
    workers: int,
    say: Say,
) -> Networks:
    """Train what is not trained yet of an ensemble.

    Args:
        training: The images; `features` are their pixels (`views.square`).
        classes: C names, fixed beforehand.
        parts: How the set is divided.
        learner: How a network is trained.
        machine: What networks are computed on.
        place: The folder of their files.
        workers: Processes; 1 is this one. The weights are the same.
        say: Takes lines for the user.

    Raises:
        ValueError: Fewer than two classes, lengths that differ, or labels out of range.
        Interrupted: Ctrl-C or SIGTERM came; the next call goes on.
        Diverged: An image's pixels are no numbers (which bytes cannot be).
    """
    ensemble.examined(training, classes)
    nobody = torch.zeros(parts.models, len(classes), dtype=torch.bool)
    held = ensemble.ordered(training)
    whole = Networks(
        parts, learner, classes, tuple(held.digests), *held[:2], held.own, nobody, machine, place
    )
    return trained(whole, workers, say)


def add(networks: Networks, more: Labelled, workers: int, say: Say) -> Networks:
    """The ensemble with more training images: bit for bit a new training on all of them.

    Raises:
        ValueError: As for `fit`; or the partitions are dealt by rank, so that images would move.
    """
    ensemble.movable(networks.parts)
    ensemble.examined(more, networks.classes)
    return trained(holding(networks, ensemble.joined(networks.held, more)), workers, say)


def remove(networks: Networks, digests: Sequence[str], workers: int, say: Say) -> Networks:
    """The ensemble without some images, bit for bit as if it had never seen them.

    Raises:
        ValueError: One is not there; or the partitions are dealt by rank.
    """
    ensemble.movable(networks.parts)
    return trained(holding(networks, ensemble.without(networks.held, digests)), workers, say)


def holding(networks: Networks, held: Labelled) -> Networks:
    """The ensemble with other training images, not trained on them yet."""
    return networks._replace(**{**held._asdict(), "digests": tuple(held.digests)})


def trained(networks: Networks, workers: int, say: Say) -> Networks:
    """The ensemble after training every network whose file is not there."""
    members = networks.partition.members()
    classes = len(networks.classes)
    seen = [torch.bincount(networks.labels[m], minlength=classes) > 0 for m in members]
    networks = networks._replace(seen=torch.stack(seen))
    todo = list(missing(networks, members))
    every = len(members) * networks.learner.boost
    say(f"{len(todo):,} groups of networks to train, of {every:,} networks in all")
    ended: Iterator[tuple[int, list[Weights]]]
    if workers > 1 and len(todo) > 1:
        ended = cluster.shared(todo, workers)
    else:
        ended = ((k, learn(unit)) for k, unit in enumerate(todo))
    for done, (k, found) in enumerate(ended, start=1):
        for lesson, weights in zip(todo[k].lessons, found, strict=True):
            if len(lesson.labels):
                networks.keep(lesson.model, lesson.version, members[lesson.model], weights)
        if done % max(1, len(todo) // 20) == 0:
            say(f"{done:,} of {len(todo):,} trained")
    return networks


def missing(networks: Networks, members: list[Tensor]) -> Iterator[Unit]:
    """The units that are to be trained.

    Groups are fixed by the models' numbers, and the last one is filled up with networks without
    images: nothing that is computed has another shape for other images.
    """
    size, models = networks.learner.together, networks.parts.models
    for version in range(networks.learner.boost):
        for start in range(0, models, size):
            group = [i for i in range(start, min(start + size, models)) if len(members[i])]
            if all(networks.there(i, version, members[i]) for i in group):
                continue
            none = members[0][:0]
            rows = [members[i] if i < models else none for i in range(start, start + size)]
            lessons = [
                Lesson(networks.features[m], networks.labels[m], i, version)
                for i, m in enumerate(rows, start)
            ]
            keys = "".join(networks.key(i, version, members[i]) for i in group)
            scratch = f"cut-{blake2b(keys.encode(), digest_size=16).hexdigest()}"
            yield Unit(
                networks.learner,
                lessons,
                len(networks.classes),
                networks.machine,
                networks.place / scratch,
            )
