"""AEMIM: reconstruct hidden patches of each image and of its adversarial twin.

Xiang et al., "AEMIM: Adversarial Examples Meet Masked Image Modeling", 2024.
https://arxiv.org/abs/2407.11537 ; papers/aemim.md. The attack moves what the encoder says of the
visible patches; twins have norms and a class token of their own, which an export leaves out.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.core.types import Views, precise
from masquerade.engine import gather
from masquerade.engine.task import Carry, Progress, Terms
from masquerade.networks.adapters import Adapters, distance
from masquerade.networks.backbone import Backbone
from masquerade.networks.vit import random_layers
from masquerade.pretext import mae
from masquerade.pretext.base import PretextConfig
from masquerade.pretext.feature_attack import (
    FeatureAttack,
    apart,
    attack,
    bounds,
    still,
    tokens,
)
from masquerade.pretext.game import weighed
from masquerade.pretext.mim import MaskedModel, MimConfig, Reconstruct

Passes = Literal["reused", "fused", "lean"]


class Masked(NamedTuple):
    """Standardised images and which of their patches are hidden (1)."""

    images: Float[Tensor, "B C H W"]
    hidden: Float[Tensor, "B L"]

    def first(self, count: int) -> "Masked":
        """The first so many images."""
        return Masked(self.images[:count], self.hidden[:count])

    def joined(self, other: "Masked") -> "Masked":
        """These and others in one batch."""
        return Masked(
            torch.cat([self.images, other.images]), torch.cat([self.hidden, other.hidden])
        )


class Found(NamedTuple):
    """Twins, and how far random starts moved their tokens; None where nothing is attacked."""

    shown: Masked
    before: Float[Tensor, ""] | None


class Aemim(Reconstruct):
    """Two tasks of one network: clean images, and twins that an attack on its features made.

    Args:
        config: The attack, the adapters, and how the two tasks are weighed and computed.
        model: A masked image model without adapters; it gets them here.
        classes: Of an online linear probe on features of clean images; 0 = none.
    """

    def __init__(self, config: "Config", model: MaskedModel, classes: int) -> None:
        super().__init__(model, classes)
        dropping = random_layers(model.backbone.body)
        if dropping:
            raise ValueError(
                f"{dropping[0]} drops paths by chance, which the attack would take for a distance "
                "of features. Set backbone.options.drop_path_rate=0"
            )
        self.config = config
        model.adapt(config.adapters, config.adapt_decoder)

    def notable(self, progress: Progress) -> bool:
        return weighed(progress.step)

    def forward(
        self, batch: Views, players: tuple[str, ...], seed: Seed, progress: Progress, carry: Carry
    ) -> Terms:
        images = precise(batch.views[0])
        clean = Masked(images, self.model.hide(len(images), seed.fold("mask")).to(images.device))
        twins = clean.first(max(1, round(len(images) * self.config.twins)))
        if self.config.passes == "lean":
            return self._lean(clean, twins, batch, seed, progress, carry)
        n = len(clean.images)
        if self.config.passes == "fused":
            with torch.no_grad():
                target = self._encode(twins, len(twins.images))
            found = self._attack(twins, target, seed)
            both = self._encode(clean.joined(found.shown), n)
        else:
            latent = self._encode(clean, n)
            target = latent[: len(twins.images)].detach()
            found = self._attack(twins, target, seed)
            both = torch.cat([latent, self._encode(found.shown, 0)])
        hidden = torch.cat([clean.hidden, twins.hidden])
        predicted = self.model.decode(both, hidden, n)
        ours = self.model.loss(predicted[:n], *clean)
        theirs = self._twin_loss(predicted[n:], twins, found.shown)
        loss = (1 - self.config.weight) * ours + self.config.weight * theirs
        probe, logs = self.told(both[:n], batch, carry)
        logs |= {"encoder/loss": loss.detach(), "clean/loss": ours.detach()}
        logs |= self._described(theirs, twins, found, both[n:], target)
        if self.notable(progress):
            logs["attack/noise"] = self._beside(twins, target, seed)
        return Terms(loss + probe, logs)

    def _lean(
        self,
        clean: Masked,
        twins: Masked,
        batch: Views,
        seed: Seed,
        progress: Progress,
        carry: Carry,
    ) -> Terms:
        """One task after the other: what clean images keep is free before twins are made."""
        n, weight = len(clean.images), self.config.weight
        latent = self._encode(clean, n)
        ours = self.model.loss(self.model.decode(latent, clean.hidden, n), *clean)
        probe, logs = self.told(latent, batch, carry)
        target = latent[: len(twins.images)].detach()
        first = (1 - weight) * ours + probe
        logs |= {"clean/loss": ours.detach(), "encoder/loss": (1 - weight) * ours.detach()}
        logs |= {name: torch.zeros_like(logs["clean/loss"]) for name in self._names()}
        if self.notable(progress):
            logs["attack/noise"] = self._beside(twins, target, seed)
        kind = latent.device.type
        precision = torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)

        def parts(first: Tensor) -> Iterator[Tensor]:
            yield first
            # The loop left its precision when forward returned.
            with torch.autocast(kind, dtype=precision[0], enabled=precision[1]):
                found = self._attack(twins, target, seed)
                other = self._encode(found.shown, 0)
                predicted = self.model.decode(other, found.shown.hidden, 0)
                theirs = self._twin_loss(predicted, twins, found.shown)
            # The loop has these logs already, and writes them after the last part.
            for name, value in self._described(theirs, twins, found, other, target).items():
                logs[name].copy_(value)
            logs["encoder/loss"].add_(weight * theirs.detach())
            yield weight * theirs

        return Terms(parts(first), logs)

    @torch.no_grad()
    def pictures(self, images: Float[Tensor, "B C H W"], seed: Seed) -> dict[str, Tensor]:
        found = super().pictures(images, seed)
        model, n = self.model, len(images)
        twins = Masked(images, model.hide(n, seed.fold("mask")).to(images.device))
        attacked = self._attack(twins, self._encode(twins, n), seed).shown
        gaps = model.to_pixels(attacked.images) - model.to_pixels(images)
        predicted = model.decode(self._encode(attacked, 0), attacked.hidden, 0)
        return found | {
            "twin": model.to_pixels(attacked.images),
            "perturbation": 0.5 + gaps / (2 * self.config.attack.epsilon),
            "twin_reconstruction": model.pasted(predicted, *attacked),
        }

    def _encode(self, shown: Masked, clean: int) -> Float[Tensor, "B T E"]:
        return self.model.encode(shown.images, shown.hidden, clean)

    def _twin_loss(self, predicted: Tensor, twins: Masked, attacked: Masked) -> Float[Tensor, ""]:
        wanted = attacked if self.config.target == "adversarial" else twins
        return self.model.loss(predicted, *wanted)

    def _attack(self, twins: Masked, target: Tensor, seed: Seed) -> Found:
        """The twins after the attack; hidden patches as they were."""
        config = self.config.attack
        pixels = self.model.to_pixels(twins.images)
        if config.by == "noise":
            moved = self._noisy(twins, pixels, seed)
            return Found(Masked(self.model.standardised(moved), twins.hidden), None)
        domain = len(pixels) if config.through == "clean" else 0

        def encode(images: Tensor) -> Tensor:
            return self._encode(Masked(self.model.standardised(images), twins.hidden), domain)

        start = self._noise(twins, seed.fold("attack")) * config.epsilon
        with still(self.model):
            result = attack(config, encode, pixels, target, start)
        shown = Masked(self.model.standardised(result.images), twins.hidden)
        return Found(shown, result.distances[0])

    def _names(self) -> list[str]:
        """What `_described` tells."""
        names = ["twin/loss", "twin/distance", "twin/at_bound", "adapters/distance"]
        return names + ["attack/before"] * (self.config.attack.by == "gradient")

    @torch.no_grad()
    def _described(
        self, loss: Tensor, twins: Masked, found: Found, latent: Tensor, target: Tensor
    ) -> dict[str, Tensor]:
        """Numbers of the twins: how far their tokens lie, and how many pixels use the budget up."""
        config = self.config.attack
        visible = 1 - self.model.pixels(twins.hidden)
        moved = (
            self.model.to_pixels(found.shown.images) - self.model.to_pixels(twins.images)
        ).abs()
        spent = (moved > 0.999 * config.epsilon) * visible
        logs = {
            "twin/loss": loss.detach(),
            "twin/distance": apart(latent, target, config.distance) / tokens(target),
            "twin/at_bound": spent.sum() / (visible.sum() * moved.shape[1]),
            "adapters/distance": distance(self.model).to(loss.device),
        }
        if found.before is not None:
            logs["attack/before"] = found.before
        return logs

    @torch.no_grad()
    def _beside(self, twins: Masked, target: Tensor, seed: Seed) -> Float[Tensor, ""]:
        """The distance that random signs reach, which an attack has to beat."""
        moved = self.model.standardised(
            self._noisy(twins, self.model.to_pixels(twins.images), seed)
        )
        latent = self._encode(Masked(moved, twins.hidden), 0)
        return apart(latent, target, self.config.attack.distance) / tokens(target)

    def _noisy(self, twins: Masked, pixels: Tensor, seed: Seed) -> Tensor:
        """Pixels moved by random signs of the whole budget."""
        low, high = bounds(pixels, self.config.attack.epsilon)
        signs = self._noise(twins, seed.fold("noise")).sign()
        return (pixels + self.config.attack.epsilon * signs).clamp(low, high)

    def _noise(self, twins: Masked, seed: Seed) -> Float[Tensor, "B C H W"]:
        """U(-1, 1) for every pixel that may start elsewhere; drawn for all processes."""
        count, *shape = twins.images.shape
        everyone = (count * gather.world(), *shape)
        drawn = gather.own(torch.rand(everyone, generator=seed.generator(), dtype=torch.float32))
        noise = (2 * drawn - 1).to(twins.images)
        if self.config.attack.start == "everywhere":
            return noise
        return noise * (1 - self.model.pixels(twins.hidden)).to(noise)


class Config(PretextConfig):
    """Settings of AEMIM.

    Attributes:
        base: What is trained on images and their twins: `mae` or `simmim`.
        attack: How twins are made.
        adapters: What twins have to themselves in the encoder.
        adapt_decoder: Whether they have norms of their own in the decoder, too.
        weight: Of the twins' loss; the images' own has 1 - weight.
        target: Whether a twin's hidden patches are to become those of the `clean` image or its
            own; with attack.start=visible the two are the same.
        twins: Share of the batch that has a twin.
        passes: `reused`: the attack leaves the features that the clean task has computed, and the
            decoder sees both in one batch. `fused`: encoder and decoder do; one more pass of the
            encoder for the attack's target. `lean`: one task after the other, in the memory of
            one; one process only.
    """

    base: MimConfig = mae.Config()
    attack: FeatureAttack = FeatureAttack()
    adapters: Adapters = Adapters()
    adapt_decoder: bool = False
    weight: float = Field(0.5, ge=0, le=1)
    target: Literal["clean", "adversarial"] = "clean"
    twins: float = Field(1.0, gt=0, le=1)
    passes: Passes = "reused"

    def check(self, devices: int) -> None:
        if self.passes == "lean" and devices > 1:
            raise ValueError(
                f"pretext.passes=lean has two backward passes a step, which {devices} processes "
                "cannot share; use reused"
            )

    def build(self, backbone: Backbone, classes: int) -> Aemim:
        return Aemim(self, self.base.model(backbone), classes)
