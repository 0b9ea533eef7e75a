"""Backgrounds challenge: how much of an accuracy comes from what is behind the object.

Xiao et al., "Noise or Signal: The Role of Image Backgrounds in Object Recognition", 2020.
https://arxiv.org/abs/2006.09994: ImageNet-9, whose foregrounds stand on other backgrounds. The gap
is the accuracy on backgrounds of the same class (`mixed_same`) less that on any (`mixed_rand`).
"""

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from numpy.typing import NDArray
from pydantic import field_validator
from torch import Tensor

from masquerade.core.errors import MissingData
from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.data.sources import backgrounds as source
from masquerade.evaluate.base import Protocol, Result
from masquerade.evaluate.classnames import numbers
from masquerade.evaluate.frozen import Frozen
from masquerade.evaluate.judged import JudgedConfig

SAME, RANDOM = "mixed_same", "mixed_rand"


class Config(JudgedConfig):
    """Settings of the backgrounds challenge.

    Attributes:
        root: The folder that holds the released bg_challenge, or bg_challenge itself.
        variants: Which are measured; mixed_same and mixed_rand make the gap.
        mapping: The released `in_to_in9.json`, for a classifier of ImageNet's classes; it says
            which of the nine each of them is. Not read where training images have the nine.
    """

    root: str = "data"
    variants: tuple[str, ...] = source.VARIANTS
    mapping: str = ""

    @field_validator("variants")
    @classmethod
    def _known(cls, variants: tuple[str, ...]) -> tuple[str, ...]:
        strange = [name for name in variants if name not in source.VARIANTS]
        if strange or not variants:
            raise ValueError(f"no variant {strange}; there are: {', '.join(source.VARIANTS)}")
        return variants

    def build(self) -> "Backgrounds":
        return Backgrounds(self)


class Backgrounds(Protocol):
    """One fitted classifier on every variant; `tests` are not looked at."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(
        self, encoder: Frozen, train: ImageSet, tests: dict[str, ImageSet], seed: Seed
    ) -> Result:
        """Fit on `train`, measure on the variants.

        Raises:
            MissingData: A variant is not there.
            ValueError: The classes are neither the nine nor ImageNet's.
        """
        config = self.config
        there = source.Config(root=config.root)
        variants = {name: there.load(name, encoder.size) for name in config.variants}
        judge = config.judge(encoder, train, seed)
        places = self._nine(train, judge.head.classes)
        metrics: dict[str, float] = {}
        arrays: dict[str, NDArray[Any]] = {}
        for name, images in variants.items():
            labels = images.labels
            assert labels is not None  # its folders are classes
            told = places[judge.scores(judge.pixels(images)).argmax(dim=1)]  # -1: none of the nine
            metrics[f"{name}/top1"] = float((told == labels).double().mean())
            arrays[f"predicted/{name}"] = told.numpy()
        if {SAME, RANDOM} <= set(variants):
            metrics["bg/gap"] = metrics[f"{SAME}/top1"] - metrics[f"{RANDOM}/top1"]
        many = len(next(iter(variants.values())))
        note = f"ImageNet-9 in {config.root}, {many:,} images of each variant"
        return Result(metrics, arrays, None, (*judge.notes, note))

    def _nine(self, train: ImageSet, classes: tuple[str, ...]) -> Int[Tensor, " K"]:
        """Which of the nine each class of the classifier is, -1 = none."""
        nine = source.CLASSES
        if set(classes) <= set(nine):
            return torch.tensor([nine.index(name) for name in classes])
        if not self.config.mapping:
            raise ValueError(
                f"the classifier knows {', '.join(classes[:3])}, ..., and the variants "
                f"{', '.join(nine[:3])}, ...: fit it on ImageNet-9's own (data=backgrounds), or "
                "say with mapping=in_to_in9.json which of the nine each class of ImageNet is"
            )
        from timm.data import ImageNetInfo  # heavy: all of timm

        path = Path(self.config.mapping).expanduser()
        try:
            table = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise MissingData(f"no file {path}; it lies beside the released code") from None
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise MissingData(f"{path} is not valid JSON") from None
        place = {wnid: i for i, wnid in enumerate(sorted(ImageNetInfo().label_names()))}
        found = torch.full((len(classes),), -1)
        for wnid, own in numbers(train, classes).items():
            found[own] = int(table.get(str(place.get(wnid, -1)), -1))
        return found
