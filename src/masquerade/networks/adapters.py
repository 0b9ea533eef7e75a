"""Adapters: parameters that a network has twice, one set for clean and one for adversarial images.

Everything else is shared. Norms and class token: Rebuffi et al., "Revisiting adapters with
adversarial training", 2023. https://arxiv.org/abs/2210.04886 ; LoRA: Hu et al., 2021.
https://arxiv.org/abs/2106.09685 ; bottleneck: Chen et al., "AdaptFormer", 2022.
https://arxiv.org/abs/2205.13535

Clean parameters keep the names that timm gave them, adversarial ones begin with `adv_`: a state
dict without these is one of plain timm.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from masquerade.core.config import Settings

Kind = Literal["norm", "cls", "lora", "bottleneck"]
Linear = Literal["qkv", "proj", "fc1", "fc2"]
MARK = "adv_"


class Lane:
    """Which rows of the batch at hand are clean: the first ones. One for all adapters of a network.

    Outside of `of` all rows are.
    """

    def __init__(self) -> None:
        self._clean, self._rows = 1, 1

    @contextmanager
    def of(self, clean: int, rows: int) -> Iterator[None]:
        """Inside, the first `clean` of `rows` rows are clean, the others adversarial.

        What recomputes a forward pass later, as activation checkpointing does, has to enter it
        again, or it silently takes the other adapters.
        """
        before = self._clean, self._rows
        self._clean, self._rows = clean, rows
        try:
            yield
        finally:
            self._clean, self._rows = before

    def clean(self, x: Tensor) -> int:
        """How many of the first rows of `x` are clean; an image may have several rows."""
        return len(x) * self._clean // self._rows


class DomainNorm(nn.LayerNorm):
    """A layer norm with a second pair of weight and bias, at first equal to the first."""

    def __init__(self, norm: nn.LayerNorm, lane: Lane) -> None:
        super().__init__(norm.normalized_shape, norm.eps)
        self.weight, self.bias = norm.weight, norm.bias
        # Two vectors, not one matrix: 1-D parameters are spared weight decay everywhere.
        self.adv_weight = nn.Parameter(norm.weight.detach().clone())
        self.adv_bias = nn.Parameter(norm.bias.detach().clone())
        self.lane = lane

    def forward(self, x: Float[Tensor, "B *S"]) -> Float[Tensor, "B *S"]:
        k = self.lane.clean(x)
        parts = []
        if k:
            parts.append(super().forward(x[:k]))
        if k < len(x):
            shape = list(self.normalized_shape)
            parts.append(F.layer_norm(x[k:], shape, self.adv_weight, self.adv_bias, self.eps))
        return parts[0] if len(parts) == 1 else torch.cat(parts)


class Beside(nn.Module, ABC):
    """Adds something to what a layer gives for adversarial rows; nothing at first."""

    def __init__(self, lane: Lane) -> None:
        super().__init__()
        self.lane = lane

    @abstractmethod
    def forward(self, x: Float[Tensor, "B *S"]) -> Float[Tensor, "B *T"]:
        """What is added, of the layer's input."""

    def added(
        self, layer: nn.Module, given: tuple[Tensor, ...], out: Float[Tensor, "B *T"]
    ) -> Float[Tensor, "B *T"]:
        """A forward hook of the layer."""
        k = self.lane.clean(out)
        if k == len(out):
            return out
        changed = out[k:] + self(given[0][k:])
        return torch.cat([out[:k], changed]) if k else changed

    def join(self, layer: nn.Module, name: str) -> None:
        """Become a part of a layer."""
        layer.add_module(MARK + name, self)
        layer.register_forward_hook(self.added)


