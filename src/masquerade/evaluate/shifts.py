"""Natural shifts: ImageNet's classes in other pictures, each variant in the layout it comes in.

ImageNet-A (https://arxiv.org/abs/1907.07174), -R (https://arxiv.org/abs/2006.16241), -Sketch
(https://arxiv.org/abs/1905.13549), -V2 (https://arxiv.org/abs/1902.10811) and Stylized-ImageNet
(https://arxiv.org/abs/1811.12231). Where a variant has some of the classes only, the classifier
chooses among these.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from masquerade.data.images import ImageSet
from masquerade.data.sources import folder
from masquerade.evaluate.classnames import subset
from masquerade.evaluate.judged import Judge


class Variant(NamedTuple):
    """How a variant is released.

    Attributes:
        classes: Class folders.
        images: Pictures in them.
        counted: Whether its folders are numbers, 0 being the first class in alphabetical order,
            instead of WordNet numbers.
    """

    classes: int
    images: int
    counted: bool = False


VARIANTS = {
    "imagenet_a": Variant(200, 7_500),
    "imagenet_r": Variant(200, 30_000),
    "imagenet_sketch": Variant(1000, 50_889),
    "imagenet_v2": Variant(1000, 10_000, counted=True),
    "stylized_imagenet": Variant(1000, 50_000),
}


class Shifted(NamedTuple):
    """A variant's pictures with what a classifier calls them.

    Attributes:
        images: The pictures.
        labels: Places among the classifier's classes, -1 = a class it does not know.
        among: The places that occur; the answer is chosen among these.
        note: How the folder differs from the released one, else nothing.
    """

    images: ImageSet
    labels: Int[Tensor, " N"]
    among: Int[Tensor, " F"]
    note: str

    @classmethod
    def load(cls, name: str, path: str, size: int, known: dict[str, int], skip: bool) -> "Shifted":
        """Read a variant.

        Args:
            name: One of `VARIANTS`.
            path: Its folder.
            size: Side of what the network sees, in pixels.
            known: The classifier's place of each WordNet number.
            skip: Whether classes that it does not know are left out.

        Raises:
            MissingData: There is no such folder, or no image in it.
            ValueError: The classes do not fit.
        """
        inner = Path(path).expanduser() / "val"  # Stylized-ImageNet has a training part, too
        source = folder.Config(path=str(inner) if inner.is_dir() else path, holdout=0)
        images = source.load("all", size)
        variant = VARIANTS[name]
        if images.labels is None:
            raise ValueError(f"{path} has no class folders, as {name} must have")
        folders = images.classes
        numbers = tuple(counted(name, f) for f in folders) if variant.counted else folders
        places = subset(name, numbers, known, skip)
        labels = places[images.labels].where(images.labels >= 0, -1)
        note = ""
        if (len(folders), len(images)) != (variant.classes, variant.images):
            note = (
                f"{name}: {len(folders):,} of {variant.classes:,} classes, {len(images):,} of "
                f"{variant.images:,} images; not comparable with published accuracies"
            )
        return cls(images, labels, places[places >= 0].unique(), note)

    def top1(self, judge: Judge, bicubic: bool) -> float:
        """How often the classifier is right when it chooses among the variant's classes."""
        found = chosen(judge, self.images, self.labels, self.among, bicubic)
        assert found is not None  # every class among them has a folder with images
        return found


def counted(name: str, text: str) -> str:
    """The WordNet number of a class that is given by its place among ImageNet's 1,000."""
    from timm.data import ImageNetInfo  # heavy: all of timm

    thousand = sorted(ImageNetInfo().label_names())
    if not text.isdigit() or int(text) >= len(thousand):
        raise ValueError(f"the class folders of {name} are called 0 to 999, got {text!r}")
    return str(thousand[int(text)])


def chosen(
    judge: Judge,
    images: ImageSet,
    labels: Int[Tensor, " N"],
    among: Int[Tensor, " F"],
    bicubic: bool,
) -> float | None:
    """The share of right answers among some classes, over the images of these; None without any."""
    rows = torch.nonzero(torch.isin(labels, among))[:, 0]
    if not len(rows):
        return None
    scores = judge.scores(judge.pixels(images.subset(rows), bicubic))[:, among]
    return float((among[scores.argmax(dim=1)] == labels[rows]).double().mean())
