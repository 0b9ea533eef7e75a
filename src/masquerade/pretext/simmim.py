"""SimMIM: replace patches by a mask token, predict their raw pixels with one linear layer.

Xie et al., "SimMIM: A Simple Framework for Masked Image Modeling", 2021.
https://arxiv.org/abs/2111.09886 ; papers/aemim.md, section 3.
"""

import math

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from masquerade.core.types import precise
from masquerade.engine.task import Group
from masquerade.networks.backbone import Backbone
from masquerade.networks.decoders import PixelHead
from masquerade.networks.vit import Swin
from masquerade.pretext.mim import MaskedModel, MimConfig


class Simmim(MaskedModel):
    """Shows all patches to a ViT, BEiT or Swin, the hidden ones as a mask token."""

    decoder: PixelHead

    def __init__(self, config: "Config", backbone: Backbone) -> None:
        super().__init__(backbone, config.checkpointing)
        if self.trunk.pools_class_token:
            raise ValueError(
                f"{backbone.config.name} gives its class token as features, which SimMIM does not "
                "train. Add backbone.options.global_pool=avg and backbone.options.fc_norm=false"
            )
        self.config = config
        unit, patch = config.unit, self.trunk.patch
        if unit % patch or backbone.size % unit:
            raise ValueError(
                f"unit={unit} must be a multiple of the patches' {patch} px and divide the images' "
                f"{backbone.size} px"
            )
        self.cells = backbone.size // unit
        self.count = math.ceil(self.cells**2 * config.ratio)
        if not 0 < self.count < self.cells**2:
            raise ValueError(
                f"ratio={config.ratio} hides {self.count} of the {self.cells**2} units of an image "
                f"of {backbone.size} px; choose a smaller unit or another ratio"
            )
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.trunk.width))
        self.decoder = PixelHead(self.trunk.dim, backbone.channels, self.trunk.stride)
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)
        if not backbone.origin:
            started(backbone.body)

    def encode(
        self, images: Float[Tensor, "B C H W"], hidden: Float[Tensor, "B L"], clean: int
    ) -> Float[Tensor, "B T E"]:
        return self.trunk.run(images, clean, hidden=hidden, token=self.mask_token)

    def decode(
        self, latent: Float[Tensor, "B T E"], hidden: Float[Tensor, "B L"], clean: int
    ) -> Float[Tensor, "B C H W"]:
        patches = latent[:, self.trunk.prefix :]
        side = self.backbone.size // self.trunk.stride
        out: Tensor = self.decoder(rearrange(patches, "b (h w) e -> b e h w", h=side))
        return out

    def loss(
        self,
        predicted: Float[Tensor, "B *S"],
        images: Float[Tensor, "B C H W"],
        hidden: Float[Tensor, "B L"],
    ) -> Float[Tensor, ""]:
        where = self.pixels(hidden)
        gaps = (precise(predicted) - images).abs()
        return (gaps * where).sum() / (where.sum() + 1e-5) / images.shape[1]

    def painted(
        self, predicted: Float[Tensor, "B *S"], images: Float[Tensor, "B C H W"]
    ) -> Float[Tensor, "B C H W"]:
        return predicted

    def groups(self) -> list[Group]:
        spared = ["cls_token", "adv_cls_token", "pos_embed"]
        spared += ["mask_token"] if isinstance(self.trunk, Swin) else []
        if not self.config.decay_positions:
            spared.append("relative_position_bias_table")
        kept: list[nn.Parameter] = []
        free: list[nn.Parameter] = []
        for name, p in self.named_parameters():
            (free if name.rpartition(".")[2] in spared else kept).append(p)
        return [Group("simmim", kept), Group("tokens", free, decay=False)]


class Config(MimConfig):
    """Settings of SimMIM.

    Attributes:
        ratio: Share of the units that is hidden, rounded up.
        unit: Side of what is hidden or shown as a whole, in pixels.
        decay_positions: Whether weight decay applies to tables of relative positions. The official
            code means to spare Swin's and does not.
        checkpointing: Whether the encoder's layers are computed again in the backward pass: less
            memory, a third more time.
    """

    ratio: float = Field(0.6, ge=0, le=1)
    unit: int = Field(32, ge=1)
    decay_positions: bool = True
    checkpointing: bool = False

    def model(self, backbone: Backbone) -> Simmim:
        return Simmim(self, backbone)


@torch.no_grad()
def started(body: nn.Module) -> None:
    """Fresh weights as in SimMIM: N(0, 0.02^2), cut at two units, the deeper the smaller."""
    for part in body.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.trunc_normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    token = dict(body.named_parameters(recurse=False)).get("cls_token")
    if token is not None:
        nn.init.trunc_normal_(token, std=0.02)
        for depth, block in enumerate(body.get_submodule("blocks").children()):
            scale = math.sqrt(2 * (depth + 1))
            for name in ("attn.proj", "mlp.fc2"):
                block.get_submodule(name).get_parameter("weight").div_(scale)
