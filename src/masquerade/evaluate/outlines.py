"""Images with boxes: what a detector learns from them, and what its answers are compared with."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from masquerade.data.augment.precision import peak
from masquerade.data.images import ImageSet
from masquerade.evaluate import boxes


def example(
    images: ImageSet, row: int, flip: bool, classes: int, masks: bool
) -> tuple[Float[Tensor, "C H W"], dict[str, Tensor]]:
    """An image in [0, 1] and what torchvision's detectors learn from it; crowds are left out.

    Args:
        images: With outlined objects.
        row: Which of them.
        flip: Whether left and right are swapped.
        classes: How many are told apart; 1 makes all objects one class.
        masks: Whether masks are learned, too.

    Raises:
        ValueError: A box without area, or a class that does not exist.
    """
    assert images.dense is not None
    exact, pixels = images.dense.objects(row), picture(images, row)
    kept = ~exact.crowd
    corners, labels = exact.boxes[kept], exact.labels[kept]
    if (corners[:, 2:] <= corners[:, :2]).any():
        raise ValueError(f"{images.files[row]} of {images.name} has a box without area")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(images.classes):
        raise ValueError(
            f"{images.files[row]} of {images.name} has an object of class {int(labels.max())}; "
            f"there are {len(images.classes)} classes, from 0"
        )
    height, width = pixels.shape[1:]
    target = {"boxes": corners, "labels": labels.clamp(max=classes - 1) + 1}
    if masks and exact.masks is not None:
        target["masks"] = exact.masks[kept, :height, :width].to(torch.uint8)
    if flip:
        pixels = pixels.flip(2)
        left, top, right, bottom = corners.unbind(1)
        target["boxes"] = torch.stack([width - right, top, width - left, bottom], 1)
        if "masks" in target:
            target["masks"] = target["masks"].flip(2)
    return pixels, target


def picture(images: ImageSet, row: int) -> Float[Tensor, "C H W"]:
    """An image in [0, 1], cut to what it really covers."""
    (height, width), read = images.extents([row])[0].tolist(), images.read([row])
    return read[0, :, :height, :width].float() / peak(read)


def exact(images: ImageSet, row: int, classes: int, masks: bool) -> boxes.Truth:
    """The objects of an image."""
    assert images.dense is not None
    objects = images.dense.objects(row)
    height, width = images.extents([row])[0].tolist()
    packed = None
    if masks and objects.masks is not None:
        packed = boxes.packed(objects.masks[:, :height, :width].numpy())
    return boxes.Truth(
        objects.boxes.double().numpy(),
        objects.labels.clamp(max=classes - 1).numpy(),
        objects.crowd.numpy(),
        packed,
        (height, width),
    )


def answered(said: dict[str, Tensor], masks: bool) -> boxes.Found:
    """What torchvision's detector says, labels from 0, masks where they are surer than half."""
    packed = boxes.packed((said["masks"][:, 0] >= 0.5).cpu().numpy()) if masks else None
    labels: Int[Tensor, " n"] = said["labels"] - 1
    return boxes.Found(
        said["boxes"].double().cpu().numpy(),
        labels.cpu().numpy().astype(np.int64),
        said["scores"].double().cpu().numpy(),
        packed,
    )
