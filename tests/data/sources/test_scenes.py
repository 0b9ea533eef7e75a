"""Scenes: bit for bit what the reference composer made, with what it knows of the objects."""

import pickle
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
import torch

from masquerade.data.dense import Objects
from masquerade.data.images import ImageSet
from masquerade.data.sources import scenes

ORACLE = np.load(Path(__file__).parents[2] / "oracles" / "toybox_scenes.npz")


def made(preset: str, split: str, count: int = 3) -> ImageSet:
    config = scenes.Config(preset=preset, pixels=48, count=count, count_test=count, draw=3)
    return config.load(split, 32)


def rows(images: ImageSet) -> list[list[int]]:
    """(image, label, box) of every object, in order."""
    assert images.dense is not None
    found = []
    for i in range(len(images)):
        objects = images.dense.objects(i)
        for label, box in zip(objects.labels.tolist(), objects.boxes.tolist(), strict=True):
            found.append([i, label, *(int(v) for v in box)])
    return found


@pytest.mark.parametrize("preset", ["things16", "stickers10"])
def test_images_masks_and_boxes_have_the_bits_of_the_reference(preset: str) -> None:
    for split in ("train", "test", "seen"):
        images = made(preset, split)
        flat = np.array(rows(images), np.int64)
        parts = images.pixels.tobytes(), images.targets["mask"].tobytes(), flat.tobytes()
        expected = ORACLE[f"{preset}/{split}"].tobytes()
        assert blake2b(b"".join(parts), digest_size=16).digest() == expected, split


def test_a_scene_has_two_to_six_objects_each_with_its_mask_in_its_box() -> None:
    images = made("things16", "train")
    assert images.dense is not None and (images.pixels == ORACLE["images"]).all()
    for i in range(3):
        objects = images.dense.objects(i)
        assert objects.masks is not None and 2 <= len(objects.labels) <= 6
        assert not objects.crowd.any()
        for k, mask in enumerate(objects.masks):
            assert (mask.numpy() == (ORACLE["masks"][i] == k + 1)).all()
    assert (images.dense.instances(np.arange(3)).numpy() == ORACLE["masks"]).all()


def test_the_semantic_map_is_one_above_the_class_of_each_object() -> None:
    images = made("things16", "train")
    assert images.dense is not None
    expected = np.zeros((3, 48, 48), np.uint8)
    value = dict.fromkeys(range(3), 0)
    for i, label, *_ in ORACLE["objects"]:
        value[int(i)] += 1
        expected[i][ORACLE["masks"][i] == value[int(i)]] = label + 1
    assert (images.dense.semantic(np.arange(3)).numpy() == expected).all()


def test_subsets_take_their_objects_along() -> None:
    images = made("things16", "train")
    some = images.subset([2, 0])
    assert images.dense is not None and some.dense is not None and len(some.dense) == 2
    for new, old in enumerate([2, 0]):
        assert same(some.dense.objects(new), images.dense.objects(old))


def test_another_process_gets_the_place_of_the_objects_not_a_copy() -> None:
    images = made("things16", "train")
    assert images.dense is not None
    there = pickle.loads(pickle.dumps(images.dense))
    files = []
    for dense in (there, images.dense):
        bits = dense._arrays["bits"]
        assert isinstance(bits, np.memmap)
        files.append(str(bits.filename))
    assert files[0] == files[1]
    assert same(there.objects(1), images.dense.objects(1))


def same(one: Objects, other: Objects) -> bool:
    """Whether two are equal, masks included."""
    assert one.masks is not None and other.masks is not None
    return all(
        torch.equal(a, b)
        for a, b in (
            (one.boxes, other.boxes),
            (one.labels, other.labels),
            (one.crowd, other.crowd),
            (one.masks, other.masks),
        )
    )


def test_more_scenes_start_with_the_same_ones() -> None:
    many = made("things16", "train", count=4)
    assert (many.pixels[:3] == ORACLE["images"]).all()
    assert "rendered objects on real photo tiles, not photographs" in many.notes[0]
