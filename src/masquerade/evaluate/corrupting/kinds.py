"""The kinds of corruption of ImageNet-C and CIFAR-C, and how strong each is at five severities.

Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", 2019, https://arxiv.org/abs/1903.12261; the constants are those of its code,
https://github.com/hendrycks/robustness, one set for photographs of 224 px, one for images of 32.

Note:
    The published files went through JPEG (quality 85) and drew other random numbers: what is
    corrupted here is not comparable with figures on them. Frost is another texture here.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.evaluate.corrupting import blur, colour, digital, noise, spatter, weather
from masquerade.evaluate.corrupting.draws import Draws, Number

Constants = Literal["imagenet", "cifar"]
SEVERITIES = (1, 2, 3, 4, 5)
SNOW_224 = (
    (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
    (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
    (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
    (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
)
SNOW_32 = (
    (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
    (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
    (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
    (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
    (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
)
SPATTER_224 = (
    (0.65, 0.3, 4, 0.69, 0.6, False),
    (0.65, 0.3, 3, 0.68, 0.6, False),
    (0.65, 0.3, 2, 0.68, 0.5, False),
    (0.65, 0.3, 1, 0.65, 1.5, True),
    (0.67, 0.4, 1, 0.65, 1.5, True),
)
SPATTER_32 = (
    (0.62, 0.1, 0.7, 0.7, 0.5, False),
    (0.65, 0.1, 0.8, 0.7, 0.5, False),
    (0.65, 0.3, 1, 0.69, 0.5, False),
    (0.65, 0.1, 0.7, 0.69, 0.6, True),
    (0.65, 0.1, 0.5, 0.68, 0.6, True),
)


class Kind(NamedTuple):
    """One kind of corruption.

    Attributes:
        apply: Corrupts images in [0, 1]; what leaves that range is cut.
        imagenet: Its constants for photographs of 224 px, one per severity.
        cifar: For images of 32 px.
    """

    apply: Callable[[Tensor, Any, Draws], Tensor]
    imagenet: tuple[Any, ...]
    cifar: tuple[Any, ...]


def zooms(*ends: tuple[Number, Number]) -> tuple[Any, ...]:
    """The factors from 1 on in steps; rounding lets the end itself in where it did officially."""
    return tuple(np.arange(1, end, step) for end, step in ends)


def scaled(unit: int, *shares: tuple[Number, Number, Number]) -> tuple[tuple[Number, ...], ...]:
    """Constants given as shares of a side."""
    return tuple(tuple(unit * share for share in three) for three in shares)


KINDS = {
    "gaussian_noise": Kind(
        noise.gaussian_noise, (0.08, 0.12, 0.18, 0.26, 0.38), (0.04, 0.06, 0.08, 0.09, 0.10)
    ),
    "shot_noise": Kind(noise.shot_noise, (60, 25, 12, 5, 3), (500, 250, 100, 75, 50)),
    "impulse_noise": Kind(
        noise.impulse_noise, (0.03, 0.06, 0.09, 0.17, 0.27), (0.01, 0.02, 0.03, 0.05, 0.07)
    ),
    "defocus_blur": Kind(
        blur.defocus_blur,
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    ),
    "glass_blur": Kind(
        blur.glass_blur,
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    ),
    "motion_blur": Kind(
        blur.motion_blur,
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    ),
    "zoom_blur": Kind(
        blur.zoom_blur,
        zooms((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        zooms((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    ),
    "snow": Kind(weather.snow, SNOW_224, SNOW_32),
    "frost_like": Kind(
        weather.frost_like,
        ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    ),
    "fog": Kind(
        weather.fog,
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    ),
    "brightness": Kind(weather.brightness, (0.1, 0.2, 0.3, 0.4, 0.5), (0.05, 0.1, 0.15, 0.2, 0.3)),
    "contrast": Kind(colour.contrast, (0.4, 0.3, 0.2, 0.1, 0.05), (0.75, 0.5, 0.4, 0.3, 0.15)),
    "elastic_transform": Kind(
        digital.elastic_transform,
        scaled(
            244,
            (2, 0.7, 0.1),
            (2, 0.08, 0.2),
            (0.05, 0.01, 0.02),
            (0.07, 0.01, 0.02),
            (0.12, 0.01, 0.02),
        ),
        scaled(
            32,
            (0, 0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ),
    ),
    "pixelate": Kind(digital.pixelate, (0.6, 0.5, 0.4, 0.3, 0.25), (0.95, 0.9, 0.85, 0.75, 0.65)),
    "jpeg_compression": Kind(digital.jpeg_compression, (25, 18, 15, 10, 7), (80, 65, 58, 50, 40)),
    "speckle_noise": Kind(
        noise.speckle_noise, (0.15, 0.2, 0.35, 0.45, 0.6), (0.06, 0.1, 0.12, 0.16, 0.2)
    ),
    "gaussian_blur": Kind(blur.gaussian_blur, (1, 2, 3, 4, 6), (0.4, 0.6, 0.7, 0.8, 1)),
    "spatter": Kind(spatter.spatter, SPATTER_224, SPATTER_32),
    "saturate": Kind(
        colour.saturate,
        ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
        ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
    ),
}
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")  # never part of a mean
USUAL = tuple(name for name in KINDS if name not in EXTRA)
COLOURFUL = ("saturate",)  # kinds that one channel cannot have


def corrupted(
    images: UInt8[Tensor, "B C H W"],
    kind: str,
    severity: int,
    constants: Constants,
    seed: Seed,
    first: int = 0,
) -> UInt8[Tensor, "B C H W"]:
    """The images after one kind of corruption.

    Args:
        images: Grey or colour, on the CPU, at the size a network will see them.
        kind: One of `KINDS`.
        severity: 1 to 5.
        constants: Whose strengths: `imagenet` for photographs of about 224 px, `cifar` for images
            of about 32. Lengths among them are pixels and do not follow the images' size.
        seed: Of the draws.
        first: These are images `first` and so on of a set; each draws by its number, so that the
            batch it comes in changes nothing.

    Raises:
        ValueError: No such kind, severity or channels.
    """
    if kind not in KINDS:
        raise ValueError(f"no corruption is called {kind!r}; there are: {', '.join(KINDS)}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity must be 1 to 5, got {severity}")
    channels = (3,) if kind in COLOURFUL else (1, 3)
    if images.shape[1] not in channels:
        raise ValueError(
            f"{kind} takes images of {' or '.join(map(str, channels))} channels, "
            f"got {images.shape[1]}"
        )
    found = KINDS[kind]
    strength = (found.imagenet if constants == "imagenet" else found.cifar)[severity - 1]
    draws = Draws(seed.fold(kind, severity), first, len(images))
    x: Float[Tensor, "B C H W"] = images.double() / 255
    changed = found.apply(x, strength, draws).clamp(0, 1)
    # A 255th that rounding left just below its level would lose the whole level.
    return (changed * 255 + 1e-9).floor().byte()
