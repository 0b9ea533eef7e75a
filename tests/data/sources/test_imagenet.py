"""ImageNet and its 100-class parts, from tiny folders in the layout of ILSVRC 2012."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.standard import corners

from masquerade.core.errors import BadImages, MissingData, WrongPath
from masquerade.data.sources import imagenet, imagenet100, imagenet100s
from masquerade.data.sources.base import SourceConfig

CRANES = ("n02012849", "n03126707")  # a bird and a machine


def ilsvrc(root: Path, wnids: tuple[str, ...], train: int = 2, val: int = 1) -> Path:
    """Class folders of JPEGs named as in the archives; image 0 of each class is `corners`."""
    for split, count in (("train", train), ("val", val)):
        for wnid in wnids:
            folder = root / split / wnid
            folder.mkdir(parents=True)
            for i in range(count):
                name = f"{wnid}_{i}" if split == "train" else f"ILSVRC2012_val_{i:08d}"
                pixels = corners(64) if i == 0 else np.full((48, 64, 3), 7 * i, np.uint8)
                Image.fromarray(pixels).save(folder / f"{name}.JPEG", quality=95)
    return root


def test_the_class_list_has_100_different_numbers_of_imagenet() -> None:
    hundred = imagenet100.hundred()
    assert len(set(hundred)) == 100 and list(hundred) == sorted(hundred)
    assert all(imagenet.WNID.fullmatch(w) for w in hundred)
    assert {"n02869837", "n01749939", "n02090622"} <= set(hundred)
    names = imagenet.named(hundred)
    assert len(set(names)) == 100 and not set(names) & set(hundred)
    assert names[hundred.index("n02869837")] == "bonnet"


def test_imagenet_is_read_upright_with_sorted_numbers_as_labels(tmp_path: Path) -> None:
    ilsvrc(tmp_path / "imagenet", ("n02123045", "n01440764"))
    config = imagenet.Config(root=str(tmp_path))
    train, val = (config.load(split, 64) for split in config.splits())
    assert (len(train), len(val)) == (4, 2)
    assert train.classes == ("tench", "tabby")
    assert train.targets["label"].tolist() == [0, 0, 1, 1]
    assert train.files[2] == "n02123045/n02123045_0.JPEG"
    off = np.abs(train.pixels[0, :64, :64].astype(int) - corners(64))
    assert off[2:14, 2:14].max() < 30  # JPEG, away from edges
    assert train.extents([1]).tolist() == [[48, 64]]


def test_classes_that_share_a_word_are_told_apart(tmp_path: Path) -> None:
    ilsvrc(tmp_path, CRANES)
    found = imagenet.Config(root=str(tmp_path)).load("val", 64)
    assert found.classes == ("crane (n02012849)", "crane (n03126707)")


@pytest.mark.parametrize("place", ["imagenet", "imagenet100", ""])
def test_the_hundred_are_found_among_all_classes_or_alone(tmp_path: Path, place: str) -> None:
    others = CRANES if place == "imagenet" else ()
    ilsvrc(tmp_path / place, (*imagenet100.hundred(), *others), train=1)
    config = imagenet100.Config(root=str(tmp_path))
    train = config.load("train", 48)
    assert len(train) == 100 and len(train.classes) == 100
    assert train.targets["label"].tolist() == list(range(100))
    assert train.files[0].startswith(imagenet100.hundred()[0])
    small = imagenet100s.Config(root=str(tmp_path)).load("val", 96)
    assert small.classes == train.classes and small.name == "imagenet100s val"


def test_missing_classes_are_counted_and_named(tmp_path: Path) -> None:
    ilsvrc(tmp_path, imagenet100.hundred()[3:])
    with pytest.raises(MissingData, match=r"lacks 3 of the 100 classes.*n01558993"):
        imagenet100.Config(root=str(tmp_path)).load("train", 96)


def test_the_flat_validation_set_is_answered_with_how_to_sort_it(tmp_path: Path) -> None:
    ilsvrc(tmp_path, imagenet100.hundred(), val=0)
    for wnid in (tmp_path / "val").iterdir():
        wnid.rmdir()
    Image.fromarray(corners(64)).save(tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG")
    for config in (imagenet.Config(root=str(tmp_path)), imagenet100.Config(root=str(tmp_path))):
        assert len(config.load("train", 96)) == 200
        with pytest.raises(MissingData, match=r"no class folders.*devkit"):
            config.load("val", 96)


@pytest.mark.parametrize("module", [imagenet, imagenet100, imagenet100s])
def test_a_missing_set_says_where_to_get_it_and_what_to_use_instead(module: object) -> None:
    config: SourceConfig = module.Config(root="/nowhere")  # type: ignore[attr-defined]  # modules of the family
    with pytest.raises(MissingData, match=r"https://image-net.*data\.root=.*data=toybox"):
        config.load("train", 96)


def test_the_crops_of_the_96_pixel_set_are_those_of_the_code_and_the_usual_one() -> None:
    assert round(imagenet100s.SIDE / imagenet100s.OFFICIAL) == 256
    assert round(imagenet100s.SIDE / imagenet100s.PLAIN) == round(96 * 256 / 224)


def test_broken_files_are_skipped_and_named_or_refused(tmp_path: Path) -> None:
    ilsvrc(tmp_path, ("n01440764", "n02123045"))
    (tmp_path / "train" / "n02123045" / "n02123045_0.JPEG").write_bytes(b"\xff\xd8\xff")
    found = imagenet.Config(root=str(tmp_path)).load("train", 64)
    assert found.targets["label"].tolist() == [0, 0, 1]
    assert "1 of 4 files" in found.notes[0] and "n02123045_0.JPEG" in found.notes[0]
    with pytest.raises(BadImages, match="cannot be used"):
        imagenet.Config(root=str(tmp_path), strict=True).load("train", 64)


def test_a_list_of_training_images_is_read_as_simclr_wrote_it(tmp_path: Path) -> None:
    ilsvrc(tmp_path, ("n01440764", "n02123045"), train=3)
    listed = tmp_path / "1percent.txt"
    listed.write_text("n02123045_2.JPEG\nn01440764/n01440764_0.JPEG\nn01440764_1.JPEG\n")
    config = imagenet.Config(root=str(tmp_path), listed=str(listed))
    found = config.load("train", 64)
    assert [f.rpartition("/")[2] for f in found.files] == [
        *("n01440764_0.JPEG", "n01440764_1.JPEG", "n02123045_2.JPEG")
    ]
    assert found.targets["label"].tolist() == [0, 0, 1] and "1percent" in found.name
    assert len(config.load("val", 64)) == 2


def test_a_list_that_names_something_else_is_refused(tmp_path: Path) -> None:
    ilsvrc(tmp_path, ("n01440764", "n02123045"))
    listed = tmp_path / "list.txt"
    config = imagenet.Config(root=str(tmp_path), listed=str(listed))
    with pytest.raises(WrongPath, match=r"no list .*1percent\.txt"):
        config.load("train", 64)
    listed.write_text("cat.jpg\n")
    with pytest.raises(ValueError, match=r"it names 'cat\.jpg', which is none"):
        config.load("train", 64)
    listed.write_text("\n")
    with pytest.raises(ValueError, match="it names nothing"):
        config.load("train", 64)
    listed.write_text("n01440764_0.JPEG\nn01440764_7.JPEG\n")
    with pytest.raises(MissingData, match=r"1 of the 2 images .* n01440764_7\.JPEG among them"):
        config.load("train", 64)
