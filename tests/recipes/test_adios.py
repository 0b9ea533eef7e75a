"""The released ADIOS scripts against the table of the paper file, typed by somebody else.

papers/adversarial_masking.md, section 9: epochs, batch, rates, decay, N, width, norm, alpha1,
alpha2, colours; rounded to five digits there.
"""

import pytest

from masquerade.data.augment.policy import Policy
from masquerade.engine.optimizers import lars
from masquerade.engine.schedule import Schedule
from masquerade.maskers import adios
from masquerade.objectives import byol, simclr, simsiam
from masquerade.recipes.base import recipe

FULL = (0.8, 0.8, 0.8, 0.2)
LOW = (0.4, 0.4, 0.4, 0.1)
PLAIN = (0.4, 0.4, 0.2, 0.1)
ODD = (0.552, 0.478, 0.578, 0.2)
LARGE = (0.7, 0.6, 0.8, 0.15), (0.5, 0.2, 0.25, 0.05)
# fmt: off
TABLE = {
    "imagenet100s_simclr": (500, 128, 0.11128, 0.014515, 1e-4, 4, 32, "in", 0.92295, 0.71177, FULL),
    "imagenet100s_byol": (500, 128, 0.24140, 0.065993, 1e-5, 6, 16, "gn", 0.40385, 0, PLAIN),
    "imagenet100s_simsiam": (500, 128, 0.84708, 0.080234, 1e-5, 4, 16, "gn", 0.20032, 0.28576, LOW),
    "imagenet100s_vit_simclr": (300, 128, 0.11572, 0.033401, 1e-4, 6, 16, "gn", 0.88907, 0, FULL),
    "imagenet100s_vit_byol": (300, 128, 0.21411, 0.32636, 1e-5, 6, 8, "gn", 0.95180, 0, PLAIN),
    "imagenet100s_vit_simsiam": (300, 128, 0.49688, 0.066560, 1e-5, 4, 16, "gn", 0.72176, 0, LOW),
    "stl10_simclr": (400, 256, 0.13235, 0.019468, 8.505e-5, 6, 128, "gn", 0, 0, FULL),
    "stl10_byol": (400, 128, 0.29203, 0.092814, 9.912e-6, 6, 64, "gn", 1.71931, 0, FULL),
    "stl10_simsiam": (400, 128, 0.44362, 0.038296, 7.228e-6, 6, 32, "gn", 1.0, 0, ODD),
    "stl10_vit_simclr": (200, 128, 0.10252, 0.094106, 1e-4, 4, 32, "gn", 0.39131, 0, FULL),
    "stl10_vit_byol": (200, 64, 0.44397, 0.20464, 1e-5, 6, 32, "gn", 0.82692, 0, FULL),
    "stl10_vit_simsiam": (200, 128, 0.29178, 0.093168, 1e-5, 6, 16, "gn", 0.85819, 0, LOW),
    "imagenet100_simclr_s": (400, 128, 0.18956, 0.49876, 1e-4, 4, 8, "gn", 0.75, 0, LARGE[0]),
    "imagenet100_byol_s": (400, 128, 0.80879, 0.12952, 1e-5, 6, 32, "gn", 1.0, 0, LARGE[1]),
    "imagenet100_simsiam_s": (400, 128, 0.54246, 0.48464, 1e-5, 4, 32, "gn", 0.5, 0, LOW),
}
# fmt: on
TERMS = {
    "imagenet100s_simsiam": {"masked_both", "clean"},
    "imagenet100s_vit_simsiam": {"masked_both"},
    "stl10_simsiam": {"clean"},
    "stl10_vit_simsiam": {"masked_key"},
    "imagenet100_simsiam_s": {"masked_both", "clean", "masked_key"},
}


@pytest.mark.parametrize("name", TABLE)
def test_a_script_has_the_numbers_of_the_table(name: str) -> None:
    epochs, batch, lr, mask_lr, decay, masks, width, norm, sparsity, entropy, colours = TABLE[name]
    config = recipe(f"adios.{name}", "paper")
    (masker,) = config.maskers
    assert isinstance(masker, adios.Config)
    encoder, learned = config.optimizers.encoder, config.optimizers.masker
    views = config.augment
    assert (config.epochs, config.batch) == (epochs, batch)
    assert (masker.masks, masker.width, masker.norm) == (masks, width, norm)
    assert masker.shown == (1 if name.endswith("_s") else 0)
    assert (masker.sparsity, masker.entropy) == pytest.approx((sparsity, entropy), rel=1e-4)
    assert (encoder.lr, learned.lr) == pytest.approx((lr, mask_lr), rel=1e-4)
    assert encoder.decay == learned.decay == pytest.approx(decay, rel=1e-4)
    strengths = (views.brightness, views.contrast, views.saturation, views.hue)
    assert strengths == pytest.approx(colours, rel=2e-3)


@pytest.mark.parametrize("name", TABLE)
def test_what_all_scripts_share_is_section_8(name: str) -> None:
    config = recipe(f"adios.{name}", "paper")
    (masker,) = config.maskers
    assert isinstance(masker, adios.Config)
    players = config.optimizers.by_player()
    for player in players.values():
        assert isinstance(player, lars.Config)
        assert (player.momentum, player.eta, player.clip, player.decay_all) == (
            0.9,
            0.02,
            True,
            False,
        )
        assert player.schedule == Schedule(shape="cosine", warmup=10, start=0.003, per="epoch")
    assert (players["probe"].lr, players["probe"].decay) == (0.1, 0)
    assert (config.step, config.combine) == ("official", "sum")
    assert masker.entropy_reduction == "sum" and masker.normaliser == "softmax"
    views = config.augment.replace(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
    assert views == Policy(interpolation="bicubic", crop_scale=(0.08, 1))
    data, _, _ = name.partition("_")
    assert config.data.kind == data and config.size == (224 if data == "imagenet100" else 96)
    assert not isinstance(config.normalise, str)
    third = 0.261 if data == "stl10" else 0.225
    assert config.normalise.std[0] == (0.247 if data == "stl10" else 0.228)
    assert config.normalise.std[2] == third
    vit = "vit" in name
    assert config.backbone.name == ("vit_tiny_patch16_224" if vit else "resnet18")
    assert config.backbone.stem == "imagenet"


@pytest.mark.parametrize("name", TABLE)
def test_heads_and_terms_are_those_of_the_scripts(name: str) -> None:
    config = recipe(f"adios.{name}", "paper")
    objective = config.objective
    (masker,) = config.maskers
    assert isinstance(masker, adios.Config)
    if isinstance(objective, simclr.Config):
        head = objective.projector
        out = 256 if name == "stl10_simclr" else 128
        assert (objective.temperature, head.hidden, head.out, head.norm) == (0.2, 2048, out, "none")
    elif isinstance(objective, byol.Config):
        head = objective.projector
        assert (head.hidden, head.out, head.norm, head.bias) == (4096, 256, "hidden", True)
        assert (objective.predictor.hidden, objective.predictor.bias) == (8192, True)
        assert (objective.momentum, objective.schedule) == (0.99, "step")
    else:
        assert isinstance(objective, simsiam.Config)
        head = objective.projector
        out = 256 if name == "stl10_simsiam" else 2048
        assert (head.hidden, head.out, head.layers, head.last) == (2048, out, 3, "plain")
        assert (objective.predictor.hidden, objective.predictor.bias) == (512, False)
        assert set(objective.terms) == TERMS[name] | {"masked_query"}
        assert not objective.predictor_scheduled
    levels = {"stl10_simsiam": 5}.get(name, 4) if isinstance(objective, simsiam.Config) else 0
    assert masker.levels == levels
