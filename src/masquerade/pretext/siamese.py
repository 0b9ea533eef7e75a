"""Siamese learning: any objective, any list of maskers, and who plays in which round.

`step` says how encoder and masker alternate (papers/adversarial_masking.md, sections 4 and 14).
`official` does what the published code does: every mask's loss encodes everything anew, in the
masker's round too, and the mask network runs in both rounds; with one mask per image, SimCLR's
runs backward in both, too, for nothing in the encoder's. `shared` gives the same gradients with
each branch encoded once per round, the mask network run once per step, and nothing encoded in the
masker's round that no mask can change. `reversal` gives both gradients in one backward pass, the
masker's reversed at the mask, so that it sees the encoder before, not after, this step's update.
"""

from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from masquerade.core.seed import Seed
from masquerade.core.types import Views, precise
from masquerade.engine import gather
from masquerade.engine.task import Carry, Group, Progress, Terms
from masquerade.maskers.base import Masker
from masquerade.networks.backbone import Backbone
from masquerade.networks.norms import statistics
from masquerade.objectives.base import Branch, Objective, Pair
from masquerade.pretext import accounts, fitness
from masquerade.pretext.accounts import Place
from masquerade.pretext.base import Pretext, probed
from masquerade.pretext.branches import Branches
from masquerade.pretext.comparisons import Passing, Shown, groups, occluded
from masquerade.pretext.game import Game, Step, reversed_gradient, trainable, weighed
from masquerade.pretext.positives import Copies, positives, weight_of

Combine = Literal["mean", "sum"]
BnStats = Literal["reference", "clean_only"]
ALTERNATING = Game()