class Lora(Beside):
    """A product of two thin matrices beside a linear layer, scaled by `scale`."""

    def __init__(self, linear: nn.Linear, rank: int, scale: float, lane: Lane) -> None:
        super().__init__(lane)
        self.down = nn.Parameter(torch.empty(rank, linear.in_features))
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))
        self.scale = scale
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Float[Tensor, "B *S"]) -> Float[Tensor, "B *T"]:
        return self.scale * F.linear(F.linear(x, self.down), self.up)


class Bottleneck(Beside):
    """A narrow two-layer network beside an MLP."""

    def __init__(self, dim: int, width: int, scale: float, lane: Lane) -> None:
        super().__init__(lane)
        self.down, self.up = nn.Linear(dim, width), nn.Linear(width, dim)
        self.scale = scale
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Float[Tensor, "B *S"]) -> Float[Tensor, "B *T"]:
        out: Tensor = self.scale * self.up(self.down(x).relu())
        return out


class Adapters(Settings):
    """Settings of the adapters of an encoder.

    Attributes:
        kinds: `norm`: every layer norm; `cls`: the class token, where the network has one; `lora`
            and `bottleneck` are added for adversarial images alone. Empty: one set for both.
        rank: Of LoRA.
        layers: The linear layers that LoRA stands beside.
        width: Of the bottleneck beside each MLP.
        scale: What LoRA and the bottleneck are multiplied with.
    """

    kinds: tuple[Kind, ...] = ("norm", "cls")
    rank: int = Field(8, ge=1)
    layers: tuple[Linear, ...] = ("qkv", "proj")
    width: int = Field(64, ge=1)
    scale: float = Field(1.0, gt=0)


def attach(body: Any, config: Adapters, lane: Lane) -> None:
    """Give a timm transformer adapters, in place; what it does with clean images stays the same.

    Raises:
        ValueError: LoRA would stand beside a layer that the network never calls.
    """
    if "norm" in config.kinds:
        double_norms(body, lane)
    if "cls" in config.kinds and getattr(body, "cls_token", None) is not None:
        body.register_parameter(f"{MARK}cls_token", nn.Parameter(body.cls_token.detach().clone()))
    found = list(body.named_modules())
    if "lora" in config.kinds:
        for name, part in found:
            if name.rpartition(".")[2] in config.layers and isinstance(part, nn.Linear):
                owner = body.get_submodule(name.rpartition(".")[0])
                if name.endswith("qkv") and getattr(owner, "q_bias", None) is not None:
                    raise ValueError(
                        f"LoRA cannot stand beside {name}: {type(body).__name__} uses its weight "
                        "without calling it. Leave qkv out of adapters.layers"
                    )
                Lora(part, config.rank, config.scale, lane).join(part, "lora")
    if "bottleneck" in config.kinds:
        for name, part in found:
            if name.rpartition(".")[2] == "mlp":
                dim = part.fc1.in_features
                Bottleneck(dim, config.width, config.scale, lane).join(part, "bottleneck")


def double_norms(module: nn.Module, lane: Lane) -> None:
    """Replace every layer norm inside a module by one with two sets."""
    for name, part in list(module.named_modules()):
        if isinstance(part, nn.LayerNorm) and not isinstance(part, DomainNorm):
            module.set_submodule(name, DomainNorm(part, lane))


def adversarial(name: str) -> bool:
    """Whether a parameter of this name belongs to adversarial images alone."""
    return any(part.startswith(MARK) for part in name.split("."))


def without(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The clean part of a state dict."""
    return {name: tensor for name, tensor in tensors.items() if not adversarial(name)}


@torch.no_grad()
def distance(module: nn.Module) -> Float[Tensor, ""]:
    """How far apart the two sets are: the Euclidean length of all differences.

    What only adversarial images have counts with its own length.
    """
    named = dict(module.named_parameters())
    gaps = []
    for name, own in named.items():
        if adversarial(name):
            twin = named.get(name.replace(MARK, ""))
            gaps.append((own if twin is None else own - twin).float().square().sum())
    return torch.stack(gaps).sum().sqrt() if gaps else torch.zeros(())
