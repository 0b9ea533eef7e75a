"""Which class a folder of another data set means: by WordNet number, as ImageNet's folders have."""

import re

import torch
from jaxtyping import Int
from torch import Tensor

from masquerade.data.images import ImageSet

WNID = re.compile(r"n\d{8}")


def numbers(train: ImageSet, classes: tuple[str, ...]) -> dict[str, int]:
    """The place among the classes of each WordNet number that training images lie under.

    Raises:
        ValueError: Some class's images do not lie in a folder named by such a number.
    """
    labels = train.labels
    found: dict[str, int] = {}
    for place in range(len(classes)):
        rows = [] if labels is None else torch.nonzero(labels == place)[:1, 0].tolist()
        parts = train.files[rows[0]].split("/")[:-1] if rows else []
        wnid = next((part for part in reversed(parts) if WNID.fullmatch(part)), None)
        if wnid is None:
            raise ValueError(
                f"the images of class {classes[place]!r} of {train.name} lie in no folder such as "
                "n01440764: only encoders measured with ImageNet's classes (data=imagenet, "
                "imagenet100 or folders of these names) can be measured on its variants"
            )
        found[wnid] = place
    return found


def subset(
    name: str, folders: tuple[str, ...], known: dict[str, int], skip: bool
) -> Int[Tensor, " F"]:
    """The class of each folder of a data set, -1 = none of those known.

    Args:
        name: What the data set is called in messages.
        folders: Names of its class folders.
        known: From `numbers`.
        skip: Whether folders of classes that are not known are left out.

    Raises:
        ValueError: No folder is known, or some are not and `skip` is false.
    """
    places = [known.get(folder, -1) for folder in folders]
    strange = [f for f, place in zip(folders, places, strict=True) if place < 0]
    if len(strange) == len(folders) or (strange and not skip):
        shown = ", ".join(strange[:3]) + (", ..." if len(strange) > 3 else "")
        way = "" if len(strange) == len(folders) else "; skip_classes=true leaves these out"
        raise ValueError(
            f"{name} has {len(folders)} class folders, of which the classifier, fitted on "
            f"{len(known)} classes, does not know {len(strange)}: {shown}{way}"
        )
    return torch.tensor(places)
