"""Tiny-ImageNet, from a small copy with the file names and formats of its archive."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.standard import corners

from masquerade.core.errors import BadImages, MissingData
from masquerade.data.sources import tiny_imagenet

WNIDS = ("n02123045", "n01443537", "n01629819", "n02012849")  # not sorted, as in the archive
WORDS = """n01443537\tgoldfish, Carassius auratus
n01629819\tcrane
n02012849\tcrane, wading bird
n99999999\tnot in the set
"""
NAMES = ("goldfish", "crane (n01629819)", "crane (n02012849)", "n02123045")


def tiny(root: Path, train: int = 3, val: int = 8) -> Path:
    """The archive unpacked; image 0 of each class and val_1 are `corners`, image 1 is grey."""
    noise = np.random.Generator(np.random.PCG64(0))
    base = root / "tiny-imagenet-200"
    for wnid in WNIDS:
        folder = base / "train" / wnid / "images"
        folder.mkdir(parents=True)
        for i in range(train):
            pixels = noise.integers(0, 256, (64, 64) if i == 1 else (64, 64, 3), dtype=np.uint8)
            image = Image.fromarray(pixels if i else corners(64))
            image.save(folder / f"{wnid}_{i}.JPEG", quality=95)
        boxes = "".join(f"{wnid}_{i}.JPEG\t0\t10\t63\t58\n" for i in range(train))
        (folder.parent / f"{wnid}_boxes.txt").write_text(boxes)
    for part in ("val", "test"):
        folder = base / part / "images"
        folder.mkdir(parents=True)
        for i in range(val):
            pixels = noise.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            image = Image.fromarray(corners(64) if i == 1 else pixels)
            image.save(folder / f"{part}_{i}.JPEG", quality=95)
    lines = (f"val_{i}.JPEG\t{WNIDS[i % len(WNIDS)]}\t0\t32\t44\t62\n" for i in range(val))
    (base / "val" / "val_annotations.txt").write_text("".join(lines))
    (base / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (base / "words.txt").write_text(WORDS)
    return base


def test_training_images_are_upright_rgb_with_sorted_numbers_as_labels(tmp_path: Path) -> None:
    tiny(tmp_path)
    train = tiny_imagenet.Config(root=str(tmp_path)).load("train", 64)
    assert len(train) == 12 and train.classes == NAMES
    assert train.targets["label"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert train.files[3] == "n01629819/images/n01629819_0.JPEG"
    assert train.pixels.shape == (12, 64, 64, 3)
    for row in (0, 3, 6, 9):
        off = np.abs(train.pixels[row].astype(int) - corners(64))
        for y in (slice(2, 14), slice(50, 62)):  # JPEG, away from edges
            for x in (slice(2, 14), slice(50, 62)):
                assert off[y, x].max() < 30
    grey = train.pixels[1]
    assert (grey == grey[..., :1]).all()


def test_the_classes_of_val_are_those_of_its_annotations(tmp_path: Path) -> None:
    tiny(tmp_path, val=12)
    val = tiny_imagenet.Config(root=str(tmp_path)).load("val", 64)
    assert val.files[:4] == ("val_0.JPEG", "val_1.JPEG", "val_10.JPEG", "val_11.JPEG")
    numbers = [int(f.removeprefix("val_").removesuffix(".JPEG")) for f in val.files]
    place = {wnid: i for i, wnid in enumerate(sorted(WNIDS))}
    assert val.targets["label"].tolist() == [place[WNIDS[n % 4]] for n in numbers]
    assert val.classes == NAMES
    assert np.abs(val.pixels[1, 2:14, 2:14].astype(int) - (255, 0, 0)).max() < 30
    assert tiny_imagenet.Config().splits() == ("train", "val")


@pytest.mark.parametrize("place", ["", "tiny_imagenet"])
def test_the_archive_is_found_where_it_was_unpacked(tmp_path: Path, place: str) -> None:
    base = tiny(tmp_path / place)
    assert len(tiny_imagenet.Config(root=str(tmp_path)).load("val", 64)) == 8
    assert len(tiny_imagenet.Config(root=str(base)).load("val", 64)) == 8


def test_a_second_load_is_mapped_from_the_cache(tmp_path: Path, own_cache: Path) -> None:
    tiny(tmp_path)
    config = tiny_imagenet.Config(root=str(tmp_path))
    first = config.load("train", 64)
    entries = sorted(own_cache.rglob("*"))
    again = config.load("train", 128)
    assert entries and sorted(own_cache.rglob("*")) == entries
    assert isinstance(again.pixels, np.memmap) and (again.pixels == first.pixels).all()


def test_a_missing_set_says_where_to_get_it_and_where_to_put_it(tmp_path: Path) -> None:
    said = r"tiny-imagenet-200.*https://cs231n\.stanford\.edu.*put it there.*data\.root=.*toybox"
    with pytest.raises(MissingData, match=said):
        tiny_imagenet.Config(root=str(tmp_path)).load("train", 64)


def test_missing_parts_are_named(tmp_path: Path) -> None:
    base = tiny(tmp_path)
    config = tiny_imagenet.Config(root=str(tmp_path))
    (base / "train" / "n02123045").rename(base / "elsewhere")
    with pytest.raises(MissingData, match=r"lacks 1 of the 4 classes of wnids\.txt: n02123045"):
        config.load("train", 64)
    notes = base / "val" / "val_annotations.txt"
    notes.write_text("".join(notes.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(MissingData, match=r"no class of wnids\.txt for 1 of 8 images, val_0\.JPEG"):
        config.load("val", 64)
    notes.unlink()
    with pytest.raises(MissingData, match=r"no .*val_annotations\.txt, which tells the classes"):
        config.load("val", 64)


def test_broken_files_are_skipped_and_named_or_refused(tmp_path: Path) -> None:
    base = tiny(tmp_path)
    (base / "val" / "images" / "val_2.JPEG").write_bytes(b"\xff\xd8\xff")
    val = tiny_imagenet.Config(root=str(tmp_path)).load("val", 64)
    assert len(val) == 7 and "1 of 8 files" in val.notes[0] and "val_2.JPEG" in val.notes[0]
    assert val.files[2] == "val_3.JPEG" and val.targets["label"][2] == 2
    with pytest.raises(BadImages, match="cannot be used"):
        tiny_imagenet.Config(root=str(tmp_path), strict=True).load("val", 64)


def test_its_constants_are_those_of_the_paper_file() -> None:
    assert tiny_imagenet.Config().normalise() == ((0.480, 0.448, 0.398), (0.277, 0.269, 0.282))
