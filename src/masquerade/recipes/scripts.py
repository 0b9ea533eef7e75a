"""What ADIOS's training scripts share: heads, optimizers, views, constants.

https://github.com/YugeTen/adios, read at 21c6f23. What a script leaves out is the code's default:
SGD with momentum in LARS (eta 0.02, clipped), ten epochs of warm-up from 0.003, cosine.

Note:
    With BYOL the code ends the encoder's cosine ten epochs before the training; here they end
    together. The released numbers were chosen by an online probe on the test images.
"""

from typing import NamedTuple

from masquerade.data.augment import policy
from masquerade.data.sources.base import SourceConfig
from masquerade.engine.optimizers import lars
from masquerade.jobs.settings import Optimizers, Pretrain, Statistics
from masquerade.maskers import adios
from masquerade.networks import backbone
from masquerade.networks.heads import PredictorConfig, ProjectorConfig
from masquerade.objectives import byol, simclr, simsiam
from masquerade.objectives.base import ObjectiveConfig

STL10 = Statistics(mean=(0.4914, 0.4823, 0.4466), std=(0.247, 0.243, 0.261))
IMAGENET = Statistics(mean=(0.485, 0.456, 0.406), std=(0.228, 0.224, 0.225))  # 0.228: a typo, kept
RESNET = backbone.Config(name="resnet18", stem="imagenet", options={"zero_init_last": False})
VIT = backbone.Config(name="vit_tiny_patch16_224", stem="imagenet")
SIMCLR = simclr.Config(temperature=0.2, projector=ProjectorConfig(hidden=2048, out=128))
WIDE = SIMCLR.replace(projector=ProjectorConfig(hidden=2048, out=256))
BYOL = byol.Config(
    projector=ProjectorConfig(hidden=4096, out=256, norm="hidden", bias=True),
    predictor=PredictorConfig(hidden=8192),
    momentum=0.99,
)
TERMS = {"both": "masked_both", "none": "clean", "symmetry": "masked_key"}  # use_*_mask


def simsiam_with(*flags: str, out: int = 2048) -> simsiam.Config:
    """SimSiam as the scripts have it, with the terms that use_FLAG_mask=true adds."""
    return simsiam.Config(
        projector=ProjectorConfig(hidden=2048, out=out, layers=3, norm="batch", last="plain"),
        predictor=PredictorConfig(hidden=512, bias=False),
        terms=("masked_query", *(TERMS[flag] for flag in flags)),
    )


class Script(NamedTuple):
    """One training script.

    Attributes:
        epochs: Passes over the images.
        batch: Images of one step.
        rates: Of the encoder and of the masker.
        decay: Weight decay of both.
        masker: N, width and normalisation of the mask network, weights of sparsity and entropy.
        colours: Brightness, contrast, saturation, hue.
    """

    epochs: int
    batch: int
    rates: tuple[float, float]
    decay: float
    masker: adios.Config
    colours: tuple[float, float, float, float] = (0.8, 0.8, 0.8, 0.2)

    def settings(
        self,
        title: str,
        data: SourceConfig,
        objective: ObjectiveConfig,
        encoder: backbone.Config = RESNET,
    ) -> Pretrain:
        """The run of this script."""
        encoder_rate, masker_rate = self.rates
        return Pretrain(
            title=title,
            data=data,
            size=224 if data.kind == "imagenet100" else 96,
            normalise=STL10 if data.kind == "stl10" else IMAGENET,
            backbone=encoder,
            objective=objective,
            maskers=(self.masker,),
            augment=policy.adios(*self.colours),
            optimizers=Optimizers(
                encoder=lars.Config(lr=encoder_rate, decay=self.decay),
                masker=lars.Config(lr=masker_rate, decay=self.decay),
                probe=lars.Config(lr=0.1),
            ),
            step="official",
            combine="sum",
            epochs=self.epochs,
            batch=self.batch,
        )


def masker_of(
    masks: int, width: int, sparsity: float, entropy: float = 0.0, norm: str = "gn"
) -> adios.Config:
    """The masker of a script, its entropy term summed over the batch as in the code."""
    return adios.Config.parse(
        {
            "masks": masks,
            "width": width,
            "norm": norm,
            "sparsity": sparsity,
            "entropy": entropy,
            "entropy_reduction": "sum",
        }
    )
