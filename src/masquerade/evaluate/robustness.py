"""Robustness: pictures of another kind, and pixels changed on purpose.

Natural shifts of ImageNet's classes (`shifts`), and white-box attacks on a probe or a fine-tuned
network with growing budgets. One budget says nothing: undefended networks fall to none at 4/255,
so the answer is a curve. Beside it stand random noise of the same size, which must cost next to
nothing, and an attack on the encoder that sees no label (section 7.3 of papers/aemim.md).
"""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from masquerade.attacks.budget import Norm
from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.evaluate.base import Protocol, Result
from masquerade.evaluate.classifier import aligned
from masquerade.evaluate.classnames import numbers
from masquerade.evaluate.frozen import Frozen
from masquerade.evaluate.judged import Judge, JudgedConfig, spaced
from masquerade.evaluate.shifts import VARIANTS, Shifted, chosen
from masquerade.evaluate.whitebox import Curve, Siege, Strike, Target

LEVEL = 255.0  # L-infinity budgets are given in 8-bit levels


class Config(JudgedConfig):
    """Settings of the robustness.

    Attributes:
        linf: L-infinity budgets, in levels of 1/255.
        l2: L2 budgets: the length of an image's whole change, where white is 1.
        strikes: Attacks on the classifier; an image is robust if all fail. They need a head with
            gradients (`linear`, `finetune`); without any, `head=knn` will do.
        blind: Whether the encoder is attacked without labels, too: 10 steps of PGD away from its
            own features.
        autoattack: Whether AutoAttack follows on what withstands the strikes; needs the extra
            `robust`, and minutes.
        images: At most so many images of each test set are attacked, evenly spaced; 0 takes all.
        shifts: Folders of variants of ImageNet by name: `imagenet_a`, `imagenet_r`,
            `imagenet_sketch`, `imagenet_v2`, `stylized_imagenet`.
        interpolation: How the pictures of variants are resized: `bicubic` as MAE measured them;
            the test images they stand beside, likewise.
        skip_classes: Whether images of classes that the classifier does not know are left out;
            else they are refused.
    """

    linf: tuple[float, ...] = (0.5, 1, 2, 4, 8)
    l2: tuple[float, ...] = ()
    strikes: tuple[Strike, ...] = (Strike(measure="ce"), Strike(measure="margin"))
    blind: bool = True
    autoattack: bool = False
    images: int = Field(1000, ge=0)
    shifts: dict[str, str] = Field(default_factory=dict)
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    skip_classes: bool = False

    @field_validator("linf", "l2")
    @classmethod
    def _rising(cls, budgets: tuple[float, ...]) -> tuple[float, ...]:
        if list(budgets) != sorted(set(budgets)) or (budgets and budgets[0] <= 0):
            raise ValueError(f"budgets rise from above 0, got {list(budgets)}")
        return budgets

    @model_validator(mode="after")
    def _known(self) -> "Config":
        strange = [name for name in self.shifts if name not in VARIANTS]
        if strange:
            raise ValueError(
                f"no variant is called {strange[0]!r}; there are: {', '.join(VARIANTS)}"
            )
        return self

    def build(self) -> "Robustness":
        return Robustness(self)


