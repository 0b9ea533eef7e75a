"""mCE and relative mCE: errors on ImageNet-C in units of AlexNet's.

Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", 2019, https://arxiv.org/abs/1903.12261. They mean something for the released files
at 224 pixels and 1,000 classes only.
"""

from collections.abc import Mapping, Sequence

ALEXNET = {  # mean top-1 error over the five severities, in percent
    "gaussian_noise": 88.6428,
    "shot_noise": 89.4468,
    "impulse_noise": 92.2640,
    "defocus_blur": 81.9880,
    "glass_blur": 82.6268,
    "motion_blur": 78.5948,
    "zoom_blur": 79.8360,
    "snow": 86.6816,
    "frost": 82.6572,
    "fog": 81.9324,
    "brightness": 56.4592,
    "contrast": 85.3204,
    "elastic_transform": 64.6056,
    "pixelate": 71.7840,
    "jpeg_compression": 60.6500,
}
ALEXNET_CLEAN = 43.5  # percent, as the paper's first table has it


def ce(kind: str, errors: Sequence[float]) -> float:
    """The errors (0..1) of a kind at five severities against AlexNet's: 1 = as many."""
    return sum(errors) / (5 * ALEXNET[kind] / 100)


def mce(errors: Mapping[str, Sequence[float]]) -> float:
    """The mean of `ce` over the 15 kinds.

    Raises:
        ValueError: A kind or a severity is missing.
    """
    complete(errors)
    return sum(ce(kind, errors[kind]) for kind in ALEXNET) / len(ALEXNET)


def relative_mce(errors: Mapping[str, Sequence[float]], clean: float) -> float:
    """What corruptions add to the clean error (0..1), against what they add to AlexNet's.

    Raises:
        ValueError: A kind or a severity is missing.
    """
    complete(errors)
    shares = [
        sum(error - clean for error in errors[kind]) / (5 * (alexnet - ALEXNET_CLEAN) / 100)
        for kind, alexnet in ALEXNET.items()
    ]
    return sum(shares) / len(shares)


def complete(errors: Mapping[str, Sequence[float]]) -> None:
    """Raises `ValueError` where a kind or a severity is missing."""
    missing = [kind for kind in ALEXNET if len(errors.get(kind, ())) != 5]
    if missing:
        raise ValueError(f"mCE needs 5 severities of all 15 kinds; missing: {', '.join(missing)}")
