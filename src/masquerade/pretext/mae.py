"""MAE: drop most patches, predict their pixels from the few that are left.

He et al., "Masked Autoencoders Are Scalable Vision Learners", 2021. https://arxiv.org/abs/2111.06377
papers/aemim.md, section 2.
"""

import torch
from einops import rearrange
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from masquerade.core.config import Settings
from masquerade.core.types import precise
from masquerade.engine.task import Group
from masquerade.networks.backbone import Backbone
from masquerade.networks.decoders import PatchDecoder
from masquerade.networks.positions import sincos
from masquerade.networks.vit import ViT
from masquerade.pretext.mim import MaskedModel, MimConfig


class Decoder(Settings):
    """Settings of MAE's decoder.

    Attributes:
        width: Of its tokens.
        depth: Blocks.
        heads: Of each block.
    """

    width: int = Field(512, ge=4)
    depth: int = Field(8, ge=1)
    heads: int = Field(16, ge=1)


class Mae(MaskedModel):
    """Drops patches of a plain ViT with fixed positions."""

    decoder: PatchDecoder

    def __init__(self, config: "Config", backbone: Backbone) -> None:
        super().__init__(backbone, config.checkpointing)
        if not isinstance(self.trunk, ViT):
            raise ValueError(
                f"MAE drops patches, which {backbone.config.name} cannot do without. Choose a "
                "plain ViT such as vit_small_patch16_224, or pretext=simmim"
            )
        self.config = config
        self.cells = self.trunk.grid
        patches = self.cells**2
        # int(), not round(): as in the official code, with its share of floating-point dust.
        self.keep = int(patches * (1 - config.ratio))
        if self.keep == 0:
            raise ValueError(
                f"ratio={config.ratio} hides all {patches} patches of an image of {backbone.size} "
                "px; lower it or take smaller patches"
            )
        self.count = patches - self.keep
        values = self.trunk.patch**2 * backbone.channels
        shape = config.decoder
        self.decoder = PatchDecoder(
            self.trunk.dim,
            self.cells,
            values,
            shape.width,
            shape.depth,
            shape.heads,
            self.lane,
        )
        started(self.decoder)
        positions = backbone.body.get_parameter("pos_embed").requires_grad_(False)
        if not backbone.origin:
            started(backbone.body)
            positions.copy_(sincos(self.trunk.dim, self.cells))

    def encode(
        self, images: Float[Tensor, "B C H W"], hidden: Float[Tensor, "B L"], clean: int
    ) -> Float[Tensor, "B T E"]:
        return self.trunk.run(images, clean, visible=order(hidden)[:, : self.keep])

    def decode(
        self, latent: Float[Tensor, "B T E"], hidden: Float[Tensor, "B L"], clean: int
    ) -> Float[Tensor, "B L P"]:
        out: Tensor = self.decoder(latent, order(hidden), clean)
        return out

    def loss(
        self,
        predicted: Float[Tensor, "B *S"],
        images: Float[Tensor, "B C H W"],
        hidden: Float[Tensor, "B L"],
    ) -> Float[Tensor, ""]:
        target, _, _ = self.target(images)
        squares = (precise(predicted) - target).square().mean(2)
        return (squares * hidden).sum() / hidden.sum()

    def target(self, images: Float[Tensor, "B C H W"]) -> tuple[Tensor, Tensor, Tensor]:
        """What is to be predicted for each patch; and the shift and scale that took it there."""
        patches = precise(patchify(images, self.trunk.patch))
        if not self.config.normalise:
            return patches, torch.zeros_like(patches[..., :1]), torch.ones_like(patches[..., :1])
        mean = patches.mean(2, keepdim=True)
        scale = (patches.var(2, keepdim=True) + 1e-6).sqrt()
        return (patches - mean) / scale, mean, scale

    def painted(
        self, predicted: Float[Tensor, "B *S"], images: Float[Tensor, "B C H W"]
    ) -> Float[Tensor, "B C H W"]:
        _, mean, scale = self.target(images)  # of the true patches: nothing predicts them
        return unpatchify(predicted * scale + mean, self.trunk.patch)

    def groups(self) -> list[Group]:
        return [Group("mae", list(self.parameters()))]


class Config(MimConfig):
    """Settings of MAE.

    Attributes:
        ratio: Share of the patches that is hidden; what is shown is rounded down.
        normalise: Whether each patch is to be predicted minus its mean, over its deviation.
        decoder: The network that predicts.
        checkpointing: Whether the encoder's layers are computed again in the backward pass: less
            memory, a third more time.
    """

    ratio: float = Field(0.75, ge=0, le=1)
    normalise: bool = True
    decoder: Decoder = Decoder()
    checkpointing: bool = False

    def model(self, backbone: Backbone) -> Mae:
        return Mae(self, backbone)


def order(hidden: Float[Tensor, "B L"]) -> Int[Tensor, "B L"]:
    """All patches, the visible ones first, both parts row by row.

    Note:
        The official code shuffles the visible patches. A transformer does not see the order of its
        tokens, so that this changes rounding only.
    """
    return hidden.argsort(dim=1, stable=True)


def patchify(images: Float[Tensor, "B C H W"], patch: int) -> Float[Tensor, "B L P"]:
    """The pixels of each patch: by row, then column, then channel."""
    return rearrange(images, "b c (h p) (w q) -> b (h w) (p q c)", p=patch, q=patch)


def unpatchify(patches: Float[Tensor, "B L P"], patch: int) -> Float[Tensor, "B C H W"]:
    """The square image that `patchify` cut up."""
    side = round(patches.shape[1] ** 0.5)
    return rearrange(patches, "b (h w) (p q c) -> b c (h p) (w q)", h=side, p=patch, q=patch)


@torch.no_grad()
def started(network: nn.Module) -> None:
    """Fresh weights as in MAE: linear layers and patches Xavier-uniform, tokens N(0, 0.02^2)."""
    for part in network.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Conv2d):
            nn.init.xavier_uniform_(part.weight.view(len(part.weight), -1))
    for name, token in network.named_parameters(recurse=False):
        if name in ("cls_token", "mask_token"):
            nn.init.normal_(token, std=0.02)
