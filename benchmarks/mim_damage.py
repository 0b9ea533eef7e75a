"""How much an unseen attack damages the reconstruction, at the size of papers/aemim.md, section 8.

A ViT of 4 blocks learns 300 steps of 64 images out of 2,048 drawn ones, as MAE, with twins that
have random signs added, and as AEMIM. Then ten steps of the attack on features, which no arm has
seen, change the visible patches of images it was not trained on: how much worse does each predict
the hidden ones? Part of mim.py; a test asks the same of each seed.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.engine.task import Carry, Progress
from masquerade.networks import backbone
from masquerade.pretext import aemim, mae
from masquerade.pretext.aemim import Masked
from masquerade.pretext.feature_attack import FeatureAttack, apart, attack, still, tokens
from masquerade.pretext.mim import MaskedModel, Reconstruct

EPSILON = 8 / 255  # at the paper's 2/255 300 steps show nothing
IMAGES, BATCH, STEPS, SHOWN = 2048, 64, 300, 256
VIT = backbone.Config(
    name="vit_tiny_patch16_224",
    options={"depth": 4, "embed_dim": 64, "num_heads": 4, "patch_size": 4},
)
MAE = mae.Config(decoder=mae.Decoder(width=48, depth=1, heads=4))
ONE_STEP = FeatureAttack(epsilon=EPSILON, steps=1)
ARMS: dict[str, aemim.Config | None] = {
    "MAE": None,
    "MAE + sign noise": aemim.Config(base=MAE, attack=ONE_STEP.replace(by="noise")),
    "AEMIM": aemim.Config(base=MAE, attack=ONE_STEP),
}
UNSEEN = FeatureAttack(epsilon=EPSILON, steps=10, stride=2.5)
NOW = Progress(0, STEPS, STEPS)


class Damage(NamedTuple):
    """What an attack does to a network.

    Attributes:
        loss: Of predictions from images as they are.
        rise: Of that loss under the attack.
        distance: How far it moves a token, on average.
    """

    loss: float
    rise: float
    distance: float


def drawn(count: int, seed: Seed) -> Float[Tensor, "B 3 32 32"]:
    """Images in [0, 1] of one of 8 classes: a colour gradient, two ellipses of a class's hue."""
    g = seed.generator()
    line = torch.linspace(-1, 1, 32)
    y, x = torch.meshgrid(line, line, indexing="ij")
    slope, shift = torch.rand(count, 3, 2, generator=g) - 0.5, torch.rand(count, 3, generator=g)
    images = 0.5 * shift[:, :, None, None] + 0.25
    images = images + 0.3 * (slope[:, :, :1, None] * x + slope[:, :, 1:, None] * y)
    hue = torch.rand(8, 3, generator=Seed(99).generator())[torch.arange(count) % 8]
    for _ in range(2):
        place = 1.2 * torch.rand(count, 2, 1, 1, generator=g) - 0.6
        axes = 0.2 + 0.4 * torch.rand(count, 2, 1, 1, generator=g)
        inside = ((x - place[:, 0]) / axes[:, 0]) ** 2 + ((y - place[:, 1]) / axes[:, 1]) ** 2 < 1
        colour = hue + 0.3 * (torch.rand(count, 3, generator=g) - 0.5)
        images = torch.where(inside[:, None], colour[:, :, None, None], images)
    return images.clamp(0, 1)


def trained(arm: str, number: int, steps: int = STEPS) -> MaskedModel:
    """The network of an arm after so many steps; equal seeds see equal images in equal order."""
    images = drawn(IMAGES, Seed(number).fold("images"))
    mean = tuple(images.mean((0, 2, 3)).tolist())
    std = tuple(images.std((0, 2, 3)).tolist())
    torch.manual_seed(number)
    model = MAE.model(VIT.build(32, 3, mean, std))
    config = ARMS[arm]
    task = aemim.Aemim(config, model, 0) if config else Reconstruct(model, 0)
    optimizer = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], 1e-3)
    for step in range(steps):
        seed = Seed(number).fold("step", step)
        rows = torch.randint(IMAGES, (BATCH,), generator=seed.generator())
        batch = Views((model.standardised(images[rows]),), None)
        terms = task(batch, ("encoder",), seed, NOW, Carry())
        assert isinstance(terms.loss, Tensor)
        optimizer.zero_grad()
        terms.loss.backward()
        optimizer.step()
    return model


@torch.no_grad()
def damage(model: MaskedModel, number: int) -> Damage:
    """What the unseen attack does to the clean path, on images that were not trained on."""
    images = drawn(SHOWN, Seed(number).fold("test"))
    shown = Masked(model.standardised(images), model.hide(SHOWN, Seed(0)))

    def encode(pixels: Tensor) -> Tensor:
        return model.encode(model.standardised(pixels), shown.hidden, SHOWN)

    def loss(pixels: Tensor) -> float:
        predicted = model.decode(encode(pixels), shown.hidden, SHOWN)
        return float(model.loss(predicted, *shown))

    visible = 1 - model.pixels(shown.hidden)
    start = EPSILON * (2 * torch.rand(images.shape, generator=Seed(1).generator()) - 1) * visible
    clean, target = loss(images), encode(images)
    with still(model):
        moved = attack(UNSEEN, encode, images, target, start).images
    far = apart(encode(moved), target, UNSEEN.distance) / tokens(target)
    return Damage(clean, loss(moved) - clean, float(far))
