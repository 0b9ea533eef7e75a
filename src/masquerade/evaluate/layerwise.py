"""Layer-wise learning rates: the deeper a layer lies, the slower it forgets.

Clark et al., "ELECTRA", 2020, https://arxiv.org/abs/2003.10555, as MAE's fine-tuning has it: a
layer's rate is multiplied by decay ** (layers above it).
"""

import re
from typing import Any

from torch import nn

from masquerade.engine.task import Group

ABOVE = 99999.0  # how timm marks what belongs to no block, such as the last norm


def groups(body: nn.Module, head: nn.Module, decay: float) -> list[Group]:
    """The parameters of a timm model and of a classifier on it, in groups of one rate.

    Patch embedding (or stem), class token and positions are layer 0, the blocks 1 and so on; what
    comes after the last block, and the classifier, keeps the whole rate. What the model itself
    exempts from weight decay (class token, positions, tables of relative positions) is exempted;
    1-D tensors are the optimizer's business.

    Args:
        body: The model; with `decay` below 1 one of timm's, which know their layers.
        head: The classifier.
        decay: 1 gives one rate to all.

    Raises:
        ValueError: The model does not say what its layers are.
    """
    named = dict(body.named_parameters())
    place = dict.fromkeys(named, 0) if decay == 1 else layers(body, list(named))
    last = max(place.values(), default=0) if decay == 1 else place.pop("")
    spared = exempt(body)
    found: list[Group] = []
    for layer in range(last + 1):
        for kept in (True, False):
            params = [p for n, p in named.items() if place[n] == layer and (n in spared) != kept]
            if params:
                name = f"layer {layer}{'' if kept else ', no decay'}"
                found.append(Group(name, params, lr_scale=decay ** (last - layer), decay=kept))
    return [*found, Group("classifier", list(head.parameters()))]


def layers(body: nn.Module, names: list[str]) -> dict[str, int]:
    """The layer of each parameter, counted from 0, and of what lies above all blocks as ""."""
    matcher: Any = getattr(body, "group_matcher", None)  # torchvision's models have none
    if matcher is None:
        raise ValueError(
            f"{type(body).__name__} does not say what its layers are; layer_decay below 1 needs a "
            "model of timm. Set layer_decay=1"
        )
    table = matcher(coarse=False)
    stem, blocks = listed(table["stem"]), listed(table["blocks"])
    keys: dict[str, tuple[float, ...]] = {}
    for name in names:
        if any(re.match(pattern, name) for pattern, _ in stem):
            keys[name] = ()
            continue
        for pattern, suffix in blocks:
            match = re.match(pattern, name)
            if match:
                numbers = [float(g) for g in match.groups() if g is not None]
                keys[name] = (*numbers, *(float(s) for s in suffix or ()))
                break
        else:
            keys[name] = (ABOVE,)
    inside = sorted({key for key in keys.values() if key and ABOVE not in key})
    order = {key: number for number, key in enumerate(inside, start=1)}
    last = len(inside) + 1
    return {n: order.get(key, last) if key else 0 for n, key in keys.items()} | {"": last}


def listed(spec: Any) -> list[tuple[str, Any]]:
    """A matcher's pattern or patterns, each with what is added to the numbers it finds."""
    return [(spec, None)] if isinstance(spec, str) else [(s[0], s[1]) for s in spec]


def exempt(body: nn.Module) -> set[str]:
    """Names of parameters that a model wants no weight decay on."""
    told: Any = getattr(body, "no_weight_decay", None)
    return set(told()) if told else set()
