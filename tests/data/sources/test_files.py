"""Folders, lists and arrays: what their arrangement means."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.data.hostile import scene, turned_by

from masquerade.core.errors import BadImages, MissingData
from masquerade.data.sources import arrays, folder
from masquerade.data.sources import list as list_file
from masquerade.data.sources.base import SourceConfig


def put(root: Path, *names: str) -> Path:
    for i, name in enumerate(names):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        scene(32, 32, seed=hash_free(name) + i).save(file)
    return root


def hash_free(name: str) -> int:
    return sum(map(ord, name)) * 1000


def test_a_flat_folder_has_one_split_and_no_labels(tmp_path: Path) -> None:
    config = folder.Config(path=str(put(tmp_path / "x", "b.png", "a.png", "c.jpg")))
    assert config.splits() == ("all",)
    images = config.load("all", 32)
    assert images.files == ("a.png", "b.png", "c.jpg") and images.labels is None
    assert images.notes == ()


def test_class_folders_are_labels_and_a_share_is_held_out(tmp_path: Path) -> None:
    names = [f"{c}/{i}.png" for c in ("dog", "cat") for i in range(10)]
    config = folder.Config(path=str(put(tmp_path / "x", *names)))
    assert config.splits() == ("train", "test", "all")
    train, test, whole = (config.load(s, 32) for s in config.splits())
    assert whole.classes == ("cat", "dog") and len(whole) == 20
    assert sorted(train.files + test.files) == sorted(whole.files)
    assert test.targets["label"].tolist() == [0, 0, 1, 1]
    assert all(test.classes[test.targets["label"][i]] in f for i, f in enumerate(test.files))
    assert "4 of its 20 images" in test.notes[0] and whole.notes == ()
    assert config.replace(holdout=0).splits() == ("all",)
    assert config.replace(labels="none").splits() == ("all",)


def test_the_held_out_part_depends_on_content_only_and_copies_stay_together(
    tmp_path: Path,
) -> None:
    names = [f"{c}/{i}.png" for c in "ab" for i in range(10)]
    root = put(tmp_path / "x", *names)
    first = folder.Config(path=str(root)).load("test", 32)
    digests = set(first.digests())
    for file in first.files:
        copy = root / file.replace(".png", "_copy.png")
        copy.write_bytes((root / file).read_bytes())
    again = folder.Config(path=str(root)).load("test", 32)
    train = folder.Config(path=str(root)).load("train", 32)
    assert set(again.digests()) >= digests
    assert not set(again.digests()) & set(train.digests())


def test_train_and_val_folders_are_the_splits(tmp_path: Path) -> None:
    names = [f"{p}/{c}/{i}.png" for p in ("train", "val") for c in "ab" for i in range(3)]
    config = folder.Config(path=str(put(tmp_path / "x", *names, "test/0.png", "test/1.png")))
    assert config.splits() == ("train", "val", "test", "all")
    assert config.load("val", 32).targets["label"].tolist() == [0, 0, 0, 1, 1, 1]
    assert config.load("test", 32).labels is None
    assert len(config.load("all", 32)) == 14


def test_nested_folders_below_a_class_belong_to_it(tmp_path: Path) -> None:
    root = put(tmp_path / "x", "a/1/p.png", "a/2/p.png", "b/q.png", "b/r.png")
    assert folder.Config(path=str(root)).load("all", 32).targets["label"].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "names",
    [("a/1.png", "a/2.png"), ("a/1.png", "b/1.png"), ("a/1.png", "a/2.png", "b/1.png", "c.png")],
)
def test_folders_that_are_no_classes_give_no_labels(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert folder.Config(path=str(put(tmp_path / "x", *names))).splits() == ("all",)


def test_mixed_sizes_keep_their_shape_on_a_canvas_of_repeated_edges(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    scene(48, 96).save(tmp_path / "x" / "a.png")
    scene(400, 200).save(tmp_path / "x" / "b.png")
    images = folder.Config(path=str(tmp_path / "x")).load("all", 32)
    assert images.shape == (96, 96)
    assert images.extents([0, 1]).tolist() == [[48, 96], [96, 48]]
    assert (images.pixels[0, :48] == np.asarray(scene(48, 96))).all()
    assert (images.pixels[0, 48:] == images.pixels[0, 47:48]).all()
    assert (images.pixels[1, :, 48:] == images.pixels[1, :, 47:48]).all()
    assert folder.Config(path=str(tmp_path / "x"), store=400).load("all", 32).shape == (400, 200)
    assert folder.Config(path=str(tmp_path / "x")).load("all", 100).shape == (200, 100)


def test_rotated_photos_are_upright_beside_others(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    scene(40, 60).save(tmp_path / "x" / "a.png", exif=turned_by(6))
    images = folder.Config(path=str(tmp_path / "x")).load("all", 32)
    assert images.extents([0]).tolist() == [[60, 40]]


def test_keep_keeps_channels_and_bits_and_skips_who_does_not_agree(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    deep = np.arange(12 * 16 * 5, dtype=np.uint16).reshape(12, 16, 5) * 50
    for i in range(3):
        file = tmp_path / "x" / f"{i}.tif"
        tifffile.imwrite(file, deep + i, photometric="minisblack", planarconfig="contig")
    scene().save(tmp_path / "x" / "odd.png")
    images = folder.Config(path=str(tmp_path / "x"), channels="keep").load("all", 32)
    assert images.pixels.dtype == np.uint16 and images.channels == 5
    assert (images.pixels[1] == deep + 1).all()
    assert "odd.png has 3 channels where most have 5" in images.notes[0]


def test_grey_reads_one_channel(tmp_path: Path) -> None:
    root = put(tmp_path / "x", "a.png")
    images = folder.Config(path=str(root), channels="grey").load("all", 32)
    assert (images.pixels[0, ..., 0] == np.asarray(Image.open(root / "a.png").convert("L"))).all()


def test_a_folder_of_only_bad_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.png").write_bytes(b"")
    with pytest.raises(BadImages, match=r"none of the 1 files .* a.png is empty"):
        folder.Config(path=str(tmp_path / "x")).load("all", 32)


def test_a_list_names_images_and_labels(tmp_path: Path) -> None:
    put(tmp_path, *(f"p/{i}.png" for i in range(12)))
    lines = [f"p/{i}.png\t{10 if i % 2 else 9}" for i in range(12)]
    (tmp_path / "some.txt").write_text("\n".join([*lines, "", "p/gone.png\t9"]))
    config = list_file.Config(path=str(tmp_path / "some.txt"))
    whole = config.load("all", 32)
    assert config.splits() == ("train", "test", "all") and whole.classes == ("9", "10")
    assert whole.targets["label"].tolist() == [0, 1] * 6
    assert "p/gone.png cannot be read" in whole.notes[0]
    assert len(config.load("train", 32)) == 10


def test_a_list_without_labels_is_one_split(tmp_path: Path) -> None:
    put(tmp_path, "a b.png")
    (tmp_path / "some.txt").write_text("a b.png\n")
    config = list_file.Config(path=str(tmp_path / "some.txt"))
    assert config.splits() == ("all",) and config.load("all", 32).files == ("a b.png",)


def test_arrays_are_kept_or_brought_to_bytes(tmp_path: Path) -> None:
    grey = np.arange(2 * 4 * 6, dtype=np.uint8).reshape(2, 4, 6)
    np.save(tmp_path / "a.npy", grey)
    images = arrays.Config(path=str(tmp_path / "a.npy")).load("all", 4)
    assert (images.pixels[..., 0] == grey).all() and images.labels is None
    np.save(tmp_path / "f.npy", grey[..., None] / np.float32(255))
    same = arrays.Config(path=str(tmp_path / "f.npy")).load("all", 4)
    assert (same.pixels[..., 0] == grey).all() and "1 is white" in same.notes[0]


def test_npz_parts_and_labels(tmp_path: Path) -> None:
    grey = np.arange(20 * 4 * 6, dtype=np.uint16).reshape(20, 4, 6)
    np.savez(tmp_path / "a.npz", images=grey, labels=np.arange(20) % 2)
    config = arrays.Config(path=str(tmp_path / "a.npz"))
    assert config.splits() == ("train", "test", "all") and len(config.load("test", 4)) == 4
    np.savez(tmp_path / "m.npz", train_images=grey, train_labels=np.ones((20, 1)), test_images=grey)
    config = arrays.Config(path=str(tmp_path / "m.npz"))
    assert config.splits() == ("train", "test") and config.load("test", 4).labels is None
    with pytest.raises(ValueError, match="must be 20 whole numbers"):
        config.load("train", 4)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((2, 3, 20, 20), np.uint8), r"look like \[N, C, H, W\]"),
        (np.full((2, 3, 3), -1.0), "got float64 from -1.0"),
        (np.zeros((3, 3), np.uint8), r"must be \[N, H, W\]"),
        (np.array([{}]), "cannot be read"),
    ],
)
def test_arrays_that_are_no_images_are_refused(
    tmp_path: Path, array: np.ndarray, said: str
) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match=said):
        arrays.Config(path=str(tmp_path / "a.npy")).load("all", 4)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("toybox", "toybox"),
        ("./photos", "folder"),
        ("~/photos", "folder"),
        ("some.txt", "list"),
        ("x.npz", "arrays"),
        ("here", "folder"),
        ("digits", "digits"),
    ],
)
def test_a_word_is_a_source_or_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, kind: str
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert SourceConfig.parse(text).kind == kind


def test_a_word_that_is_neither_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="Did you mean 'toybox'"):
        SourceConfig.parse("toybx")


@pytest.mark.parametrize("kind", ["folder", "list", "arrays"])
def test_what_is_not_there_says_where_it_looked(kind: str) -> None:
    with pytest.raises(MissingData, match=r"looked from .*data=toybox"):
        SourceConfig.parse({"kind": kind, "path": "/nowhere/x"}).splits()
