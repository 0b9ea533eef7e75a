"""Sequential with a budget for each image, from the sizes of its colour clusters.

The future work that the Sequential paper names (https://arxiv.org/abs/2212.08277); no paper has
figures for it. Everything else is as in `adversarial_masking.sequential`.
"""

from typing import Any

from masquerade.jobs.settings import Pretrain
from masquerade.maskers import sequential, sequential_dynamic
from masquerade.recipes import adversarial_masking
from masquerade.recipes.base import Scale


def dynamic(scale: Scale = "small") -> Pretrain:
    """Sequential, every mask as large as one of the image's own colour clusters."""
    return _with_budgets("dynamic budget", scale)


def superpixels(scale: Scale = "small") -> Pretrain:
    """The same with connected superpixels in the place of colour clusters."""
    return _with_budgets("dynamic budget, superpixels", scale, place=2.0)


def _with_budgets(title: str, scale: Scale, **changes: Any) -> Pretrain:
    plain = adversarial_masking.sequential(scale)
    (masks,) = plain.maskers
    assert isinstance(masks, sequential.Config)
    told = {n: v for n, v in masks.tree().items() if n != "kind"}
    clusters = masks.masks + 2
    own = sequential_dynamic.Config(**told, clusters=clusters, **changes)
    return plain.replace(title=title, maskers=(own,))