class Robustness(Protocol):
    """What is left of one fitted classifier's accuracy."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(
        self, encoder: Frozen, train: ImageSet, tests: dict[str, ImageSet], seed: Seed
    ) -> Result:
        """Fit on `train`; read the variants; attack images of each of `tests`."""
        judge = self.config.judge(encoder, train, seed)
        metrics: dict[str, float] = {}
        arrays: dict[str, NDArray[Any]] = {}
        notes = [*judge.notes]
        self._shifted(judge, train, tests, metrics, notes)
        for name, images in tests.items():
            labels = aligned(images, judge.head.classes)
            rows = spaced(torch.nonzero(labels >= 0)[:, 0], self.config.images)
            if not len(rows):
                notes.append(f"{name} ({images.name}) has no labels, so nothing was measured on it")
                continue
            part, device = images.subset(rows), judge.encoder.device
            answers = torch.split(labels[rows], judge.encoder.batch)
            shown = zip(judge.pixels(part), answers, strict=True)
            batches = [(x.to(device), y.to(device)) for x, y in shown]
            for norm, budgets in self._budgets():
                where = seed.fold("robustness", name)
                curve = self._siege().curve(Target(judge), batches, norm, budgets, where)
                metrics |= told(name, curve)
                arrays |= kept(name, curve)
            heads = [m for key, m in metrics.items() if attacked(name, key)]
            if heads:
                metrics[f"{name}/top1"] = sum(heads) / len(heads)
            if len(rows) < int((labels >= 0).sum()):
                notes.append(f"{len(rows):,} of {len(images):,} images of {name} were attacked")
        return Result(metrics, arrays, None, (*notes, *self._notes()))

    def _shifted(
        self,
        judge: Judge,
        train: ImageSet,
        tests: dict[str, ImageSet],
        metrics: dict[str, float],
        notes: list[str],
    ) -> None:
        if not self.config.shifts:
            return
        known = numbers(train, judge.head.classes)
        bicubic = self.config.interpolation == "bicubic"
        for name, path in self.config.shifts.items():
            skip = self.config.skip_classes
            found = Shifted.load(name, path, judge.encoder.size, known, skip)
            metrics[f"{name}/top1"] = found.top1(judge, bicubic)
            if len(found.among) < len(judge.head.classes):
                for test, images in tests.items():
                    labels = aligned(images, judge.head.classes)
                    same = chosen(judge, images, labels, found.among, bicubic)
                    if same is not None:
                        metrics[f"{name}/{test}_same_classes_top1"] = same
            if found.note:
                notes.append(found.note)

    def _budgets(self) -> list[tuple[Norm, tuple[float, ...]]]:
        config = self.config
        found: list[tuple[Norm, tuple[float, ...]]] = []
        if config.linf:
            found.append(("linf", tuple(level / LEVEL for level in config.linf)))
        if config.l2:
            found.append(("l2", config.l2))
        return found

    def _siege(self) -> Siege:
        config = self.config
        return Siege(config.strikes, config.blind, config.autoattack)

    def _notes(self) -> tuple[str, ...]:
        config = self.config
        if not config.linf and not config.l2:
            return ()
        names = [
            f"{s.attack.kind} ({s.measure}{f', {s.restarts} restarts' if s.restarts > 1 else ''})"
            for s in config.strikes
        ]
        names += ["AutoAttack"] if config.autoattack else []
        with_labels = f"attacked with {' and '.join(names)}" if names else "no attack with labels"
        return (
            f"{with_labels}; L-infinity budgets in levels of 1/255, L2 ones where white is 1. "
            "top1 is the mean over all budgets",
        )


def unit(curve: Curve) -> float:
    """What a budget is multiplied by where it is named."""
    return LEVEL if curve.norm == "linf" else 1.0


def told(name: str, curve: Curve) -> dict[str, float]:
    """`NAME/clean_top1`, and for each budget `NAME/linf_2_top1` and so on; no nan."""
    found = {f"{name}/clean_top1": curve.clean}
    columns = {"": curve.attacked, "noise_": curve.noise, "blind_": curve.blind}
    for before, values in columns.items():
        for epsilon, value in zip(curve.budgets, values, strict=True):
            if value == value:  # not nan
                found[f"{name}/{before}{curve.norm}_{epsilon * unit(curve):g}_top1"] = value
    median = float(curve.smallest.quantile(0.5, interpolation="lower"))
    if curve.attacked[0] == curve.attacked[0] and median < float("inf"):
        found[f"{name}/median_{curve.norm}_budget"] = median * unit(curve)
    return found


def attacked(name: str, key: str) -> bool:
    """Whether a metric is an accuracy after attacks with labels."""
    return key.startswith((f"{name}/linf_", f"{name}/l2_")) and key.endswith("_top1")


def kept(name: str, curve: Curve) -> dict[str, NDArray[Any]]:
    """For a plot: `curve/NORM/NAME` [n, 4], budget, attacked, noise, blind; and each image's.

    The first row is budget 0. `smallest/NORM/NAME` [N] is the smallest budget that fooled.
    """
    rows = [(0.0, curve.clean, curve.clean, curve.clean)]
    rows += zip(curve.budgets, curve.attacked, curve.noise, curve.blind, strict=True)
    place = f"{curve.norm}/{name}"
    return {f"curve/{place}": np.array(rows), f"smallest/{place}": curve.smallest.numpy()}
