"""Boxes and masks go where their pixels go."""

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from masquerade.core.seed import Seed
from masquerade.data.augment.plain import plain
from masquerade.data.augment.square import Window, centred, jittered, square
from masquerade.data.dense import Objects
from masquerade.data.images import ImageSet
from masquerade.data.sources import scenes

MEAN, STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@cache
def full() -> ImageSet:
    return scenes.Config(pixels=64, count=4, draw=1).load("train", 32)


def some() -> ImageSet:
    """The same as if only a part of each canvas were covered."""
    images = full()
    assert images.dense is not None
    extent = np.array([[64, 64], [48, 64], [64, 40], [33, 57]], np.int32)
    dense = images.dense.__class__(images.dense._arrays, (64, 64), extent)
    return ImageSet("some", images.pixels, extent=extent, dense=dense, classes=images.classes)


def whole(flip: bool) -> Window:
    return Window(torch.zeros(4, 2), torch.full((4, 2), 64.0), torch.full((4,), flip))


def objects(images: ImageSet, i: int) -> Objects:
    assert images.dense is not None
    return images.dense.objects(i)


def test_the_centred_window_shows_what_plain_shows() -> None:
    images = some()
    pixels, extents = images.read(range(4)), images.extents(range(4))
    for size, crop in ((24, 1.0), (32, 0.875), (20, 0.6)):
        made = square(images, range(4), centred(extents, size, crop), size, MEAN, STD)
        expected = plain(pixels, extents, size, MEAN, STD, crop)
        assert torch.allclose(made.images, expected, atol=2e-5)


def test_masks_and_boxes_follow_the_pixels() -> None:
    """Images that are one object's mask, drawn as pixels, go through the same window."""
    images = some()
    seed = Seed(5)
    tries = torch.rand(4, 10, 2, generator=seed.fold("tries").generator())
    place = torch.rand(4, 2, generator=seed.fold("place").generator())
    flip = torch.tensor([False, True, True, False])
    window = jittered(images.extents(range(4)), tries, place, flip, (0.3, 1.0), (0.75, 4 / 3))
    for i in range(4):
        one = objects(images, i)
        assert one.masks is not None
        lonely = Window(*(part[i : i + 1] for part in window))
        made = square(images, [i], lonely, 48, MEAN, STD).objects[0]
        assert made.masks is not None
        drawn = [drawing(images, i, mask, lonely) for mask in one.masks]
        pictures = [d for d, box in zip(drawn, inside(one.boxes, lonely, 48), strict=True) if box]
        assert len(pictures) == len(made.masks) > 0
        for picture, mask in zip(pictures, made.masks, strict=True):
            assert (((picture > 0.5) == mask) | ((picture - 0.5).abs() < 0.5)).all()
            assert ((picture > 0.5) == mask).float().mean() > 0.97


def drawing(images: ImageSet, i: int, mask: Tensor, window: Window) -> Tensor:
    pixels = (mask.numpy()[None, :, :, None] * np.array([255, 255, 255], np.uint8)).astype(np.uint8)
    assert images.extent is not None
    one = ImageSet("mask", pixels, extent=images.extent[i : i + 1], dense=images.subset([i]).dense)
    return square(one, [0], window, 48, MEAN, STD).images[0, 0]


def inside(boxes: Tensor, window: Window, size: int) -> list[bool]:
    top, left = window.start[0].tolist()
    height, width = window.length[0].tolist()
    found = []
    for x0, y0, x1, y1 in boxes.tolist():
        wide = (min(x1, left + width) - max(x0, left)) * size / width
        high = (min(y1, top + height) - max(y0, top)) * size / height
        found.append(wide >= 1 and high >= 1)
    return found


def test_a_flip_mirrors_boxes_as_torchvision_does() -> None:
    images = full()
    made = square(images, range(4), whole(flip=True), 64, MEAN, STD)
    for i in range(4):
        one = objects(images, i)
        told = tv_tensors.BoundingBoxes(one.boxes, format="XYXY", canvas_size=(64, 64))
        assert torch.equal(made.objects[i].boxes, v2.functional.horizontal_flip(told).data)
        masks = made.objects[i].masks
        assert one.masks is not None and masks is not None
        assert torch.equal(masks, one.masks.flip(-1))
    assert torch.equal(made.images, images.read(range(4)).flip(-1) / 255)


def test_the_identity_changes_nothing() -> None:
    images = full()
    assert images.dense is not None
    made = square(images, range(4), whole(flip=False), 64, MEAN, STD)
    assert torch.equal(made.objects[1].boxes, objects(images, 1).boxes)
    assert made.semantic is not None
    assert torch.equal(made.semantic, images.dense.semantic(np.arange(4)))


def test_beyond_the_image_nothing_counts() -> None:
    images = some()
    window = Window(torch.full((4, 2), -16.0), torch.full((4, 2), 96.0), torch.zeros(4).bool())
    made = square(images, range(4), window, 96, MEAN, STD)
    assert made.semantic is not None
    for i, (height, width) in enumerate(images.extents(range(4)).tolist()):
        outside = torch.ones(96, 96, dtype=torch.bool)
        outside[16 : 16 + height, 16 : 16 + width] = False
        assert (made.semantic[i][outside] == 255).all()
        assert (made.semantic[i][~outside] != 255).all()
        assert (made.images[i][:, outside] == 0).all() and made.images[i].isfinite().all()
