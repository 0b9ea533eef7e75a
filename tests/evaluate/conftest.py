"""Small images whose classes are colours, for the tests of protocols."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.evaluate.frozen import Frozen, Pixels


def made(
    count: int = 60,
    classes: tuple[str, ...] = ("blue", "green", "red"),
    name: str = "tinted",
    noise: int = 40,
    **targets: NDArray[Any],
) -> ImageSet:
    """8 x 8 images in a colour per class, class after class, with noise."""
    label = np.arange(count) % len(classes)
    stream = np.random.default_rng(Seed(0).fold(name).integer())
    pixels = stream.integers(0, noise, (count, 8, 8, 3))
    where = {"red": 0, "green": 1, "blue": 2}
    for i in range(count):
        pixels[i, :, :, where[classes[label[i]]]] += 60
    return ImageSet(
        name,
        pixels.astype(np.uint8),
        targets={"label": label.astype(np.int64), **targets},
        classes=classes,
    )


@pytest.fixture
def tinted() -> Callable[..., ImageSet]:
    return made


@pytest.fixture
def pixels() -> Frozen:
    """The pixels of such images as features."""
    return Frozen(Pixels(), 8, (0.5,) * 3, (0.25,) * 3)
