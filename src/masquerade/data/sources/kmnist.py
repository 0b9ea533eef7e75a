"""kmnist: 60,000 + 10,000 characters of cursive Japanese, grey, 28 x 28.

Clanuwat et al., "Deep Learning for Classical Japanese Literature", 2018.
https://arxiv.org/abs/1812.01718. Its four idx files are named and laid out as MNIST's.
"""

from typing import ClassVar

from masquerade.data.sources import mnist
from masquerade.data.sources.base import Constants


class Config(mnist.Config):
    """Settings of Kuzushiji-MNIST.

    Attributes:
        root: A folder with one called kmnist or (torchvision) KMNIST/raw that holds the four
            files, or that folder itself.
    """

    places: ClassVar[tuple[str, ...]] = (
        "kmnist",
        "KMNIST/raw",  # torchvision
        "KMNIST",
        "",  # last: MNIST's files have the same names
    )
    advice: ClassVar[str] = (
        "Get the four *-ubyte.gz files from https://github.com/rois-codh/kmnist into a folder "
        "called kmnist."
    )
    classes: ClassVar[tuple[str, ...]] = (
        *("o", "ki", "su", "tsu", "na"),
        *("ha", "ma", "ya", "re", "wo"),
    )

    def normalise(self) -> Constants:
        """Mean and std of the training images, as commonly used."""
        return (0.1918,), (0.3483,)
