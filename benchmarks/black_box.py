"""Filled masks as a black box: the framework is asked anew for each term, nothing is shared.

What Un-Mix's README tells its users to do, and what its code for MoCo does (papers/mixmask.md,
sections 5 and 8): the loss of the two views, and of each mixture lambda times its loss with the
clean view and 1 - lambda times the loss of the mixture in another order. What a step of ours is
compared with, in cost (step_cost.py) and, to the last digits, in loss and gradient (tests/exact).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.engine.task import Carry, Group, Progress, Task, Terms
from masquerade.maskers.base import Masker, Occluded
from masquerade.networks.backbone import Backbone
from masquerade.objectives.base import Objective
from masquerade.objectives.moco import MoCo
from masquerade.pretext.branches import Branches


class BlackBox(Task):
    """Two views, the second one mixed, and an objective that knows nothing of mixtures.

    Args:
        objective: Encodes and compares clean pairs.
        maskers: Those that fill, with one share for the whole batch.
    """

    def __init__(self, objective: Objective, maskers: list[Masker]) -> None:
        super().__init__()
        self.objective = objective
        self.maskers = maskers

    def encoder(self) -> Backbone:
        return self.objective.backbone

    def players(self) -> dict[str, list[Group]]:
        return {"encoder": self.objective.groups()}

    def rounds(self, progress: Progress) -> tuple[tuple[str, ...], ...]:
        return (("encoder",),)

    def before_step(self, progress: Progress) -> None:
        self.objective.before_step(progress)

    def after_step(self, progress: Progress) -> None:
        self.objective.after_step(progress)

    def forward(
        self, batch: Views, players: tuple[str, ...], seed: Seed, progress: Progress, carry: Carry
    ) -> Terms:
        first, second = batch.views
        copies = [
            copy
            for masker in self.maskers
            for copy in masker.occlude(second, masker.propose(second, seed), seed)
        ]
        if isinstance(self.objective, MoCo):
            loss = queued(self.objective, first, second, copies, seed)
        else:
            loss = called(self.objective, first, second, seed)
            for copy in copies:
                own = share_of(copy)
                loss = loss + own * called(self.objective, first, copy.images, seed)
                turned = copy.images[order_of(copy).argsort()]
                loss = loss + (1 - own) * called(self.objective, first, turned, seed)
        return Terms(loss, {"encoder/loss": loss.detach()})


def called(
    objective: Objective,
    first: Float[Tensor, "B C H W"],
    second: Float[Tensor, "B C H W"],
    seed: Seed,
) -> Float[Tensor, ""]:
    """The framework's loss of two batches as if they were two clean views, all encoded anew."""
    pairs = objective.plan(masked=False)
    branches = Branches(objective, (first, second), {}, pairs, False, seed, {})
    own = torch.arange(len(first), device=first.device)[:, None]
    one = torch.ones_like(own, dtype=torch.float32)
    losses = [p.weight * objective.compare(*branches.pair(p), own, one).mean() for p in pairs]
    return torch.stack(losses).sum()


def queued(
    moco: MoCo,
    first: Float[Tensor, "B C H W"],
    second: Float[Tensor, "B C H W"],
    copies: list[Occluded],
    seed: Seed,
) -> Float[Tensor, ""]:
    """MoCo as Un-Mix's code has it: each key is made once, a mixture encoded for each key."""
    views = (first, second)
    keys = {
        view: moco.key(moco.key_features(views[view], seed.fold("key", view)))
        for view in sorted({p.key.view for p in moco.plan(masked=False)})
    }
    own = torch.arange(len(first), device=first.device)
    one = torch.ones(len(first), 1, device=first.device)

    def loss(images: Tensor, view: int, *terms: tuple[Tensor, float]) -> Tensor:
        query = moco.query(moco.query_features(images))
        means = [
            w * moco.compare(query, keys[view], rows[:, None], one).mean() for rows, w in terms
        ]
        return torch.stack(means).sum()

    total = torch.zeros((), device=first.device)
    for pair in moco.plan(masked=False):
        total = total + loss(views[pair.query.view], pair.key.view, (own, 1.0))
    for copy in copies:
        share = share_of(copy)
        for pair in moco.plan(masked=True):
            both = (own, share), (order_of(copy), 1 - share)
            total = total + loss(copy.images, pair.key.view, *both)
    moco.remember(list(keys.values()))
    return total


def share_of(copy: Occluded) -> float:
    """Lambda: the part of the own image, which must be the same for the whole batch."""
    share = copy.share[0]
    if not bool((copy.share == share).all()):
        raise ValueError("the black box has one lambda for the batch; take per_image=false")
    return float(share)


def order_of(copy: Occluded) -> Tensor:
    """Who fills whom."""
    if copy.partner is None:
        raise ValueError("the black box mixes images; these copies are erased")
    return copy.partner
