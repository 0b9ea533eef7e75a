"""timm and torchvision models by name, without their classifier, and the stems they can have.

What a small stem is depends on the family: ResNets get a 3 x 3 first convolution with stride 1
and lose their max-pool, which a pooled stem keeps; the first convolution of EfficientNets,
MobileNets and RegNets keeps its weights and takes stride 1; vision transformers and ConvNeXts get
smaller patches. The last are constructor options, so these models stay those of plain timm.
"""

import contextlib
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal

import timm
import torch
import torchvision
from jaxtyping import Float
from timm.layers import PatchEmbed
from timm.models import get_pretrained_cfg, model_entrypoint
from torch import Tensor, nn

from masquerade.networks.weights import published

Stem = Literal["small", "pooled", "imagenet", "adios"]

TORCHVISION = "torchvision:"

# Constructor arguments that are not options.
RESERVED = {"num_classes", "in_chans", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay"}
RESERVED |= {"checkpoint_path", "cache_dir", "features_only", "weights", "progress"}

# Of torchvision: several outputs while training, or no linear classifier that could be taken off.
UNFIT = {"googlenet", "inception_v3", "squeezenet1_0", "squeezenet1_1"}

GRID = 8  # patches per side of a small transformer, as many as in CIFAR-10 with patches of 4

# The modules, of timm and of torchvision, whose models have a ResNet's conv1 and maxpool.
RESNETS = (
    "timm.models.resnet",
    "timm.models.resnest",
    "timm.models.sknet",
    "timm.models.res2net",
    "torchvision.models.resnet",
)

# Those of timm that begin with one 3 x 3 convolution of stride 2.
STRIDED = ("timm.models.efficientnet", "timm.models.mobilenetv3", "timm.models.regnet")

Kind = Literal["resnet", "strided", "vit", "convnext"]


@cache
def check(name: str) -> None:
    """Raises `ValueError`, with the nearest names, where there is no such model."""
    if name.startswith(TORCHVISION):
        known = [TORCHVISION + n for n in torchvision.models.list_models(torchvision.models)]
        found = name in known
        if name.removeprefix(TORCHVISION) in UNFIT:
            raise ValueError(f"{name} gives no features; take a timm model or a ResNet instead")
    else:
        known = timm.list_models() if ":" not in name and "/" not in name else []
        found = name.partition(".")[0] in known
    if not found:
        near = get_close_matches(name, known, n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(
            f"no timm or torchvision model is called {name!r}.{hint} Names are those of "
            "timm.list_models(), or torchvision's after 'torchvision:'"
        )


def stem_of(name: str) -> Kind | None:
    """Which kind of small stem a model can have; None if it can have none."""
    if name.startswith(TORCHVISION):
        maker = torchvision.models.get_model_builder(name.removeprefix(TORCHVISION))
        return "resnet" if maker.__module__ in RESNETS else None
    module = model_entrypoint(name.partition(".")[0]).__module__
    if module in RESNETS:
        return "resnet"
    if module in STRIDED:
        return "strided"
    if module in ("timm.models.vision_transformer", "timm.models.deit"):
        return "vit"
    # The overlapping stems of the _ols variants have a stride of 4, whatever their options say.
    return "convnext" if module == "timm.models.convnext" and "_ols" not in name else None


def described(name: str, stem: Stem, size: int, options: dict[str, Any]) -> str:
    """A stem in a few words, as `small stem (3x3, no max-pool)`."""
    if stem == "imagenet":
        return "imagenet stem"
    kind = refuse(name, stem)
    if kind == "resnet":
        padding = ", padding 2" if stem == "adios" else ""
        pool = "max-pool" if stem == "pooled" else "no max-pool"
        return f"{stem} stem (3x3{padding}, {pool})"
    if kind == "strided":
        return "small stem (first convolution with stride 1)"
    patch = fitted(name, stem, size, options)["patch_size"]
    return f"small stem (patches of {patch} px)"


def refuse(name: str, stem: Stem) -> Kind:
    """The kind of a small stem; raises `ValueError` where the model cannot have it."""
    kind = stem_of(name)
    if kind is None or (stem != "small" and kind != "resnet"):
        can = "ResNets"
        if stem == "small":
            can += " and timm's EfficientNets, MobileNets, RegNets, ConvNeXts and ViTs"
        raise ValueError(
            f"{name} can have no {stem} stem; {can} can. Use stem=imagenet, or images larger "
            "than 64 px"
        )
    return kind


def fitted(name: str, stem: Stem, size: int, options: dict[str, Any]) -> dict[str, Any]:
    """The constructor options with what the image size and the stem ask for filled in."""
    if name.startswith(TORCHVISION):
        vit = (
            "vision_transformer"
            in torchvision.models.get_model_builder(name.removeprefix(TORCHVISION)).__module__
        )
        return {"image_size": size, **options} if vit else options
    kind = stem_of(name)
    if get_pretrained_cfg(name).fixed_input_size:
        options = {"img_size": size, **options}
    if stem == "small" and kind == "vit":
        options = {"patch_size": patch(name, size), **options}
    if stem == "small" and kind == "convnext":
        options = {"patch_size": 2, **options}
    return options


def patch(name: str, size: int) -> int:
    """The divisor of `size` that gives the number of patches per side nearest to 8."""
    divisors = [p for p in range(2, size) if size % p == 0]
    if not divisors:
        raise ValueError(
            f"{name}: images of {size} px cannot be cut into patches. Choose a size that is a "
            f"multiple of 4, such as {4 * (size // 4 + 1)}"
        )
    return min(divisors, key=lambda p: (max(size / p / GRID, GRID * p / size), p))


def create(
    name: str, stem: Stem, size: int, channels: int, options: dict[str, Any], public: bool
) -> nn.Module:
    """A model without classifier, with its stem, and with published weights if `public`.

    The first convolution of a ResNet's small stem is fresh: the published one is 7 x 7.

    Raises:
        ValueError: The constructor refuses an option, or the model can have no such stem.
        MissingData: The published weights cannot be downloaded, or there are none.
    """
    kind = None if stem == "imagenet" else refuse(name, stem)
    options = fitted(name, stem, size, options)
    maker = from_torchvision if name.startswith(TORCHVISION) else from_timm
    try:
        with published(name) if public else contextlib.nullcontext():
            body = maker(name, channels, options, public)
    except (TypeError, AssertionError, ValueError, KeyError, IndexError) as error:
        shown = ", ".join(f"{k}={v!r}" for k, v in options.items())
        hint = ". If they are another network's: backbone.options={}" if shown else ""
        text = f"{name} cannot be built with {shown or 'no options'}: {error}{hint}"
        raise ValueError(text) from error
    if kind == "resnet":
        shrink(body, channels, padding=2 if stem == "adios" else 1)
        if stem != "pooled":
            body.set_submodule("maxpool", nn.Identity())
    if kind == "strided":
        body.get_submodule(first_conv(name)).stride = (1, 1)  # type: ignore[assignment]  # modules are typed as tensors too
    whole_patches(name, body, size)
    return body


def whole_patches(name: str, body: nn.Module, size: int) -> None:
    """Raises `ValueError` where a transformer would drop the last rows and columns unseen."""
    for part in body.modules():
        if isinstance(part, PatchEmbed) and size % part.patch_size[0]:
            side = part.patch_size[0]
            raise ValueError(
                f"{name} cuts images into patches of {side} px, and {size} px is no multiple of "
                f"that. Choose a size of {size // side * side or side} or "
                f"{(size // side + 1) * side} px, or another backbone.options.patch_size"
            )


def first_conv(name: str) -> str:
    """The place of a timm model's first convolution, as `conv_stem`."""
    return str(get_pretrained_cfg(name).first_conv)


def from_timm(name: str, channels: int, options: dict[str, Any], public: bool) -> nn.Module:
    """A timm model without classifier."""
    tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    body: nn.Module = timm.create_model(
        name, pretrained=public, num_classes=0, in_chans=channels, **tuples
    )
    return body


def from_torchvision(name: str, channels: int, options: dict[str, Any], public: bool) -> nn.Module:
    """A torchvision model whose last linear layer is an identity."""
    maker = torchvision.models.get_model(
        name.removeprefix(TORCHVISION), weights="DEFAULT" if public else None, **options
    )
    body: nn.Module = maker
    last = [n for n, m in body.named_modules() if isinstance(m, nn.Linear)][-1]
    body.set_submodule(last, nn.Identity())
    if channels != 3:
        first, conv = next((n, m) for n, m in body.named_modules() if isinstance(m, nn.Conv2d))
        body.set_submodule(first, widened(conv, channels, keep=public))
    return body


def widened(conv: nn.Conv2d, channels: int, keep: bool) -> nn.Conv2d:
    """A first convolution for another number of channels; `keep` spreads the weights."""
    new = nn.Conv2d(
        channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]  # torch types it as a tuple of any length
        conv.stride,  # type: ignore[arg-type]  # likewise
        conv.padding,  # type: ignore[arg-type]  # likewise
        bias=conv.bias is not None,
    )
    if keep:
        with torch.no_grad():
            total = conv.weight.sum(1, keepdim=True)
            new.weight.copy_(total.expand_as(new.weight) / channels)
    return new


def shrink(body: nn.Module, channels: int, padding: int) -> None:
    """Give a ResNet a first convolution of 3 x 3 and stride 1."""
    first = body.get_submodule("conv1")
    if isinstance(first, nn.Conv2d):
        conv = nn.Conv2d(channels, first.out_channels, 3, 1, padding, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        body.set_submodule("conv1", conv)
    else:  # the deep stem is three 3 x 3 convolutions already
        body.get_submodule("conv1.0").stride = (1, 1)  # type: ignore[assignment]  # likewise


def maps(body: nn.Module, images: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
    """The maps of a model's stages or blocks; see `Backbone.maps`."""
    if isinstance(body, torchvision.models.ResNet):
        found = [body.relu(body.bn1(body.conv1(images)))]
        inner = body.maxpool(found[0])
        for stage in (body.layer1, body.layer2, body.layer3, body.layer4):
            inner = stage(inner)
            found.append(inner)
        return found
    through: Any = getattr(body, "forward_intermediates", None)
    if through is None:
        raise ValueError(f"{type(body).__name__} gives no feature maps; use its timm namesake")
    return list(through(images, intermediates_only=True))
