"""CLEVR with exported masks, and the multi-object set as its file of records is released."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data import standard

from masquerade.core.errors import MissingData
from masquerade.data.sources import clevr, clevr_with_masks


def test_scenes_are_read_upright_with_the_masks_of_their_objects(tmp_path: Path) -> None:
    standard.clevr(tmp_path)
    train = clevr.Config(root=str(tmp_path)).load("train", 64)
    assert len(train) == 2 and (train.pixels[0] == standard.corners(48, 64)).all()
    assert train.dense is not None and train.classes == ("cube", "cylinder", "sphere")
    objects = train.dense.objects(0)
    assert objects.labels.tolist() == [0, 2]
    assert objects.boxes.tolist() == [[5, 10, 25, 20], [20, 15, 40, 30]]
    assert (train.dense.instances(np.arange(2)).numpy()[0] == standard.clevr_map(0)).all()


def test_an_object_of_which_nothing_shows_is_left_out_and_named(tmp_path: Path) -> None:
    standard.clevr(tmp_path)
    train = clevr.Config(root=str(tmp_path)).load("train", 64)
    assert train.dense is not None and train.dense.objects(1).labels.tolist() == [1]
    assert "without area are left out: object 2 of CLEVR_train_000001" in train.notes[-1]


def test_without_masks_there_are_images_and_a_note(tmp_path: Path) -> None:
    standard.clevr(tmp_path, masks=False)
    train = clevr.Config(root=str(tmp_path)).load("train", 64)
    assert len(train) == 2 and train.dense is None
    assert "there are no masks in" in train.notes[-1]


def test_masks_and_scenes_that_do_not_fit_are_named(tmp_path: Path) -> None:
    base = standard.clevr(tmp_path)
    config = clevr.Config(root=str(tmp_path))
    file = base / "masks" / "train" / "CLEVR_train_000000.png"
    numbers = standard.clevr_map(0)
    Image.fromarray(numbers * 2).save(file)
    with pytest.raises(ValueError, match="has object 4, but its scene has only 2 objects"):
        config.load("train", 64)
    Image.fromarray(numbers[:30]).save(file)
    with pytest.raises(ValueError, match=r"annotated at 64 x 30.*stored at 64 x 48"):
        config.load("train", 64)
    file.unlink()
    with pytest.raises(MissingData, match=r"1 are missing there, CLEVR_train_000000\.png"):
        config.load("train", 64)
    (base / "scenes" / "CLEVR_val_scenes.json").write_text("{}")
    with pytest.raises(ValueError, match="does not describe CLEVR's scenes"):
        config.load("val", 64)


def test_records_give_images_and_masks_without_the_background(tmp_path: Path) -> None:
    standard.clevr_with_masks(tmp_path)
    config = clevr_with_masks.Config(root=str(tmp_path), count=2, count_test=1)
    train, test = config.load("train", 64), config.load("test", 64)
    assert (len(train), len(test)) == (2, 1)
    assert (test.pixels[0] == standard.corners(240, 320)).all() and train.pixels.max() == 80
    assert test.dense is not None
    objects = test.dense.objects(0)
    assert objects.labels.tolist() == [2, 0]  # shapes 3 and 1
    assert objects.boxes.tolist() == [[50, 100, 110, 140], [200, 20, 260, 60]]
    drawn = np.zeros((240, 320), np.uint8)
    drawn[100:140, 50:110], drawn[20:60, 200:260] = 1, 2
    assert (test.targets["mask"][0] == drawn).all()
    assert (test.dense.instances(np.arange(1)).numpy()[0] == drawn).all()


def test_records_that_are_cut_or_too_few_are_answered(tmp_path: Path) -> None:
    file = standard.clevr_with_masks(tmp_path, count=2)
    config = clevr_with_masks.Config(root=str(tmp_path), count=5, count_test=1)
    with pytest.raises(ValueError, match=r"holds 2 scenes, 6 are asked for\. Lower data\.count"):
        config.load("train", 64)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(ValueError, match="is damaged"):
        config.load("test", 64)
    file.write_bytes(gzip.decompress(whole)[:1000])
    with pytest.raises(ValueError, match="is cut off or not a file of records"):
        config.load("test", 64)
    message = standard.wire(1, b"")
    file.write_bytes(len(message).to_bytes(8, "little") + b"\0" * 4 + message + b"\0" * 4)
    with pytest.raises(ValueError, match=r"scene 0 of .* is not one of CLEVR with masks: 'image'"):
        config.load("test", 64)


def test_a_missing_set_says_where_to_get_it() -> None:
    with pytest.raises(MissingData, match=r"CLEVR_v1\.0\.zip.*data\.root=.*data=scenes"):
        clevr.Config(root="/nowhere").load("train", 64)
    with pytest.raises(MissingData, match=r"gsutil cp .*data\.root=.*data=toybox"):
        clevr_with_masks.Config(root="/nowhere").load("test", 64)
