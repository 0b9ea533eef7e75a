"""COCO in the layout of its archives; masks as its own library makes them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from tests.data import standard

from masquerade.core.errors import MissingData
from masquerade.data.sources import coco

NOTES = "annotations/instances_val2017.json"


def changed(base: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((base / NOTES).read_text())
    change(content)
    (base / NOTES).write_text(json.dumps(content))


def test_images_boxes_and_classes_are_read(tmp_path: Path) -> None:
    standard.coco(tmp_path)
    train = coco.Config(root=str(tmp_path)).load("train", 64)
    assert len(train) == 3 and train.labels is None
    assert train.classes == ("person", "toothbrush")  # in the order of their numbers, 1 and 90
    assert standard.shows_corners(train.pixels[0], 48, 64)
    assert train.dense is not None and len(train.dense.objects(2).labels) == 0
    objects = train.dense.objects(1)
    assert objects.boxes.tolist() == [[5, 6, 25, 16], [0, 0, 3, 8]]
    assert objects.labels.tolist() == [1, 0] and objects.crowd.tolist() == [False, True]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # theirs
def test_masks_are_those_of_the_official_library(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = standard.coco(tmp_path)
    val = coco.Config(root=str(tmp_path)).load("val", 64)
    official = COCO(str(base / NOTES))
    capsys.readouterr()
    assert val.dense is not None
    for i, key in enumerate((139, 140)):
        masks = val.dense.objects(i).masks
        assert masks is not None
        notes = official.loadAnns(official.getAnnIds(imgIds=key))
        assert [int(m.sum()) for m in masks] == [200, 24][: len(masks)]
        for mask, note in zip(masks, notes, strict=True):
            assert (mask.numpy() == official.annToMask(note).astype(bool)).all()


def test_a_crowd_is_ignored_in_the_semantic_map(tmp_path: Path) -> None:
    standard.coco(tmp_path)
    val = coco.Config(root=str(tmp_path)).load("val", 64)
    assert val.dense is not None
    expected = np.zeros((48, 64), np.uint8)
    expected[6:16, 5:25], expected[:8, :3] = 2, 255
    assert (val.dense.semantic(np.array([1])).numpy()[0] == expected).all()


def test_a_set_without_outlines_has_boxes_only(tmp_path: Path) -> None:
    base = standard.coco(tmp_path)
    changed(base, lambda c: [n.pop("segmentation") for n in c["annotations"]])
    val = coco.Config(root=str(tmp_path)).load("val", 64)
    assert val.dense is not None and not val.dense.has_masks
    assert val.dense.objects(1).masks is None
    with pytest.raises(ValueError, match="boxes only; masks are needed"):
        val.dense.semantic(np.arange(1))


def test_a_missing_set_or_folder_says_where_to_get_it(tmp_path: Path) -> None:
    config = coco.Config(root=str(tmp_path))
    with pytest.raises(MissingData, match=r"https://cocodataset.*data\.root=.*data=toybox"):
        config.load("val", 64)
    base = standard.coco(tmp_path)
    (base / "val2017").rename(base / "val")
    with pytest.raises(MissingData, match=r"no folder .*val2017 with the images.*val2017\.zip"):
        config.load("val", 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annotations"][0].update(category_id=7), "category 7, which it does not list"),
        (lambda c: c["annotations"][0].update(image_id=7), "image 7, which it does not list"),
        (lambda c: c.pop("categories"), "not an instances file of COCO.*categories"),
        (lambda c: c["annotations"][0].pop("bbox"), r"0139\.jpg has no box \[x, y, w, h\]"),
        (lambda c: c["annotations"][0].update(segmentation=[[1, 2, 3, 4]]), "object 1000 of image"),
        (lambda c: c["annotations"][0].update(segmentation=[]), "no outline of at least 3 points"),
        (lambda c: c["images"][1].update(height=50), r"mask of size \[48, 64\]"),
        (lambda c: c["images"][0].update(height=80), "annotated at 64 x 80 pixels"),
    ],
)
def test_odd_annotations_are_answered(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    changed(standard.coco(tmp_path), change)
    with pytest.raises(ValueError, match=message):
        coco.Config(root=str(tmp_path)).load("val", 64)


def test_boxes_without_area_are_left_out_and_named(tmp_path: Path) -> None:
    base = standard.coco(tmp_path)
    changed(base, lambda c: c["annotations"][0].update(bbox=[5, 6, 0, 10]))
    val = coco.Config(root=str(tmp_path)).load("val", 64)
    assert val.dense is not None and len(val.dense.objects(0).boxes) == 0
    assert "without area are left out: object 1 of 000000000139.jpg" in val.notes[-1]


def test_a_changed_annotation_is_read_again(tmp_path: Path) -> None:
    base = standard.coco(tmp_path)
    config = coco.Config(root=str(tmp_path))
    config.load("val", 64)
    changed(base, lambda c: c["annotations"][0].update(bbox=[1, 2, 3, 4]))
    again = config.load("val", 64)
    assert again.dense is not None
    assert again.dense.objects(0).boxes.tolist() == [[1, 2, 4, 6]]
