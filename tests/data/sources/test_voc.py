"""Pascal VOC in the layout of its archives: masks as drawn, boxes from 0, lists as they lie."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data import standard

from masquerade.core.errors import MissingData
from masquerade.data.sources import voc

PERSON, DOG = voc.CLASSES.index("person"), voc.CLASSES.index("dog")


def config(root: Path, **changes: object) -> voc.Config:
    return voc.Config(root=str(root)).replace(**changes)


def test_segmentation_reads_the_maps_bit_for_bit_and_images_upright(tmp_path: Path) -> None:
    standard.voc(tmp_path)
    assert config(tmp_path).splits() == ("train", "trainval", "val")
    train = config(tmp_path).load("train", 64)
    assert len(train) == 2 and train.labels is None and train.classes[PERSON] == "person"
    assert standard.shows_corners(train.pixels[0], 48, 64)
    assert train.dense is not None and train.files[0] == "VOC2012/2007_000032.jpg"
    drawn = train.dense.semantic(np.arange(2)).numpy()
    assert (drawn == standard.voc_map(48, 64, 15)).all() and PERSON + 1 == 15
    objects = train.dense.objects(1)
    assert objects.labels.tolist() == [PERSON] and objects.boxes.tolist() == [[10, 8, 40, 30]]
    assert objects.masks is not None
    assert (objects.masks[0].numpy() == (standard.voc_map(48, 64, 1) == 1)).all()


def test_detection_reads_boxes_from_0_and_marks_difficult_ones(tmp_path: Path) -> None:
    standard.voc(tmp_path, "2007")
    found = config(tmp_path, task="detection", year="2007")
    assert found.splits() == ("train", "trainval", "val", "test")
    test = found.load("test", 64)
    assert len(test) == 3 and test.dense is not None and not test.dense.has_semantic
    objects = test.dense.objects(1)
    assert objects.boxes.tolist() == [[10, 8, 40, 30], [0, 0, 20, 20]]
    assert objects.labels.tolist() == [PERSON, DOG] and objects.crowd.tolist() == [False, True]
    assert objects.masks is None and test.dense.objects(0).labels.tolist() == [PERSON]


def test_both_years_are_joined_where_a_split_is_there(tmp_path: Path) -> None:
    found = config(tmp_path, task="detection", year="2007+2012")
    standard.voc(tmp_path, "2007")
    with pytest.raises(MissingData, match="VOC2007 and VOC2012"):
        found.splits()
    standard.voc(tmp_path, "2012")
    assert found.splits() == ("train", "trainval", "val", "test")
    assert [len(found.load(split, 64)) for split in ("trainval", "test")] == [6, 3]


def test_shrunk_images_take_their_boxes_and_masks_along(tmp_path: Path) -> None:
    standard.voc(tmp_path)
    small = config(tmp_path, store=32).load("train", 16)
    assert small.dense is not None and small.extents([0]).tolist() == [[24, 32]]
    objects = small.dense.objects(0)
    assert objects.boxes.tolist() == [[5, 4, 20, 15]] and objects.masks is not None
    inside = objects.masks[0].nonzero()
    assert inside.amin(0).tolist() == [4, 5] and inside.amax(0).tolist() == [14, 19]
    detected = config(tmp_path, store=32, task="detection").load("train", 16)
    assert detected.dense is not None
    assert detected.dense.objects(0).boxes.tolist() == [[5, 4, 20, 15]]


@pytest.mark.parametrize("name", ["train_aug.txt", "trainaug.txt"])
def test_train_aug_has_its_own_list_and_maps(tmp_path: Path, name: str) -> None:
    base = standard.voc(tmp_path)
    (base / "ImageSets" / "Segmentation" / name).write_text("2007_000039\n")
    drawn = np.zeros((48, 64), np.uint8)
    drawn[3:9, 5:20] = 12
    (base / "SegmentationClassAug").mkdir()
    Image.fromarray(drawn).save(base / "SegmentationClassAug" / "2007_000039.png")  # grey
    images = config(tmp_path).load("train_aug", 64)
    assert images.dense is not None and not images.dense.has_masks
    assert (images.dense.semantic(np.arange(1)).numpy()[0] == drawn).all()


def test_a_missing_set_or_file_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"VOCtrainval_11-May-2012.*data\.root=.*data=scenes"):
        config(tmp_path).splits()
    base = standard.voc(tmp_path)
    (base / "SegmentationObject" / "2007_000033.png").unlink()
    with pytest.raises(MissingData, match=r"1 files that .*train\.txt.*2007_000033\.png"):
        config(tmp_path).load("train", 64)
    with pytest.raises(ValueError, match="voc has no split 'test'"):
        config(tmp_path).load("test", 64)


def test_masks_that_do_not_fit_are_named(tmp_path: Path) -> None:
    base = standard.voc(tmp_path)
    file = base / "SegmentationClass" / "2007_000032.png"
    standard.palette_png(file, standard.voc_map(48, 72, 15))
    with pytest.raises(ValueError, match=r"SegmentationObject.*is 64 x 48, but .* is 72 x 48"):
        config(tmp_path).load("train", 64)
    standard.palette_png(base / "SegmentationObject" / file.name, standard.voc_map(48, 72, 1))
    with pytest.raises(ValueError, match=r"annotated at 72 x 48 .*stored at 64 x 48"):
        config(tmp_path).load("train", 64)
    standard.palette_png(file, standard.voc_map(48, 64, 77))
    standard.palette_png(base / "SegmentationObject" / file.name, standard.voc_map(48, 64, 1))
    with pytest.raises(ValueError, match=r"class 77 in its mask"):
        config(tmp_path).load("train", 64)
    Image.fromarray(standard.corners(48, 64)).save(file)
    with pytest.raises(ValueError, match=r"one number of 8 bits for each pixel.*mode is RGB"):
        config(tmp_path).load("train", 64)


def test_odd_annotations_are_answered(tmp_path: Path) -> None:
    base = standard.voc(tmp_path)
    detection = config(tmp_path, task="detection")
    file = base / "Annotations" / "2007_000032.xml"
    whole = file.read_text()
    file.write_text(whole.replace("person", "unicorn"))
    with pytest.raises(ValueError, match=r"000032\.xml names 'unicorn'"):
        detection.load("train", 64)
    file.write_text(whole[:-20])
    with pytest.raises(ValueError, match=r"000032\.xml is not an annotation of Pascal VOC"):
        detection.load("train", 64)
    file.write_text(whole.replace("<xmax>40<", "<xmax>10<"))
    found = detection.load("train", 64)
    assert found.dense is not None and len(found.dense.objects(0).labels) == 0
    assert "boxes without area are left out: object 1 of 2007_000032" in found.notes[-1]
