"""imagenet100: about 127,000 photographs of 100 classes of ImageNet, the list of CMC.

Tian, Krishnan, Isola, "Contrastive Multiview Coding", 2020. https://arxiv.org/abs/1906.05849.
ADIOS and solo-learn use the same 100. Read from ImageNet's own folders: all 1,000 may lie there.
"""

from functools import cache
from importlib.resources import files
from pathlib import Path

from masquerade.core.errors import MissingData
from masquerade.data.sources import imagenet

PLACES = ("imagenet100", "imagenet-100", *imagenet.PLACES)
LIST = "imagenet100.txt"


class Config(imagenet.Config):
    """Settings of ImageNet-100.

    Attributes:
        store: Longest side in the cache, in pixels; 0 chooses twice the training size, at least
            96. Smaller images stay as they are. A split takes 0.38 MB for each pixel of the side
            times the side (at 256: 25 GB).
    """

    def places(self) -> tuple[str, ...]:
        return PLACES

    def wnids(self, folder: Path) -> tuple[str, ...]:
        """The 100 classes.

        Raises:
            MissingData: Folders of some of them are not there.
        """
        there = imagenet.classes(folder)
        missing = sorted(set(hundred()) - set(there))
        if missing:
            named = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            raise MissingData(
                f"{folder} lacks {len(missing)} of the 100 classes of ImageNet-100: {named}. "
                f"Copy these folders there from ImageNet. {imagenet.ADVICE}"
            )
        return hundred()


@cache
def hundred() -> tuple[str, ...]:
    """The numbers of the 100 classes, sorted, as labels count them."""
    text = files("masquerade.data.sources").joinpath(LIST).read_text("ascii")
    return tuple(sorted(line for line in text.split("\n") if line and not line.startswith("#")))
