"""SimCLR: every other image of the batch is a negative (NT-Xent).

Chen, Kornblith, Norouzi, Hinton, "A Simple Framework for Contrastive Learning of Visual
Representations", 2020. https://arxiv.org/abs/2002.05709. With masks as ADIOS does it: the clean
first view against each masked copy of the second (papers/adversarial_masking.md, section 2.1).
"""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from masquerade.engine import gather
from masquerade.engine.task import Group
from masquerade.networks.backbone import Backbone
from masquerade.networks.heads import ProjectorConfig
from masquerade.objectives.base import (
    Branch,
    Meets,
    Objective,
    ObjectiveConfig,
    Pair,
    normalised,
)


class SimCLR(Objective):
    """One backbone and one projector for both branches; gradients flow through both."""

    key_gradient = True
    undetached = True

    def __init__(self, config: "Config", backbone: Backbone) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.projector = config.projector.build(backbone.dim)
        self.joint = config.joint

    def plan(self, masked: bool) -> list[Pair]:
        if not masked:
            return [Pair(Branch(view=1), Branch(view=0))]
        return [Pair(Branch(view=1, copy=0), Branch(view=int(self.config.meets == "same")))]

    def compare(
        self,
        query: Float[Tensor, "B D"],
        key: Float[Tensor, "B D"],
        positive: Int[Tensor, "B M"],
        weight: Float[Tensor, "B M"],
    ) -> Float[Tensor, " B"]:
        return (weight * ntxent(query, key, positive, self.config.temperature)).sum(1)

    def groups(self) -> list[Group]:
        return [
            Group("backbone", list(self.backbone.parameters())),
            Group("projector", list(self.projector.parameters())),
        ]


def ntxent(
    a: Float[Tensor, "B D"],
    b: Float[Tensor, "B D"],
    positive: Int[Tensor, "B M"],
    temperature: float,
) -> Float[Tensor, "B M"]:
    """Normalised temperature-scaled cross entropy of each pair (a[i], b[positive[i, m]]).

    Both directions share one similarity matrix and one logsumexp per row, whatever M is. A
    row's denominator has every row of `a` and `b` of all processes but itself, its positive
    included.

    Args:
        a: Embeddings, of any length; they are normalised here, in at least float32.
        b: Embeddings of the other views.
        positive: Rows of `b`, counted over the batch of all processes.
        temperature: Divides the cosine similarities. Must be positive.

    Returns:
        The mean of the two directions of each pair, in nats. With M = 1 and a permutation, its
        mean over the batch is SimCLR's loss.
    """
    with torch.autocast(a.device.type, enabled=False):
        local = torch.stack([normalised(a), normalised(b)])  # 2 B D
        every = torch.stack([gather.gathered(local[0]), gather.gathered(local[1])])
        logits = local.flatten(0, 1) @ every.flatten(0, 1).T / temperature  # 2B 2G
        size, total = a.shape[0], every.shape[1]
        row = torch.arange(size, device=a.device)
        mine = row + gather.rank() * size
        same = torch.cat([mine, mine + total])
        rest = logits.scatter(1, same[:, None], -torch.inf)
        spread_a, spread_b = rest.logsumexp(1).chunk(2)
        attraction = logits[:size].gather(1, positive + total)
        return (spread_a[:, None] + gather.gathered(spread_b)[positive]) / 2 - attraction


class Config(ObjectiveConfig):
    """Settings of SimCLR.

    Attributes:
        temperature: Divides the cosine similarities; 0.2 in every released ADIOS script.
        projector: The head between features and embeddings.
        joint: Whether the projector's batch norm sees both branches of a pair at once, as in
            the W-MSE code base; it matters only for projectors with batch norm.
        meets: Which clean view a masked copy is compared with: the other one, or the one it was
            made of, which Un-Mix's authors found better on some data.
    """

    temperature: float = Field(0.2, gt=0)
    projector: ProjectorConfig = ProjectorConfig()
    joint: bool = False
    meets: Meets = "other"

    def build(self, backbone: Backbone) -> SimCLR:
        return SimCLR(self, backbone)
