"""The cost table of masked image models: what is built, and what papers/aemim.md, 1.6, prints.

A column is a network, a row a way to compute a step. Printed figures are multiples of the step
of the model without twins.
"""

from typing import NamedTuple

from masquerade.networks import backbone
from masquerade.pretext import aemim, mae, simmim
from masquerade.pretext.aemim import Passes
from masquerade.pretext.feature_attack import FeatureAttack
from masquerade.pretext.mim import MimConfig


class Column(NamedTuple):
    """A network and what it learns.

    Attributes:
        name: As the table calls it.
        size: Of the images, in pixels.
        encoder: Its settings.
        base: What is learned without twins.
        printed: Figures by the row's name.
    """

    name: str
    size: int
    encoder: backbone.Config
    base: MimConfig
    printed: dict[str, float]


class Form(NamedTuple):
    """How a step is computed.

    Attributes:
        name: Of the row.
        steps: Of the attack; 0 attacks nothing.
        passes: As the setting; empty trains the model without twins.
        twins: Share of the batch that has one.
    """

    name: str
    steps: int = 0
    passes: Passes | None = None
    twins: float = 1.0

    def pretext(self, base: MimConfig) -> MimConfig | aemim.Config:
        """The settings of what is trained."""
        if self.passes is None:
            return base
        attack = FeatureAttack(steps=self.steps) if self.steps else FeatureAttack(by="noise")
        return aemim.Config(base=base, attack=attack, passes=self.passes, twins=self.twins)

    def expected(self, encoder: float, decoder: float) -> float:
        """The step in steps of the model alone, from first principles.

        A backward pass costs twice its forward pass; the attack's, which stops at the pixels and
        asks for no weight's gradient, as much as its forward pass.

        Args:
            encoder: FLOPs of a forward pass.
            decoder: The same.
        """
        if self.passes is None:
            return 1.0
        whole = 3 * (encoder + decoder)
        target = encoder if self.passes == "fused" else 0
        return 1 + self.twins * (whole + 2 * self.steps * encoder + target) / whole


PLAIN = Form("alone")
FORMS = [
    PLAIN,
    Form("noise twin", 0, "reused"),
    Form("K 1, z reused", 1, "reused"),
    Form("K 2, z reused", 2, "reused"),
    Form("K 1, fused", 1, "fused"),
    Form("K 2, fused", 2, "fused"),
    Form("K 1, sequential", 1, "lean"),
    Form("K 2, sequential", 2, "lean"),
    Form("K 1, a quarter has twins", 1, "reused", 0.25),
    Form("K 2, a quarter has twins", 2, "reused", 0.25),
]


def vit(name: str, **options: int) -> backbone.Config:
    """A plain ViT of timm; the stem is its own."""
    return backbone.Config(name=name, stem="imagenet", options=options)


def rows(not_reused: float, reused: float, one: float) -> dict[str, float]:
    """The table's last three rows by ours; what it calls `input-only` is our fused step."""
    return {
        "K 2, fused": not_reused,
        "K 2, z reused": reused,
        "K 1, z reused": one,
    }


SMALL = Column(
    "32 px, patch 4, d 192, L 12",
    32,
    vit("vit_tiny_patch16_224", patch_size=4, img_size=32),
    mae.Config(decoder=mae.Decoder(width=96, depth=4, heads=3)),
    rows(3.23, 2.99, 2.49),
)
SMALL_SIMMIM = SMALL._replace(
    name="SimMIM, 32 px, patch 4, d 192, L 12",
    encoder=SMALL.encoder.replace(
        options={**SMALL.encoder.options, "global_pool": "avg", "fc_norm": False}
    ),
    base=simmim.Config(unit=8),
    printed={},
)
LARGE = [
    Column("ViT-B/16", 224, vit("vit_base_patch16_224"), mae.Config(), rows(2.75, 2.60, 2.30)),
    Column("ViT-L/16", 224, vit("vit_large_patch16_224"), mae.Config(), rows(3.23, 2.99, 2.49)),
    Column(
        "SimMIM ViT-B",
        224,
        backbone.Config(
            name="vit_base_patch16_224",
            stem="imagenet",
            options={"global_pool": "avg", "fc_norm": False},
        ),
        simmim.Config(),
        rows(3.66, 3.32, 2.66),
    ),
]
