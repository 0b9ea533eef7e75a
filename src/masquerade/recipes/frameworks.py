"""What the runs behind MixMask's tables share: four frameworks on three sets of images.

The paper names rates and sizes only. The rest is that of the code it evidently started from: MoCo
from Un-Mix (https://github.com/szq0214/Un-Mix) and, on ImageNet, MoCo v2 itself; SimCLR and BYOL
from W-MSE (https://github.com/htdt/self-supervised); SimSiam from
https://github.com/PatrickHua/SimSiam. papers/mixmask.md, section 6.

Note:
    The paper's table of settings has a weight decay of 5e-4 for SimCLR and BYOL and embeddings of
    length 128 for SimSiam; the code has 1e-6 and 2048, and so have these runs. W-MSE's code
    jitters colours before it crops; here a view is cropped first. MoCo on ImageNet splits batch
    norm in as many groups as the code has GPUs, 8, on one device.
"""

from typing import Literal

from masquerade.data.augment.policy import Policy
from masquerade.data.sources import cifar100, imagenet, tiny_imagenet
from masquerade.data.sources.base import SourceConfig
from masquerade.engine.optimizers import adam, sgd
from masquerade.engine.schedule import Schedule
from masquerade.jobs.settings import Optimizers, Pretrain, Statistics
from masquerade.maskers import mixmask, unmix
from masquerade.maskers.base import MaskerConfig
from masquerade.networks import backbone
from masquerade.networks.heads import PredictorConfig, ProjectorConfig
from masquerade.objectives import byol, moco, simclr, simsiam
from masquerade.objectives.base import ObjectiveConfig
from masquerade.recipes import objectives, small
from masquerade.recipes.base import Scale

Images = Literal["cifar100", "tiny_imagenet", "imagenet"]
Framework = Literal["moco", "simclr", "byol", "simsiam"]
Method = Literal["vanilla", "unmix", "mixmask", "star", "star_same"]

