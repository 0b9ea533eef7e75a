"""Decoders: from the tokens of an encoder to the pixels of the patches it did not see.

MAE: a small transformer, https://arxiv.org/abs/2111.06377 ; SimMIM: one linear layer,
https://arxiv.org/abs/2111.09886
"""

import torch
from jaxtyping import Float, Int
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from masquerade.networks.adapters import Lane
from masquerade.networks.positions import sincos


class PatchDecoder(nn.Module):
    """MAE's: the visible tokens and a mask token for every hidden patch, through a few blocks.

    Args:
        tokens: Width of the encoder's tokens.
        grid: Patches along each side.
        values: Numbers to predict for each patch.
        width: Of its own tokens; divisible by 4 and by `heads`.
        depth: Blocks.
        heads: Of each block.
        lane: Says which rows are adversarial, if its norms are given adapters.
    """

    positions: Tensor

    def __init__(
        self,
        tokens: int,
        grid: int,
        values: int,
        width: int,
        depth: int,
        heads: int,
        lane: Lane,
    ) -> None:
        super().__init__()
        if width % 4 or width % heads:
            raise ValueError(
                f"decoder width {width} must be divisible by 4 and by its {heads} heads"
            )
        self.lane = lane
        self.embed = nn.Linear(tokens, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.register_buffer("positions", sincos(width, grid), persistent=False)
        self.blocks = nn.ModuleList(Block(width, heads, qkv_bias=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pred = nn.Linear(width, values)

    def forward(
        self, latent: Float[Tensor, "B T E"], order: Int[Tensor, "B L"], clean: int
    ) -> Float[Tensor, "B L P"]:
        """Predicted values of every patch.

        Args:
            latent: A class token and the visible patches.
            order: All patches, the visible ones first, in the order of `latent`.
            clean: The first so many rows are clean.
        """
        x = self.embed(latent)
        b, patches = order.shape
        hidden = self.mask_token.to(x).expand(b, patches + 1 - x.shape[1], -1)
        shuffled = torch.cat([x[:, 1:], hidden], 1)
        back = order.argsort(1)[:, :, None].expand(-1, -1, x.shape[2])
        x = torch.cat([x[:, :1], shuffled.gather(1, back)], 1) + self.positions
        with self.lane.of(clean, b):
            for block in self.blocks:
                x = block(x)
            out: Tensor = self.pred(self.norm(x))
        return out[:, 1:]


class PixelHead(nn.Sequential):
    """SimMIM's: a 1 x 1 convolution from each token to the pixels it stands for.

    Args:
        tokens: Width of the encoder's tokens.
        channels: Of the images.
        stride: Side of the square of pixels that a token stands for.
    """

    def __init__(self, tokens: int, channels: int, stride: int) -> None:
        super().__init__(nn.Conv2d(tokens, stride**2 * channels, 1), nn.PixelShuffle(stride))
