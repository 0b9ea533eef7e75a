"""What others call the tensors of a model: under a prefix, or by the number of their layer.

A checkpoint of MoCo has them under `state_dict.module.encoder_q.`, one of solo-learn under
`state_dict.backbone.`, one of MAE under `model.`. lightly's examples cut a ResNet into
`nn.Sequential(*children)`, so that `conv1` is `0` and `layer1` is `4`; lightly's own ResNet has
no modules for activation and pool, and calls `downsample` `shortcut`.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor, nn


class Naming(NamedTuple):
    """How a file names the tensors of a model.

    Attributes:
        prefix: What stands before each name.
        theirs: Our name by the name in the file, prefix left out.
        fits: Tensors of the model that are there with their shape.
        numbered: Whether layers are called by their number.
    """

    prefix: str
    theirs: dict[str, str]
    fits: int
    numbered: bool


def naming(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], body: nn.Module) -> Naming:
    """The naming under which most tensors of a model are found in a file with their shape.

    Args:
        given: The tensors of the file.
        wanted: Those of the model.
        body: The model.
    """
    best = Naming("", {}, -1, False)
    for numbered, theirs in known(wanted, body):
        prefix, fits = best_prefix(given, {t: wanted[ours] for t, ours in theirs.items()})
        if fits > best.fits:
            best = Naming(prefix, theirs, fits, numbered)
        if best.fits == len(wanted):
            break
    return best


def known(wanted: Mapping[str, Tensor], body: nn.Module) -> Iterator[tuple[bool, dict[str, str]]]:
    """Our names by theirs: as they are, numbered, and numbered without what has no tensors."""
    yield False, {name: name for name in wanted}
    children = dict(body.named_children())
    for places in (list(children), [n for n, m in children.items() if m.state_dict()]):
        number = {name: str(place) for place, name in enumerate(places)}
        theirs = {}
        for name in wanted:
            first, dot, rest = name.partition(".")
            theirs[number.get(first, first) + dot + rest] = name
        yield True, theirs
    yield True, {t.replace(".downsample.", ".shortcut."): ours for t, ours in theirs.items()}


def best_prefix(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> tuple[str, int]:
    """The prefix under which most wanted tensors are found with their shape, and how many.

    The first in the file if several fit equally well, which is the online network in the
    checkpoints of MoCo, BYOL and DINO.
    """
    fits: dict[str, int] = {"": 0}
    for name, tensor in given.items():
        for cut in [0, *(i + 1 for i, letter in enumerate(name) if letter == ".")]:
            found = wanted.get(name[cut:])
            if found is not None and found.shape == tensor.shape:
                fits[name[:cut]] = fits.get(name[:cut], 0) + 1
    prefix = max(fits, key=lambda p: fits[p])
    return prefix, fits[prefix]


def said(found: Naming, given: Mapping[str, Tensor]) -> str:
    """In words, whose checkpoints have these names."""
    beside = {n.removeprefix(found.prefix) for n in given if n.startswith(found.prefix)}
    last = found.prefix.rstrip(".").rpartition(".")[2]
    if found.numbered:
        return "layers numbered in order, as in lightly"
    if last in ("encoder_q", "base_encoder"):
        return "the query encoder of MoCo"
    if any(n.startswith("decoder_") for n in beside):
        return "a masked autoencoder as MAE saves it, its decoder left out"
    if last == "backbone" and found.prefix.startswith("state_dict."):
        return "the backbone of a Lightning checkpoint, as in solo-learn"
    if last in ("backbone", "student", "teacher"):
        return f"the {last} of a larger model"
    return "named as timm or torchvision do" if last in ("", "state_dict", "model") else ""