SOURCES: dict[Images, SourceConfig] = {
    "cifar100": cifar100.Config(),
    "tiny_imagenet": tiny_imagenet.Config(),
    "imagenet": imagenet.Config(),
}
TRAINED: dict[Images, tuple[Framework, ...]] = {
    "cifar100": ("moco", "simsiam", "byol", "simclr"),
    "tiny_imagenet": ("moco", "byol", "simclr"),
    "imagenet": ("moco",),
}
GRIDS: dict[Images, mixmask.Config] = {
    "cifar100": mixmask.Config(grid=2, pattern="discrete"),
    "tiny_imagenet": mixmask.Config(grid=4),
    "imagenet": mixmask.Config(grid=8),
}
SMALL: dict[Framework, ObjectiveConfig] = {
    "moco": small.MOCO,
    "simclr": small.SIMCLR,
    "byol": small.BYOL,
    "simsiam": small.SIMSIAM.replace(terms=("masked_query", "masked_key"), masked_views="one"),
}
WMSE = Statistics(mean=(0.5071, 0.4867, 0.4408), std=(0.2675, 0.2565, 0.2761))
IMAGENET = Statistics(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
RESNET = backbone.Config(name="resnet18", stem="small", options={"zero_init_last": False})
VIEWS = Policy(  # SimSiam's; the others differ in one thing or two
    crop_scale=(0.2, 1.0), brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, blur=0.0
)
POOLED = RESNET.replace(stem="pooled")  # at 64 pixels
PROBE = sgd.Config(lr=0.1)


def filled(images: Images, framework: Framework, method: Method, scale: Scale) -> Pretrain:
    """One framework with one of the methods that the paper compares.

    Args:
        images: Of the `paper` scale; the smaller ones take toybox, with the masks for these.
        framework: The objective, and with it rates, heads and views.
        method: No masks, Un-Mix, MixMask, or both (MixMask*) with partners drawn each step
            (`star`) or the same reversed ones for both (`star_same`).
        scale: The settings of the paper, or minutes, or seconds.

    Raises:
        ValueError: The paper has not trained this framework on these images.
    """
    if framework not in TRAINED[images]:
        known = ", ".join(TRAINED[images])
        raise ValueError(f"MixMask's paper has no {framework} on {images}; it has: {known}")
    title = f"{images}_{framework}" + ("" if method == "vanilla" else f"_{method}")
    masks = maskers(images, method)
    if scale != "paper":
        return small.small(
            title, scale, backbone=small.NARROW, objective=SMALL[framework], maskers=masks
        )
    return published(images, framework).replace(title=title, maskers=masks)


def published(images: Images, framework: Framework) -> Pretrain:
    """A framework's baseline as it was trained for the paper."""
    if images == "imagenet":
        return moco_v2()
    if framework == "simsiam":
        return hua_simsiam()
    return {"moco": unmix_moco, "simclr": wmse_simclr, "byol": wmse_byol}[framework](images)


def maskers(images: Images, method: Method) -> tuple[MaskerConfig, ...]:
    """The masks of a method; none for the baseline."""
    own = GRIDS[images]
    # Un-Mix alone mixes whole images on small ones only; beside MixMask on ImageNet, too.
    alone = unmix.Config(global_ratio=0.0 if images == "imagenet" else 0.5)
    found: dict[Method, tuple[MaskerConfig, ...]] = {
        "vanilla": (),
        "unmix": (alone,),
        "mixmask": (own,),
        "star": (unmix.Config(), own.replace(partners="random")),
        "star_same": (unmix.Config(), own),
    }
    return found[method]


def unmix_moco(images: Images) -> Pretrain:
    """MoCo as in Un-Mix's code; nobody says what it is on Tiny-ImageNet."""
    plain = objectives.moco("paper").replace(backbone=RESNET)
    if images == "cifar100":
        return plain
    return plain.replace(data=SOURCES[images], size=64, normalise="published", backbone=POOLED)


def wmse_simclr(images: Images) -> Pretrain:
    """SimCLR as in W-MSE's code: its head sees both views at once, batch norm comes last."""
    head = ProjectorConfig(hidden=1024, out=length(images), norm="batch", last="affine", bias=True)
    return wmse(images, simclr.Config(temperature=0.5, projector=head, joint=True))


def wmse_byol(images: Images) -> Pretrain:
    """BYOL as in W-MSE's code: the momentum rises by epoch."""
    head = ProjectorConfig(hidden=1024, out=length(images), norm="hidden", bias=True)
    says = PredictorConfig(hidden=1024)
    return wmse(images, byol.Config(projector=head, predictor=says, schedule="epoch"))


def length(images: Images) -> int:
    """Of the embeddings in W-MSE's code."""
    return 64 if images == "cifar100" else 128


def wmse(images: Images, objective: ObjectiveConfig) -> Pretrain:
    """What SimCLR and BYOL share in W-MSE's code."""
    tiny = images == "tiny_imagenet"
    falls = Schedule(
        shape="drops",
        drops=(950, 975),
        factor=0.2,
        warmup=500,
        warmup_unit="step",
        start=0.0,
        per="step",
    )
    encoder = adam.Config(lr=2e-3 if tiny else 3e-3, decay=1e-6, decay_all=True, schedule=falls)
    return Pretrain(
        data=SOURCES[images],
        size=64 if tiny else 32,
        normalise="published" if tiny else WMSE,
        backbone=POOLED if tiny else RESNET,
        objective=objective,
        augment=VIEWS.replace(grey=0.1, interpolation="bicubic"),
        optimizers=Optimizers(encoder=encoder, probe=PROBE),
        epochs=1000,
        batch=512,
    )


def hua_simsiam() -> Pretrain:
    """SimSiam on CIFAR-100 as in PatrickHua's code."""
    slope = Schedule(warmup=10, start=0.0, per="step", from_start=True)
    return Pretrain(
        data=SOURCES["cifar100"],
        size=32,
        normalise=IMAGENET,
        backbone=RESNET,
        objective=simsiam.Config(
            projector=ProjectorConfig(
                hidden=2048, out=2048, layers=2, norm="batch", last="affine", bias=True
            ),
            predictor=PredictorConfig(hidden=512),
            terms=("masked_query", "masked_key"),
            masked_views="one",
        ),
        augment=VIEWS,
        optimizers=Optimizers(
            encoder=sgd.Config(lr=0.06, decay=5e-4, decay_all=True, schedule=slope), probe=PROBE
        ),
        epochs=1000,
        batch=512,
    )


def moco_v2() -> Pretrain:
    """MoCo v2 on ImageNet."""
    slope = Schedule(warmup=0, start=0.0)
    return Pretrain(
        data=SOURCES["imagenet"],
        size=224,
        normalise=IMAGENET,
        backbone=RESNET.replace(name="resnet50", stem="imagenet"),
        objective=moco.Config(groups=8),
        augment=VIEWS.replace(blur=0.5),
        optimizers=Optimizers(
            encoder=sgd.Config(lr=0.03, decay=1e-4, decay_all=True, schedule=slope), probe=PROBE
        ),
        epochs=200,
        batch=256,
    )
