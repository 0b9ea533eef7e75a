"""MoCo: keys of a following copy, negatives from a queue of earlier keys.

He et al., "Momentum Contrast", 2019. https://arxiv.org/abs/1911.05722 (v1: a linear projector,
temperature 0.07) and Chen et al., 2020. https://arxiv.org/abs/2003.04297 (v2: two layers,
temperature 0.2, the default). Masked copies are queries and keys are clean, so that a learned
masker gets a gradient (papers/adversarial_masking.md, section 2.4; papers/mixmask.md, 5.1).
"""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from masquerade.core.seed import Seed
from masquerade.engine import gather
from masquerade.engine.task import Group, Progress
from masquerade.networks.backbone import Backbone
from masquerade.networks.follow import follow, follower
from masquerade.networks.heads import ProjectorConfig
from masquerade.networks.norms import split
from masquerade.objectives.base import (
    Branch,
    Masked,
    Objective,
    ObjectiveConfig,
    Pair,
    between,
    cosine,
    normalised,
)


class MoCo(Objective):
    """A network, a copy that follows it, and a queue of the copy's keys.

    Attributes:
        queue: Unit keys of earlier steps; the negatives of every query.
        place: Where the next keys go.
    """

    follows = True
    queue: Tensor
    place: Tensor

    def __init__(self, config: "Config", backbone: Backbone) -> None:
        super().__init__()
        self.config = config
        self.backbone = split(backbone, config.groups) if config.groups > 1 else backbone
        self.projector = config.projector.build(backbone.dim)
        self.key_backbone = follower(self.backbone)
        self.key_projector = follower(self.projector)
        drawn = torch.randn(config.queue, config.projector.length(backbone.dim))
        self.register_buffer("queue", normalised(drawn))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))
        self.fresh: list[Tensor] = []

    def plan(self, masked: bool) -> list[Pair]:
        query = Branch(view=1, copy=0 if masked else None)
        pairs = [Pair(query, Branch(view=0))]
        if self.config.symmetric:  # a mixture meets both keys, as in Un-Mix's code
            pairs.append(Pair(query, Branch(view=1)) if masked else Pair(Branch(0), Branch(1)))
        if not masked:
            return pairs
        return between(pairs + [Pair(p.key, p.query) for p in pairs], self.config.masked)

    @torch.no_grad()
    def key_features(self, images: Float[Tensor, "B C H W"], seed: Seed) -> Float[Tensor, "B F"]:
        if not self.config.shuffle or self.config.groups == 1:
            features: Tensor = self.key_backbone(images)
            return features
        everyone = gather.gathered(images)
        order = shuffled(len(everyone), seed).to(images.device)
        mixed: Tensor = self.key_backbone(gather.own(everyone[order]))
        return gather.own(gather.gathered(mixed)[order.argsort()])

    @torch.no_grad()
    def key(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B D"]:
        embedding: Tensor = self.key_projector(features)
        return embedding

    def compare(
        self,
        query: Float[Tensor, "B D"],
        key: Float[Tensor, "B D"],
        positive: Int[Tensor, "B M"],
        weight: Float[Tensor, "B M"],
    ) -> Float[Tensor, " B"]:
        with torch.autocast(query.device.type, enabled=False):
            negatives = normalised(query) @ self.queue.to(query.device).T / self.config.temperature
            others = negatives.logsumexp(1)[:, None]  # shared by all positives
            own = cosine(query, gather.gathered(key), positive) / self.config.temperature
            return (weight * F.softplus(others - own)).sum(1)

    def remember(self, keys: list[Float[Tensor, "B D"]]) -> None:
        # Enqueued after the step: backward still needs the queue, and in the masker's round a
        # key that is in the queue already would be its own negative.
        self.fresh = [normalised(k.detach()) for k in keys]

    def before_step(self, progress: Progress) -> None:
        follow(self.key_backbone, self.backbone, self.config.momentum)
        follow(self.key_projector, self.projector, self.config.momentum)

    @torch.no_grad()
    def after_step(self, progress: Progress) -> None:
        for keys in self.fresh:
            everyone = gather.gathered(keys)
            if len(self.queue) % len(everyone):
                raise ValueError(
                    f"moco.queue={len(self.queue)} is not a multiple of the batch of "
                    f"{len(everyone)}; {advice(len(self.queue), len(everyone))}"
                )
            count = torch.arange(len(everyone), device=self.place.device)
            self.queue.index_copy_(0, self.place + count, everyone.to(self.queue))
            self.place.copy_((self.place + len(everyone)) % len(self.queue))
        self.fresh = []

    def groups(self) -> list[Group]:
        return [
            Group("backbone", list(self.backbone.parameters())),
            Group("projector", list(self.projector.parameters())),
        ]


def shuffled(size: int, seed: Seed) -> Int[Tensor, " G"]:
    """The order in which the keys of all processes are encoded."""
    return torch.randperm(size, generator=seed.generator())


def advice(queue: int, batch: int) -> str:
    """A queue that would do."""
    return f"choose objective.queue={max(1, round(queue / batch)) * batch}"


class Config(ObjectiveConfig):
    """Settings of MoCo. The defaults are those of v2 on ImageNet.

    Attributes:
        temperature: Divides the cosine similarities; 0.07 in v1.
        projector: The head between features and embeddings; v1 has `layers=1`.
        momentum: Of the copy, which moves before each step.
        queue: Keys that are kept as negatives; a multiple of the batch.
        symmetric: Whether both views are queries and keys (two losses, summed, and twice as many
            keys) instead of one each.
        groups: Groups in which batch norm normalises the backbone's batch (SplitBN); 1 is plain.
        shuffle: Whether keys are encoded in another order, so that the groups of a query and its
            key differ; it has an effect with more than one group.
        masked: Which side masked copies take; a learned masker needs `query` or `both`.
    """

    temperature: float = Field(0.2, gt=0)
    projector: ProjectorConfig = ProjectorConfig(hidden=2048, out=128)
    momentum: float = Field(0.999, ge=0, le=1)
    queue: int = Field(65536, ge=1)
    symmetric: bool = False
    groups: int = Field(1, ge=1)
    shuffle: bool = True
    masked: Masked = "query"

    def build(self, backbone: Backbone) -> MoCo:
        return MoCo(self, backbone)

    def check(self, batch: int, devices: int) -> None:
        if self.queue % batch:
            raise ValueError(
                f"objective.queue={self.queue} is not a multiple of batch={batch}; "
                f"{advice(self.queue, batch)}"
            )
        if batch // devices % self.groups:
            raise ValueError(
                f"batch={batch} on {devices} devices cannot be split into "
                f"objective.groups={self.groups} groups of each device"
            )
