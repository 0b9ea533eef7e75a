"""Checkpoints in the shapes of published ones, of networks small enough for a test."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from masquerade.networks.backbone import Backbone, Config

# 8, not 4: oneDNN crashes on a 1 x 1 convolution of 4 channels with stride 2 without AVX-512
CNN: dict[str, Any] = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 12]}
VIT: dict[str, Any] = {"depth": 1, "embed_dim": 24, "num_heads": 3}


def cnn(size: int = 32, stem: str = "auto", seed: int = 7) -> Backbone:
    return built("resnet18", CNN, size, stem, seed)


def vit(size: int = 32, seed: int = 7, **options: Any) -> Backbone:
    return built("vit_tiny_patch16_224", {**VIT, **options}, size, "auto", seed)


def built(name: str, options: dict[str, Any], size: int, stem: str, seed: int) -> Backbone:
    """A network whose running statistics have moved, in eval mode."""
    torch.manual_seed(seed)
    config = Config.parse({"name": name, "options": options, "stem": stem})
    net = config.build(size, 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    net(torch.randn(4, 3, size, size))
    return net.eval()


def state(net: Backbone, prefix: str = "") -> dict[str, Tensor]:
    return {prefix + k: v.clone() for k, v in net.body.state_dict().items()}


def moco(place: Path, net: Backbone, other: Backbone) -> Path:
    """MoCo v2: query and key encoder with their heads, and the queue."""
    head = {f"module.encoder_{k}.fc.0.weight": torch.zeros(8, 12) for k in "qk"}
    queue = {"module.queue": torch.zeros(8, 16), "module.queue_ptr": torch.zeros(1)}
    tensors = state(net, "module.encoder_q.") | state(other, "module.encoder_k.") | head | queue
    torch.save({"epoch": 800, "arch": "resnet18", "state_dict": tensors, "optimizer": {}}, place)
    return place


def mae(place: Path, net: Backbone) -> Path:
    """MAE: a vision transformer with its decoder, the optimizer, and argparse's settings."""
    decoder = {
        "mask_token": torch.zeros(1, 1, 16),
        "decoder_pos_embed": torch.zeros(1, 65, 16),
        "decoder_embed.weight": torch.zeros(16, 24),
        "decoder_blocks.0.norm1.weight": torch.zeros(16),
        "decoder_pred.weight": torch.zeros(48, 16),
    }
    args = argparse.Namespace(model="mae_vit_base_patch16", mask_ratio=0.75)
    torch.save({"model": state(net) | decoder, "optimizer": {}, "epoch": 799, "args": args}, place)
    return place


def solo_learn(place: Path, net: Backbone, other: Backbone) -> Path:
    """solo-learn: a Lightning checkpoint with settings as objects of omegaconf and Lightning."""
    tensors = state(net, "backbone.") | state(other, "momentum_backbone.")
    tensors |= {"classifier.weight": torch.zeros(10, 12), "projector.0.weight": torch.zeros(8, 12)}
    with (
        elsewhere("omegaconf.dictconfig", "DictConfig", object) as settings,
        elsewhere("pytorch_lightning.utilities.parsing", "AttributeDict", dict) as attributes,
    ):
        kept = settings()
        kept.__dict__.update({"_content": {"name": "simclr"}, "_parent": None})
        content = {
            "epoch": 399,
            "pytorch-lightning_version": "2.1.2",
            "state_dict": tensors,
            "callbacks": {"Checkpointer": attributes({"best": torch.tensor(0.5).numpy()})},
            "hyper_parameters": {"cfg": kept, "data": attributes({"num_classes": 10})},
        }
        torch.save(content, place)
    return place


def lightly(place: Path, net: Backbone) -> Path:
    """lightly's tutorials: nn.Sequential(*children without the classifier) under `backbone`."""
    children = [m for n, m in net.body.named_children() if n not in ("global_pool", "fc")]
    numbered = {f"backbone.{k}": v for k, v in nn.Sequential(*children).state_dict().items()}
    head = {"projection_head.layers.0.weight": torch.zeros(8, 12)}
    torch.save({"state_dict": numbered | head, "pytorch-lightning_version": "2.1.2"}, place)
    return place


def lightly_resnet(place: Path, net: Backbone) -> Path:
    """lightly's own ResNet: no modules for activation and pool, `shortcut` for `downsample`."""
    children = {n: m for n, m in net.body.named_children() if m.state_dict()}
    numbered = nn.Sequential(*children.values()).state_dict()
    torch.save({k.replace("downsample", "shortcut"): v for k, v in numbered.items()}, place)
    return place


@contextmanager
def elsewhere(module: str, name: str, base: type) -> Iterator[type[Any]]:
    """A class of a package that is not installed where the file is read."""
    parts = module.split(".")
    names = [".".join(parts[: k + 1]) for k in range(len(parts))]
    for each in names:
        sys.modules[each] = ModuleType(each)
    made = type(name, (base,), {"__module__": module})
    setattr(sys.modules[module], name, made)
    try:
        yield made
    finally:
        for each in names:
            del sys.modules[each]
