"""What AEMIM is for, at the size of papers/aemim.md, section 8: a minute of one core an arm."""

import pytest
import torch
from tests.pretext.test_mae import NOW

from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.engine.task import Carry
from masquerade.networks import backbone
from masquerade.pretext import aemim, mae
from masquerade.pretext.aemim import Masked
from masquerade.pretext.feature_attack import FeatureAttack as Attack
from masquerade.pretext.feature_attack import attack, still
from masquerade.pretext.mim import Reconstruct

VIT = backbone.Config(
    name="vit_tiny_patch16_224",
    options={"depth": 4, "embed_dim": 64, "num_heads": 4, "patch_size": 4},
)
MAE = mae.Config(decoder=mae.Decoder(width=48, depth=1, heads=4))
EPSILON = 8 / 255
ARMS = {
    "mae": None,
    "noise": aemim.Config(base=MAE, attack=Attack(epsilon=EPSILON, steps=1, by="noise")),
    "aemim": aemim.Config(base=MAE, attack=Attack(epsilon=EPSILON, steps=1)),
}


def drawn(count, seed):
    """Images in [0, 1] of one of 8 classes: a colour gradient and two ellipses of a class's hue."""
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


def trained(arm, number, steps=300):
    """A network after so many steps on 2,048 images."""
    images = drawn(2048, Seed(number).fold("images"))
    mean = tuple(images.mean((0, 2, 3)).tolist())
    std = tuple(images.std((0, 2, 3)).tolist())
    torch.manual_seed(number)
    model = MAE.model(VIT.build(32, 3, mean, std))
    config = ARMS[arm]
    task = aemim.Aemim(config, model, 0) if config else Reconstruct(model, 0)
    optimizer = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], 1e-3)
    shift, scale = model.backbone.mean, model.backbone.std
    for step in range(steps):
        seed = Seed(number).fold("step", step)
        rows = torch.randint(2048, (64,), generator=seed.generator())
        batch = Views(((images[rows] - shift) / scale,), None)
        terms = task(batch, ("encoder",), seed, NOW, Carry())
        assert isinstance(terms.loss, torch.Tensor)
        optimizer.zero_grad()
        terms.loss.backward()
        optimizer.step()
    return model


def damage(model, number):
    """How much an unseen attack of ten steps raises the reconstruction loss of the clean path."""
    images = drawn(256, Seed(number).fold("test"))
    shift, scale = model.backbone.mean, model.backbone.std
    shown = Masked((images - shift) / scale, model.hide(256, Seed(0)))

    def encode(pixels):
        return model.encode((pixels - shift) / scale, shown.hidden, 256)

    def loss(pixels):
        predicted = model.decode(encode(pixels), shown.hidden, 256)
        return float(model.loss(predicted, *shown))

    visible = 1 - model.pixels(shown.hidden)
    start = EPSILON * (2 * torch.rand(images.shape, generator=Seed(1).generator()) - 1) * visible
    ten = Attack(epsilon=EPSILON, steps=10, stride=2.5)
    with still(model), torch.no_grad():
        found = attack(ten, encode, images, encode(images), start)
        return loss(found.images) - loss(images)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 2])
def test_aemim_cuts_the_damage_of_an_unseen_attack_and_noise_does_not(number):
    found = {arm: damage(trained(arm, number), number) for arm in ARMS}
    assert found["mae"] > 0
    assert found["aemim"] < 0.85 * found["mae"], found
    assert found["noise"] > 0.85 * found["mae"], found
