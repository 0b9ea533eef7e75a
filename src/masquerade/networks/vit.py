"""Vision transformers of timm that see a part of an image, run piece by piece.

Hidden patches are dropped (MAE, https://arxiv.org/abs/2111.06377) or replaced by a mask token
(SimMIM, https://arxiv.org/abs/2111.09886). The model stays the one timm made: no block is copied,
no weight renamed.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from timm.layers import DropPath
from timm.models.beit import Beit as TimmBeit
from timm.models.swin_transformer import SwinTransformer as TimmSwin
from timm.models.vision_transformer import VisionTransformer as TimmViT
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from masquerade.networks.adapters import MARK, Lane
from masquerade.networks.backbone import Backbone

Layer = Callable[[Tensor], Tensor]


class Trunk(ABC):
    """A transformer of timm without its head.

    A plain object beside the network, which is a part of the backbone already.

    Attributes:
        body: The network; its adapters, if it has any, follow `lane`.
        lane: Says which rows of a batch are adversarial.
        checkpointing: Whether layers are computed again in the backward pass instead of kept.
        grid: Patches along each side of an image.
        patch: Side of a patch, in pixels.
        width: Of a patch's token where masks act.
        dim: Of a token at the end.
        pools_class_token: Whether an image's features are those of the class token alone.
        prefix: Tokens at the end that are no patches: 1 = a class token, 0 = none.
        stride: Side of the part of an image that a token at the end stands for, in pixels.
    """

    prefix = 1

    def __init__(self, backbone: Backbone, lane: Lane, checkpointing: bool = False) -> None:
        body: Any = backbone.body
        self.body = body
        self.lane = lane
        self.checkpointing = checkpointing
        self.grid: int = body.patch_embed.grid_size[0]
        self.patch: int = body.patch_embed.patch_size[0]
        self.width: int = body.patch_embed.proj.out_channels
        self.dim: int = body.num_features
        self.stride = self.patch
        self.pools_class_token = body.global_pool == "token"

    @abstractmethod
    def embedded(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B L D"]:
        """One token for each patch, row by row."""

    @abstractmethod
    def placed(self, tokens: Float[Tensor, "B L D"], visible: Int[Tensor, "B K"] | None) -> Tensor:
        """What the first layer takes: `visible` patches with positions, and the class token."""

    @abstractmethod
    def layers(self) -> list[Layer]:
        """What follows, in order, up to the final norm."""

    def final(self, x: Float[Tensor, "B *S E"]) -> Float[Tensor, "B T E"]:
        """The tokens after the final norm, maps row by row."""
        out: Tensor = self.body.norm(x)
        return out.flatten(1, -2)

    def pooled(self, tokens: Float[Tensor, "B T E"]) -> Float[Tensor, "B E"]:
        """One vector for each image, as the network's own head pools the tokens."""
        out: Tensor = self.body.forward_head(tokens, pre_logits=True)
        return out

    def run(
        self,
        images: Float[Tensor, "B C H W"],
        clean: int,
        visible: Int[Tensor, "B K"] | None = None,
        hidden: Float[Tensor, "B L"] | None = None,
        token: Float[Tensor, "1 1 D"] | None = None,
    ) -> Float[Tensor, "B T E"]:
        """The tokens of standardised images after the final norm; a class token comes first.

        Args:
            images: Standardised.
            clean: The first so many images go through the clean adapters, the others through the
                adversarial ones.
            visible: Patches that are not dropped, as many in each image; None drops none.
            hidden: 1 where a patch is replaced by `token`; None replaces none.
            token: What replaces them.
        """
        rows = len(images)
        with self.lane.of(clean, rows):
            x = self.embedded(images)
            if hidden is not None and token is not None:
                where = hidden.to(x)[:, :, None]
                x = x * (1 - where) + token.to(x) * where
            x = self.placed(x, visible)
        for layer in self.layers():
            entered = partial(self._enter, layer, clean, rows)
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(entered, x, use_reentrant=False)
            else:
                x = entered(x)
        with self.lane.of(clean, rows):
            return self.final(x)

    def attention(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1 g g"] | None:
        """How much the class token takes from each patch in the last block, the mean over heads.

        What is missing to 1 it takes from itself. None where there is no class token.

        Args:
            images: Standardised, nothing hidden.
        """
        if not self.prefix:
            return None
        attn: Any = self.body.blocks[-1].attn
        found: list[Tensor] = []
        # timm's fused attention never has these numbers; the other path hands them to attn_drop.
        handle = attn.attn_drop.register_forward_hook(lambda part, given, out: found.append(out))
        fused, attn.fused_attn = attn.fused_attn, False
        try:
            self.run(images, len(images))
        finally:
            attn.fused_attn = fused
            handle.remove()
        weights: Tensor = found[0][:, :, 0, self.prefix :].mean(1)
        return rearrange(weights, "b (h w) -> b 1 h w", h=self.grid)

    def _enter(self, layer: Layer, clean: int, rows: int, x: Tensor) -> Tensor:
        # Here and not around the loop: a checkpointed layer runs again after the loop has ended.
        with self.lane.of(clean, rows):
            return layer(x)

    def _prefixed(self, tokens: Tensor, where: Tensor | None) -> Tensor:
        """The class token of each row's domain, with its position, before the others."""
        own: Tensor = self.body.cls_token
        parameters = dict(self.body.named_parameters(recurse=False))
        twin = parameters.get(f"{MARK}cls_token", own)
        k = self.lane.clean(tokens)
        first = torch.cat([own.expand(k, -1, -1), twin.expand(len(tokens) - k, -1, -1)])
        first = first if where is None else first + where
        return torch.cat([first.to(tokens), tokens], 1)


class ViT(Trunk):
    """A plain vision transformer with a class token; its patches can be dropped."""

    def __init__(self, backbone: Backbone, lane: Lane, checkpointing: bool = False) -> None:
        super().__init__(backbone, lane, checkpointing)
        body = self.body
        if (
            body.cls_token is None
            or body.reg_token is not None
            or body.pos_embed is None
            or body.no_embed_class
            or not isinstance(body.norm_pre, nn.Identity)
            or not isinstance(body.patch_drop, nn.Identity)
            or isinstance(body.norm, nn.Identity)
        ):
            raise ValueError(
                f"{backbone.config.name} is not a plain ViT (one class token that has a position, "
                "no register tokens, one norm, after the last block): hiding patches is "
                "defined for these. Choose one such as vit_small_patch16_224"
            )

    def embedded(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B L D"]:
        out: Tensor = self.body.patch_embed(images)
        return out

    def placed(
        self, tokens: Float[Tensor, "B L D"], visible: Int[Tensor, "B K"] | None
    ) -> Float[Tensor, "B T D"]:
        positions: Tensor = self.body.pos_embed
        x = tokens + positions[:, 1:]
        if visible is not None:
            x = x.gather(1, visible[:, :, None].expand(-1, -1, x.shape[2]))
        out: Tensor = self.body.pos_drop(self._prefixed(x, positions[:, :1]))
        return out

    def layers(self) -> list[Layer]:
        return list(self.body.blocks)


class Beit(Trunk):
    """A transformer with a class token and relative positions, one bias for all blocks."""

    def __init__(self, backbone: Backbone, lane: Lane, checkpointing: bool = False) -> None:
        super().__init__(backbone, lane, checkpointing)
        if isinstance(self.body.norm, nn.Identity):
            raise ValueError(
                f"{backbone.config.name} normalises after pooling, so that tokens have no final "
                "norm. Add backbone.options.use_fc_norm=false"
            )

    def embedded(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B L D"]:
        out: Tensor = self.body.patch_embed(images)
        return out

    def placed(
        self, tokens: Float[Tensor, "B L D"], visible: Int[Tensor, "B K"] | None
    ) -> Float[Tensor, "B T D"]:
        if visible is not None:
            raise ValueError("patches of a BEiT cannot be dropped: its positions are relative")
        x = self._prefixed(tokens, None)
        positions: Tensor | None = self.body.pos_embed
        out: Tensor = self.body.pos_drop(x if positions is None else x + positions)
        return out

    def layers(self) -> list[Layer]:
        shared = self.body.rel_pos_bias
        bias = None if shared is None else shared()
        return [partial(block, shared_rel_pos_bias=bias) for block in self.body.blocks]


class Swin(Trunk):
    """A hierarchical transformer of shifted windows; no class token."""

    prefix = 0

    def __init__(self, backbone: Backbone, lane: Lane, checkpointing: bool = False) -> None:
        super().__init__(backbone, lane, checkpointing)
        self.stride = self.patch * 2 ** (len(self.body.layers) - 1)

    def embedded(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B L D"]:
        out: Tensor = self.body.patch_embed(images)
        return out.flatten(1, 2)

    def placed(
        self, tokens: Float[Tensor, "B L D"], visible: Int[Tensor, "B K"] | None
    ) -> Float[Tensor, "B h w D"]:
        if visible is not None:
            raise ValueError("patches of a Swin cannot be dropped: its windows need all of them")
        return tokens.reshape(len(tokens), self.grid, self.grid, -1)

    def layers(self) -> list[Layer]:
        found: list[Layer] = []
        for stage in self.body.layers:
            found += [stage.downsample, *stage.blocks]
        return found

    def pooled(self, tokens: Float[Tensor, "B T E"]) -> Float[Tensor, "B E"]:
        return tokens.mean(1)


TRUNKS: dict[type[nn.Module], type[Trunk]] = {TimmViT: ViT, TimmBeit: Beit, TimmSwin: Swin}


def trunk(backbone: Backbone, lane: Lane, checkpointing: bool = False) -> Trunk:
    """The transformer of a backbone, to be run piece by piece.

    Raises:
        ValueError: It is none, or of a kind whose pieces are not known.
    """
    for theirs, ours in TRUNKS.items():
        if type(backbone.body) is theirs:
            return ours(backbone, lane, checkpointing)
    raise ValueError(
        f"{backbone.config.name} is a {type(backbone.body).__name__}, and patches can be hidden "
        "from timm's vision transformers only: vit_*, and for SimMIM beit_* and swin_*, too"
    )


def random_layers(body: nn.Module) -> list[str]:
    """The layers that would drop something by chance while training."""
    kinds = (DropPath, nn.Dropout)
    return [
        name
        for name, part in body.named_modules()
        if isinstance(part, kinds) and (part.p if isinstance(part, nn.Dropout) else part.drop_prob)
    ]
