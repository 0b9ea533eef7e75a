"""MAE, SimMIM and AEMIM: masked image modelling, with and without an adversary on the pixels.

The paper scale is that of the official MAE and SimMIM code; AEMIM leaves it as it is
(https://arxiv.org/abs/2407.11537 ; papers/aemim.md, sections 1 to 3). The tables are in
`mim_tables`.
"""

from typing import Any

from masquerade.data.augment.policy import Policy
from masquerade.data.sources import imagenet
from masquerade.engine.optimizers import adamw
from masquerade.engine.schedule import Schedule
from masquerade.jobs.settings import Optimizers, Pretrain
from masquerade.networks import backbone
from masquerade.objectives import simclr
from masquerade.pretext import aemim as adversarial
from masquerade.pretext import mae as dropping
from masquerade.pretext import simmim as replacing
from masquerade.pretext.base import PretextConfig
from masquerade.pretext.feature_attack import FeatureAttack
from masquerade.recipes import small
from masquerade.recipes.base import Scale

PLAIN = Policy(crop_scale=(0.2, 1.0), jitter=0.0, grey=0.0, blur=0.0)
MAE = dropping.Config(decoder=dropping.Decoder(width=64, depth=2, heads=4))
SIMMIM = replacing.Config(unit=8)
AVERAGED = small.VIT.replace(options={**small.VIT.options, "global_pool": "avg", "fc_norm": False})
# At 32 pixels and a thousand steps 2/255 hardly shows: papers/aemim.md, section 8.
STRONG = FeatureAttack(epsilon=8 / 255, steps=1)


def mae(scale: Scale = "small") -> Pretrain:
    """MAE: ViT-B, 75 % of the patches dropped; at paper scale 800 epochs of ImageNet."""
    if scale == "paper":
        return vit_b("mae", dropping.Config())
    return tiny("mae", scale, MAE)


def simmim(scale: Scale = "small") -> Pretrain:
    """SimMIM: 60 % of the units a mask token; at paper scale Swin-B, 100 epochs of ImageNet."""
    if scale != "paper":
        return tiny("simmim", scale, SIMMIM).replace(backbone=AVERAGED)
    return Pretrain(
        title="simmim",
        pretext=replacing.Config(),
        data=imagenet.Config(),
        size=192,
        normalise="published",
        backbone=backbone.Config(
            name="swin_base_patch4_window7_224",
            options={"window_size": 6, "drop_path_rate": 0.0},
        ),
        augment=PLAIN.replace(crop_scale=(0.67, 1.0), interpolation="bilinear"),
        optimizers=Optimizers(encoder=steps(8e-4, 0.05, 10.0, end=4e-5, start=4e-6, longest=5.0)),
        epochs=100,
        batch=2048,
    )


def aemim(scale: Scale = "small") -> Pretrain:
    """AEMIM on MAE; at paper scale 2/255 in two steps, 800 epochs of ImageNet."""
    if scale == "paper":
        return vit_b("aemim", adversarial.Config())
    return tiny("aemim", scale, adversarial.Config(base=MAE, attack=STRONG))


def aemim_simmim(scale: Scale = "small") -> Pretrain:
    """AEMIM on SimMIM: its settings with adversarial twins; no code of the authors exists."""
    base = simmim(scale)
    if scale == "paper":
        twins = adversarial.Config(base=replacing.Config())
    else:
        twins = adversarial.Config(base=SIMMIM, attack=STRONG)
    return base.replace(title="aemim_simmim", pretext=twins)


def noise_twin(scale: Scale = "small") -> Pretrain:
    """AEMIM with random signs instead of an attack: the control that nobody published."""
    base = aemim(scale)
    noise = STRONG.replace(by="noise") if scale != "paper" else FeatureAttack(by="noise")
    kept = dropping.Config() if scale == "paper" else MAE
    return base.replace(title="noise_twin", pretext=adversarial.Config(base=kept, attack=noise))


def vit_b(title: str, pretext: PretextConfig) -> Pretrain:
    """MAE's ViT-B/16 on ImageNet; rates are those of a batch of 4,096."""
    return Pretrain(
        title=title,
        pretext=pretext,
        data=imagenet.Config(),
        size=224,
        normalise="published",
        backbone=backbone.Config(name="vit_base_patch16_224"),
        augment=PLAIN.replace(interpolation="bicubic"),
        optimizers=Optimizers(encoder=steps(2.4e-3, 0.05, 40.0, betas=(0.9, 0.95))),
        epochs=800,
        batch=4096,
    )


def tiny(title: str, scale: Scale, pretext: PretextConfig) -> Pretrain:
    """A ViT of 4 blocks on toybox: minutes, or seconds for `smoke`."""
    settings = small.small(
        title,
        scale,
        pretext=pretext,
        objective=simclr.Config(),
        backbone=small.VIT,
        augment=PLAIN,
        batch=64,
    )
    return settings.replace(
        optimizers=settings.optimizers.replace(
            encoder=adamw.Config(lr=1e-3, decay=0.05, betas=(0.9, 0.95), schedule=small.SMOOTH)
        )
    )


def steps(lr: float, decay: float, warmup: float, **changes: Any) -> adamw.Config:
    """AdamW whose rate moves every step."""
    schedule = {k: v for k, v in changes.items() if k in ("start", "end")}
    rest = {k: v for k, v in changes.items() if k not in schedule}
    smooth = Schedule(warmup=warmup, per="step", **{"start": 0.0, **schedule})
    return adamw.Config(lr=lr, decay=decay, schedule=smooth, **rest)