class Siamese(Pretext):
    """Two views, some of them masked, and an objective that compares them.

    Args:
        objective: Encodes and compares; holds the backbone.
        maskers: What hides; none is the baseline. Those with parameters are the adversary.
        step: How encoder and masker alternate.
        combine: Whether a masker's copies of an image count as much as one together (`mean`: each
            in proportion to its weight), or as much as they weigh (`sum`). Several maskers are
            summed, and the clean pair comes on top where one of them wants it.
        classes: Of an online linear probe on the clean features, which costs no pass; 0 = none.
        game: When the adversary plays, and how strong its wish is.
        bn_stats: Whether passes of masked copies update batch norm's running statistics
            (`reference`, as published: what is exported has seen more masked images than clean
            ones) or leave them to clean images.

    Raises:
        ValueError: No pair of the objective's plan gives the adversary a gradient; masked copies
            are compared that have partners both; no clean image would update the statistics.

    Attributes:
        gain: A running mean of what masks cost, |loss with masks - loss without|.
        gains: How many values are in it.
    """

    gain: Tensor
    gains: Tensor

    def __init__(
        self,
        objective: Objective,
        maskers: list[Masker],
        step: Step = "reversal",
        combine: Combine = "mean",
        classes: int = 0,
        game: Game = ALTERNATING,
        bn_stats: BnStats = "reference",
    ) -> None:
        super().__init__()
        self.objective = objective
        self.maskers = nn.ModuleList(maskers)
        self.step = step
        self.combine = combine
        self.game = game
        self.bn_stats = bn_stats
        self.probe = nn.Linear(objective.backbone.dim, classes) if classes else None
        self.adversary = any(True for _ in self.maskers.parameters())
        self.undetached = objective.undetached and all(m.single for m in maskers)
        self.clean = not maskers or any(m.wants_clean for m in maskers)
        if self.adversary:
            self.register_buffer("gain", torch.ones(()))
            self.register_buffer("gains", torch.zeros((), dtype=torch.int64))
        fitness.check(objective, maskers, self.adversary, self.clean or bn_stats == "reference")

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
        if not self._plays(progress):
            return (first,)
        if self.step == "reversal":
            return ((*first, "masker"),)
        return (first, ("masker",))

    def notable(self, progress: Progress) -> bool:
        return self.adversary and weighed(progress.step)

    def before_step(self, progress: Progress) -> None:
        self.objective.before_step(progress)

    def after_step(self, progress: Progress) -> None:
        self.objective.after_step(progress)
        if self._plays(progress):
            for masker in self.masker_list():
                masker.after_step(progress)

    def forward(
        self, batch: Views, players: tuple[str, ...], seed: Seed, progress: Progress, carry: Carry
    ) -> Terms:
        attacks, alone = "masker" in players, "encoder" not in players
        wasted = self.undetached and self.step == "official" and not attacks
        learns = self._plays(progress) and (attacks or wasted or self.step != "official")
        hidden = self._hidden(batch.views, seed, learns, carry)
        where = seed.fold("round", "masker" if alone else "encoder")
        scaled = self.adversary and self.game.normalise_gain
        strength = 1 / max(float(self.gain), 1e-3) if scaled else 1.0
        with statistics(self.objective, update=not alone or self.step == "official"):
            passing = self._passing(attacks or wasted, alone or wasted, strength)
            shown = occluded(
                self.masker_list(), batch.views, hidden, passing, where, self.combine == "mean"
            )
            loss, each = self._compare(batch.views, shown, alone, where, carry)
            if "probe" in players and self.step == "official" and self.adversary:
                self._encode_for_the_probe(batch.views, where, carry)
        logs = {"encoder/loss": loss.detach()}
        total = -strength * loss if alone else loss
        if attacks:
            price, logs_of_masks = self._price(hidden, batch.views, progress, carry)
            total = total + price
            gained = (price - strength * loss).detach()
            logs |= {"masker/loss": gained, **logs_of_masks}
        branches = carry.values.pop("branches", None)
        if branches and self.notable(progress):
            learned = [each[k] for k, own in enumerate(shown.learned) if own]
            logs |= self._weigh(learned, branches)
        if "probe" in players and self.probe:
            features = carry.values["clean"]
            labels = None if batch.labels is None else batch.labels.repeat(len(features))
            probe, logs_of_probe = probed(self.probe, torch.cat(features), labels)
            total = total + probe
            logs |= logs_of_probe
        if alone:
            logs = {n: v for n, v in logs.items() if n.startswith("masker")}
        return Terms(total, logs)

    def masker_list(self) -> list[Masker]:
        """The maskers, in order."""
        return [m for m in self.maskers if isinstance(m, Masker)]

    def _plays(self, progress: Progress) -> bool:
        return self.adversary and self.game.plays(progress)

    def _hidden(
        self, views: tuple[Tensor, ...], seed: Seed, learns: bool, carry: Carry
    ) -> dict[Place, Float[Tensor, "B N H W"]]:
        """The masks of each masker and view; made once per step, by `official` once per round."""
        if "hidden" in carry.values and self.step != "official":
            found: dict[Place, Tensor] = carry.values["hidden"]
            return found
        pairs = self.objective.plan(masked=True)
        masked = sorted({b.view for p in pairs for b in p[:2] if b.copy is not None})
        hidden: dict[Place, Tensor] = {}
        carry.clock.to("masker")
        with trainable(self.maskers) if learns else torch.no_grad():
            for place, masker in enumerate(self.masker_list()):
                for view in masked:
                    where = seed.fold("masker", place, "view", view)
                    hidden[place, view] = masker.propose(views[view], where)
        carry.clock.to("encoder")
        learned = {key: m for key, m in hidden.items() if m.requires_grad}
        if learns and not learned:
            names = ", ".join(type(m).__name__ for m in self.masker_list())
            raise ValueError(f"{names}: parameters, but no gradient from the masks to them")
        for masks in learned.values():  # what runs backward after the masks is the mask network
            masks.register_hook(lambda grad: carry.clock.to("masker"))
        carry.values |= {"hidden": hidden, "learned": learned}
        return hidden

    def _passing(self, attacks: bool, alone: bool, strength: float) -> Passing:
        """How gradients go back through masks: not at all, as they are, or reversed."""
        if not attacks:
            return Tensor.detach
        if alone:
            return lambda masks: masks
        return partial(reversed_gradient, strength=strength)

    def _compare(
        self,
        views: tuple[Tensor, ...],
        shown: Shown,
        alone: bool,
        seed: Seed,
        carry: Carry,
    ) -> tuple[Float[Tensor, ""], dict[int, Tensor]]:
        """The loss over all pairs, and of each masked copy the sum of its own, detached."""
        total = torch.zeros((), device=views[0].device)
        each: dict[int, Tensor] = {}
        official = self.step == "official" and self.adversary
        found = groups(self.objective, shown, self.clean, alone, official)
        for number, group in enumerate(found):
            pairs = [w.pair for w in group]
            keys = {} if self.step == "official" else carry.values.setdefault("keys", {})
            still = self.bn_stats == "clean_only"
            branches = Branches(
                self.objective, views, shown.copies, pairs, alone, seed, keys, still
            )
            if self.step == "official":
                branches.in_order(pairs)
            met: dict[tuple[Branch, Branch], Tensor] = {}
            for pair, k in group:
                if pair[:2] not in met:
                    query, key = branches.pair(pair)
                    met[pair[:2]] = self._losses(pair, query, key, shown.copies)
                    seen = precise(key.detach()), precise(query.detach())
                    carry.values.setdefault("embeddings", seen)
                losses = met[pair[:2]]
                if k is None:
                    total = total + pair.weight * losses.mean()
                    continue
                weight = weight_of(pair, k, shown.copies)
                loss = pair.weight * (weight.to(losses) * losses).mean()
                total = total + loss
                each[k] = each.get(k, 0) + loss.detach() / weight.to(losses).mean()
            if not alone and number == 0:
                carry.values["branches"] = branches
                carry.values["clean"] = branches.clean()
                if self.objective.follows:
                    self.objective.remember(branches.keys_to_remember(pairs))
        return total, each

    def _encode_for_the_probe(self, views: tuple[Tensor, ...], seed: Seed, carry: Carry) -> None:
        """As the official code does: every clean view once more, by the copy that follows, too."""
        with torch.no_grad():
            carry.values["clean"] = [self.objective.query_features(view) for view in views]
            if self.objective.follows:
                for number, view in enumerate(views):
                    self.objective.key_features(view, seed.fold("probe", number))

    @torch.no_grad()
    def _weigh(self, losses: list[Tensor], branches: Branches) -> dict[str, Tensor]:
        """What each learned copy costs more than clean pairs; moves the running mean of it."""
        clean = torch.zeros((), device=self.gain.device)
        with statistics(self.objective, update=False):
            for pair in self.objective.plan(masked=False):
                each = self._losses(pair, *branches.pair(pair), {})
                clean = clean + pair.weight * each.mean()
        masked, plain = (
            sum(p.weight for p in self.objective.plan(masked=m)) for m in (True, False)
        )
        costs = [loss - clean * (masked / plain) for loss in losses]
        seen = gather.averaged({"gain": torch.stack(costs).abs().mean()})["gain"]
        self.gains += 1
        self.gain.lerp_(torch.full_like(self.gain, seen), 1 / min(int(self.gains), 10))
        logs = {f"masker/loss/{k}": loss for k, loss in enumerate(losses)}
        return logs | {f"masker/gain/{k}": cost for k, cost in enumerate(costs)}

    def _losses(
        self, pair: Pair, query: Tensor, key: Tensor, copies: Copies
    ) -> Float[Tensor, " B"]:
        """The loss of each query of a pair; a partner's key is the second positive."""
        return self.objective.compare(query, key, *positives(pair, copies, query))

    def _price(
        self,
        hidden: dict[Place, Tensor],
        views: tuple[Tensor, ...],
        progress: Progress,
        carry: Carry,
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """What the maskers pay, and what is logged of it and of their masks."""
        maskers, per_mask = self.masker_list(), self.combine == "sum"
        price, parts = accounts.priced(maskers, hidden, views, progress, per_mask)
        looks = accounts.described(maskers, carry.values["learned"], self.notable(progress))
        return price, {"masker/price": price.detach(), **parts, **looks}
