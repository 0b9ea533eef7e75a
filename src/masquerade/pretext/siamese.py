"""Siamese learning: any objective, any list of maskers, and who plays in which round.

Each distinct branch of the objective's plan is encoded once per round and the pairs are summed.
`step` says how encoder and masker alternate (papers/adversarial_masking.md, sections 4 and 14):
`shared` gives the published gradients with the clean view encoded once per round and the mask
network run once per step; `reversal` gives both gradients in one backward pass, the masker's
reversed at the mask, so that it sees the encoder before, not after, this step's update.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from masquerade.core.seed import Seed
from masquerade.core.types import Views, precise
from masquerade.engine import gather
from masquerade.engine.task import Carry, Group, Progress, Task, Terms
from masquerade.maskers.base import Masker, Occluded
from masquerade.networks.backbone import Backbone
from masquerade.networks.norms import statistics
from masquerade.objectives.base import Branch, Objective, Pair

Step = Literal["shared", "reversal"]
Combine = Literal["mean", "sum"]


class Siamese(Task):
    """Two views, some of them masked, and an objective that compares them.

    Args:
        objective: Encodes and compares; holds the backbone.
        maskers: What hides; none is the baseline. Those with parameters are the adversary.
        step: How encoder and masker alternate.
        combine: Whether the loss is the mean or the sum over masked copies.
        classes: Of an online linear probe on the clean features, which costs no pass; 0 = none.
    """

    def __init__(
        self,
        objective: Objective,
        maskers: list[Masker],
        step: Step = "reversal",
        combine: Combine = "mean",
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.objective = objective
        self.maskers = nn.ModuleList(maskers)
        self.step = step
        self.combine = combine
        self.probe = nn.Linear(objective.backbone.dim, classes) if classes else None
        self.adversary = any(True for _ in self.maskers.parameters())
        self.clean = not maskers or any(m.wants_clean for m in maskers)

    def encoder(self) -> Backbone:
        return self.objective.backbone

    def players(self) -> dict[str, list[Group]]:
        found = {"encoder": self.objective.groups()}
        if self.adversary:
            found["masker"] = [Group("masker", list(self.maskers.parameters()))]
        if self.probe:
            found["probe"] = [Group("probe", list(self.probe.parameters()))]
        return found

    def rounds(self, progress: Progress) -> tuple[tuple[str, ...], ...]:
        first = ("encoder", "probe") if self.probe else ("encoder",)
        if not self.adversary:
            return (first,)
        if self.step == "reversal":
            return ((*first, "masker"),)
        return (first, ("masker",))

    def before_step(self, progress: Progress) -> None:
        self.objective.before_step(progress)

    def after_step(self, progress: Progress) -> None:
        self.objective.after_step(progress)
        for masker in self.masker_list():
            masker.after_step(progress)

    def forward(
        self, batch: Views, players: tuple[str, ...], seed: Seed, progress: Progress, carry: Carry
    ) -> Terms:
        attacks = "masker" in players
        alone = attacks and "encoder" not in players
        hidden = self._hidden(batch.views, seed, carry)
        with statistics(self.objective, update=False) if alone else nullcontext():
            copies = self._copies(batch.views, hidden, attacks, alone, seed)
            count = sum(len(found) for found in copies.values()) // max(len(copies), 1)
            loss = self._compare(batch.views, copies, count, frozen=alone, carry=carry)
        logs = {"encoder/loss": loss.detach()}
        total = -loss if alone else loss
        if attacks:
            price = self._price(hidden, batch.views, progress) * self._scale(count)
            total = total + price
            logs |= {"masker/loss": (price - loss).detach(), "masker/price": price.detach()}
            logs |= described(next(iter(carry.values["learned"].values())))
        if "probe" in players and self.probe:
            probe, logs_of_probe = self._probe(carry.values["clean"], batch.labels)
            total = total + probe
            logs |= logs_of_probe
        if alone:
            logs = {n: v for n, v in logs.items() if n.startswith("masker")}
        return Terms(total, logs)

    def masker_list(self) -> list[Masker]:
        """The maskers, in order."""
        return [m for m in self.maskers if isinstance(m, Masker)]

    def _scale(self, copies: int) -> int:
        return copies if self.combine == "sum" else 1

    def _hidden(
        self, views: tuple[Tensor, ...], seed: Seed, carry: Carry
    ) -> dict[tuple[int, int], Float[Tensor, "B N H W"]]:
        """The masks of each (masker, view); the mask network runs once per step."""
        if "hidden" in carry.values:
            found: dict[tuple[int, int], Tensor] = carry.values["hidden"]
            return found
        masked = sorted(
            {b.view for p in self.objective.plan(1) for b in p[:2] if b.copy is not None}
        )
        hidden: dict[tuple[int, int], Tensor] = {}
        carry.clock.to("masker")
        with trainable(self.maskers):
            for place, masker in enumerate(self.masker_list()):
                for view in masked:
                    where = seed.fold("masker", place, "view", view)
                    hidden[place, view] = masker.propose(views[view], where)
        carry.clock.to("encoder")
        learned = {key: m for key, m in hidden.items() if m.requires_grad}
        for masks in learned.values():  # what runs backward after the masks is the mask network
            masks.register_hook(lambda grad: carry.clock.to("masker"))
        carry.values |= {"hidden": hidden, "learned": learned}
        return hidden

    def _copies(
        self,
        views: tuple[Tensor, ...],
        hidden: dict[tuple[int, int], Tensor],
        attacks: bool,
        alone: bool,
        seed: Seed,
    ) -> dict[int, list[Occluded]]:
        """The masked copies of each masked view, with gradients as this round wants them."""
        copies: dict[int, list[Occluded]] = {}
        for (place, view), masks in hidden.items():
            if not attacks:
                masks = masks.detach()
            elif not alone:
                masks = reversed_gradient(masks)
            masker = self.masker_list()[place]
            where = seed.fold("masker", place, "occlude", view)
            copies.setdefault(view, []).extend(masker.occlude(views[view], masks, where))
        return copies

    def _compare(
        self,
        views: tuple[Tensor, ...],
        copies: dict[int, list[Occluded]],
        count: int,
        frozen: bool,
        carry: Carry,
    ) -> Float[Tensor, ""]:
        """The loss over all pairs of the plan, each distinct branch encoded once."""
        masked = self.objective.plan(count) if count else []
        pairs = masked + (self.objective.plan(0) if self.clean and not frozen else [])
        queries: dict[Branch, Tensor] = {}
        keys: dict[Branch, Tensor] = {}
        features: dict[Branch, Tensor] = {}
        for pair in pairs:
            for branch, heads in ((pair.key, keys), (pair.query, queries)):
                if branch in heads:
                    continue
                query = heads is queries
                clean = branch.copy is None
                image = (
                    views[branch.view] if clean else copies[branch.view][branch.copy or 0].images
                )
                with torch.no_grad() if frozen and clean else nullcontext():
                    encode = self.objective.query_features if query else self.objective.key_features
                    features[branch] = f = encode(image)
                    heads[branch] = self.objective.query(f) if query else self.objective.key(f)
        if not frozen:
            clean_features = [f.detach() for b, f in features.items() if b.copy is None]
            first = pairs[0]
            carry.values["clean"] = clean_features
            carry.values["embeddings"] = (
                keys[first.key].detach().float(),
                queries[first.query].detach().float(),
            )
        total = torch.zeros((), device=views[0].device)
        for pair in pairs:
            shared = count if pair in masked and self.combine == "mean" else 1
            each = self._pair_loss(pair, queries[pair.query], keys[pair.key], copies)
            total = total + pair.weight / shared * each
        return total

    def _pair_loss(
        self, pair: Pair, query: Tensor, key: Tensor, copies: dict[int, list[Occluded]]
    ) -> Float[Tensor, ""]:
        """The mean loss of a pair of branches; a partner's key is the second positive."""
        size = len(query)
        own = torch.arange(size, device=query.device) + gather.rank() * size
        one = torch.ones(size, device=query.device)
        branch = pair.query if pair.query.copy is not None else pair.key
        if branch.copy is None:
            return self.objective.compare(query, key, own[:, None], one[:, None]).mean()
        copy = copies[branch.view][branch.copy]
        positive, share = own[:, None], one[:, None]
        if copy.partner is not None:
            positive = torch.stack([own, copy.partner + gather.rank() * size], 1)
            share = torch.stack([copy.share, 1 - copy.share], 1)
        return (copy.weight * self.objective.compare(query, key, positive, share)).mean()

    def _price(
        self,
        hidden: dict[tuple[int, int], Tensor],
        views: tuple[Tensor, ...],
        progress: Progress,
    ) -> Float[Tensor, ""]:
        """What all maskers pay, in float32."""
        total = torch.zeros((), device=views[0].device)
        with torch.autocast(views[0].device.type, enabled=False):
            for place, masker in enumerate(self.masker_list()):
                seen = [view for at, view in hidden if at == place]
                masks = [hidden[place, view] for view in seen]
                total = total + masker.price(masks, [views[v] for v in seen], progress)
        return total

    def _probe(
        self, features: list[Tensor], labels: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        assert self.probe is not None and labels is not None
        targets = labels.repeat(len(features))
        logits = precise(self.probe(torch.cat(features)))
        known = (targets >= 0).sum().clamp(min=1)  # summed, not picked: picking waits for a GPU
        loss = F.cross_entropy(logits, targets, ignore_index=-1, reduction="sum") / known
        right = (logits.argmax(1) == targets).sum() / known
        return loss, {"probe/loss": loss.detach(), "probe/top1": right.detach()}


def described(masks: Float[Tensor, "B N H W"]) -> dict[str, Tensor]:
    """What each mask hides on average, and how soft the masks are (0 binary, 1 undecided)."""
    with torch.no_grad():
        sizes = masks.mean((0, 2, 3))
        soft = 4 * (masks * (1 - masks)).mean()
        varied = masks.var(0).mean() / masks.var((0, 2, 3)).mean().clamp(min=1e-12)
    logs = {f"masker/size/{k}": s for k, s in enumerate(sizes.unbind())}
    return logs | {"masker/softness": soft, "masker/image_dependence": varied}


@contextmanager
def trainable(module: nn.Module) -> Iterator[None]:
    """A graph is recorded for these parameters even in a round in which they are frozen."""
    before = [(p, p.requires_grad) for p in module.parameters()]
    try:
        for p, _ in before:
            p.requires_grad_(True)
        yield
    finally:
        for p, old in before:
            p.requires_grad_(old)


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return -grad


def reversed_gradient(x: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """The same values; what flows back through them changes its sign."""
    return _Reverse.apply(x)  # type: ignore[no-any-return]  # upstream
