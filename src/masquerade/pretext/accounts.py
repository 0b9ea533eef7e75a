"""Accounts: what maskers pay for their masks, and what the learned ones look like, to be logged."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from masquerade.engine.task import Progress
from masquerade.maskers.base import Masker
from masquerade.pretext import diagnosis

Place = tuple[int, int]  # which masker, which view


def priced(
    maskers: Sequence[Masker],
    hidden: Mapping[Place, Tensor],
    views: tuple[Tensor, ...],
    progress: Progress,
    per_mask: bool,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """What all maskers pay, in float32, and its parts by the names under which they are logged.

    Args:
        maskers: In order.
        hidden: The masks of each masker and masked view.
        views: The clean images of each view.
        progress: Where training stands.
        per_mask: Whether each of a masker's masks pays, as with `combine=sum`.
    """
    total = torch.zeros((), device=views[0].device)
    parts: dict[str, Tensor] = {}
    with torch.autocast(views[0].device.type, enabled=False):
        for place, masker in enumerate(maskers):
            seen = [view for at, view in hidden if at == place]
            masks = [hidden[place, view] for view in seen]
            scale = masks[0].shape[1] if per_mask else 1
            total = total + scale * masker.price(masks, [views[v] for v in seen], progress)
            for name, paid in masker.paid.items():
                key = f"masker/price/{name}"
                parts[key] = parts.get(key, torch.zeros_like(paid)) + scale * paid
    return total, parts


def described(
    maskers: Sequence[Masker], learned: Mapping[Place, Tensor], closely: bool
) -> dict[str, Tensor]:
    """Numbers of all learned masks: those of several maskers side by side, views as images."""
    places = list(dict.fromkeys(place for place, _ in learned))
    views = list(dict.fromkeys(view for _, view in learned))
    masks = torch.cat([torch.cat([learned[p, v] for p in places], 1) for v in views])
    exclusive = len(places) == 1 and maskers[places[0]].exclusive
    found = diagnosis.described(masks, exclusive)
    return found | diagnosis.detailed(masks, exclusive) if closely else found
