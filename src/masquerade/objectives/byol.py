"""BYOL: predict what a slowly following copy of the network makes of the other view.

Grill et al., "Bootstrap your own latent", 2020. https://arxiv.org/abs/2006.07733. The loss is the
sum of both directions. With masks as ADIOS does it: each masked copy of the second view and the
clean first view predict each other (papers/adversarial_masking.md, section 2.2); only where the
masked copy predicts does a gradient reach the mask.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.engine import gather
from masquerade.engine.task import Group, Progress
from masquerade.networks.backbone import Backbone
from masquerade.networks.follow import follow, follower
from masquerade.networks.heads import PredictorConfig, ProjectorConfig
from masquerade.objectives.base import (
    Branch,
    Masked,
    Meets,
    Objective,
    ObjectiveConfig,
    Pair,
    between,
    cosine,
)


class BYOL(Objective):
    """A network with a predictor, and a copy of its backbone and projector that follows."""

    follows = True

    def __init__(self, config: "Config", backbone: Backbone) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.projector = config.projector.build(backbone.dim)
        self.predictor = config.predictor.build(config.projector.length(backbone.dim))
        self.key_backbone = follower(backbone)
        self.key_projector = follower(self.projector)

    def plan(self, masked: bool) -> list[Pair]:
        if not masked:
            return [Pair(Branch(1), Branch(0)), Pair(Branch(0), Branch(1))]
        copy, clean = Branch(view=1, copy=0), Branch(view=int(self.config.meets == "same"))
        return between([Pair(copy, clean), Pair(clean, copy)], self.config.masked)

    @torch.no_grad()
    def key_features(self, images: Float[Tensor, "B C H W"], seed: Seed) -> Float[Tensor, "B F"]:
        features: Tensor = self.key_backbone(images)
        return features

    @torch.no_grad()
    def key(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B D"]:
        embedding: Tensor = self.key_projector(features)
        return embedding

    def predict(self, embedding: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        predicted: Tensor = self.predictor(embedding)
        return predicted

    def compare(
        self,
        query: Float[Tensor, "B D"],
        key: Float[Tensor, "B D"],
        positive: Int[Tensor, "B M"],
        weight: Float[Tensor, "B M"],
    ) -> Float[Tensor, " B"]:
        return (weight * (2 - 2 * cosine(query, gather.gathered(key), positive))).sum(1)

    def groups(self) -> list[Group]:
        return [
            Group("backbone", list(self.backbone.parameters())),
            Group("projector", list(self.projector.parameters())),
            Group("predictor", list(self.predictor.parameters())),
        ]

    def after_step(self, progress: Progress) -> None:
        momentum = self.config.momentum_at(progress)
        follow(self.key_backbone, self.backbone, momentum)
        follow(self.key_projector, self.projector, momentum)


class Config(ObjectiveConfig):
    """Settings of BYOL.

    Attributes:
        projector: The head between features and embeddings; its defaults are ADIOS's.
        predictor: The head between embeddings and predictions.
        momentum: Of the copy, at the start.
        schedule: Whether the momentum rises to 1 with a cosine, by step or by epoch, or stays.
        masked: Which side masked copies take: they predict (`query`), are predicted (`key`), or
            both, as published. A learned masker needs the first or the last.
        meets: Which clean view a masked copy is compared with, the other one or its own.
    """

    projector: ProjectorConfig = ProjectorConfig(hidden=4096, out=256, norm="hidden", bias=True)
    predictor: PredictorConfig = PredictorConfig(hidden=8192)
    momentum: float = Field(0.99, ge=0, le=1)
    schedule: Literal["step", "epoch", "constant"] = "step"
    masked: Masked = "both"
    meets: Meets = "other"

    def build(self, backbone: Backbone) -> BYOL:
        return BYOL(self, backbone)

    def momentum_at(self, progress: Progress) -> float:
        """The momentum with which the copy moves after a step."""
        if self.schedule == "constant":
            return self.momentum
        by_step = self.schedule == "step"
        done = progress.step / progress.steps if by_step else progress.epoch / progress.epochs
        return 1 - (1 - self.momentum) * (math.cos(math.pi * done) + 1) / 2
