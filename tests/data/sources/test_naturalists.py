"""iNaturalist, Flowers102 and ImageNet-9, from tiny copies in their layouts."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from tests.data import standard

from masquerade.core.errors import MissingData
from masquerade.data.sources import backgrounds, flowers102, inaturalist
from masquerade.data.sources.base import SourceConfig


def test_species_are_labels_and_so_is_every_level_above(tmp_path: Path) -> None:
    standard.inaturalist(tmp_path / "inaturalist")
    config = inaturalist.Config(root=str(tmp_path))
    assert config.splits() == ("train", "val")
    train = config.load("train", 64)
    assert train.targets["label"].tolist() == [0, 0, 1, 1, 2, 2]
    assert train.classes[0] == "Lumbricus terrestris"
    assert standard.shows_corners(train.pixels[0], 48, 64)
    phylum = config.replace(level="phylum").load("val", 64)
    assert phylum.classes == ("Annelida", "Arthropoda")
    assert phylum.targets["label"].tolist() == [0, 0, 0, 0, 1, 1]


def test_the_mini_set_is_found_as_torchvision_names_it(tmp_path: Path) -> None:
    standard.inaturalist(tmp_path, ("2021_train_mini", "2021_valid"))
    assert inaturalist.Config(root=str(tmp_path)).splits() == ("train_mini", "val")


def test_taxa_of_one_name_are_told_apart() -> None:
    names = inaturalist.named((("Animalia", "X", "Y"), ("Plantae", "Z", "Y"), ("Plantae", "Z")))
    assert names == ("Y (Animalia X)", "Y (Plantae Z)", "Z")


def test_flowers_are_split_and_labelled_by_the_authors_files(tmp_path: Path) -> None:
    standard.flowers102(tmp_path)
    config = flowers102.Config(root=str(tmp_path))
    train, val, test = (config.load(split, 64) for split in config.splits())
    assert train.targets["label"].tolist() == [5, 0] and val.targets["label"].tolist() == [101, 76]
    assert test.targets["label"].tolist() == [3, 4] and len(train.classes) == 102
    assert train.classes[0] == "pink primrose" and train.classes[101] == "blackberry lily"
    assert train.files == ("image_00006.jpg", "image_00001.jpg")
    assert standard.shows_corners(train.pixels[0], 48, 64)


def test_flowers_that_are_missing_or_out_of_range_are_answered(tmp_path: Path) -> None:
    base = standard.flowers102(tmp_path)
    config = flowers102.Config(root=str(tmp_path))
    (base / "jpg" / "image_00004.jpg").unlink()
    with pytest.raises(MissingData, match=r"lacks 1 of the 2 images of test, image_00004\.jpg"):
        config.load("test", 64)
    savemat(base / "setid.mat", {"trnid": np.array([[9]])})
    with pytest.raises(ValueError, match=r"asks for image 9, but imagelabels\.mat knows 6"):
        config.load("train", 64)
    with pytest.raises(ValueError, match=r"setid\.mat has no row 'valid' of numbers"):
        config.load("val", 64)
    savemat(base / "imagelabels.mat", {"labels": np.array([[0, 1, 2, 3, 4, 5]])})
    with pytest.raises(ValueError, match="has class 0 to 5; it must be 1 to 102"):
        config.load("train", 64)
    (base / "setid.mat").write_bytes(b"\0" * 200)
    with pytest.raises(ValueError, match=r"setid\.mat.*Get it again"):
        config.load("train", 64)


def test_the_variants_of_imagenet_9_are_splits(tmp_path: Path) -> None:
    standard.backgrounds(tmp_path)
    config = backgrounds.Config(root=str(tmp_path))
    assert config.splits() == ("train", "original", "mixed_rand")
    for split in config.splits():
        found = config.load(split, 64)
        assert found.targets["label"].tolist() == list(range(9))
        assert found.classes[2] == "wheeled vehicle"
        assert standard.shows_corners(found.pixels[0], 64, 64)


def test_missing_classes_of_imagenet_9_are_named(tmp_path: Path) -> None:
    base = standard.backgrounds(tmp_path)
    (base / "mixed_rand" / "val" / "07_primate").rename(base / "mixed_rand" / "val" / "09_ape")
    with pytest.raises(MissingData, match="missing: primate, unknown: 09_ape"):
        backgrounds.Config(root=str(tmp_path)).load("mixed_rand", 64)


@pytest.mark.parametrize("module", [inaturalist, flowers102, backgrounds])
def test_a_missing_set_says_where_to_get_it_and_what_to_use_instead(module: object) -> None:
    config: SourceConfig = module.Config(root="/nowhere")  # type: ignore[attr-defined]  # modules of the family
    with pytest.raises(MissingData, match=r"https://.*data\.root=.*data=toybox"):
        config.load(config.splits()[0], 96)
