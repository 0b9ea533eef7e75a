"""Shards: read where they lie, in an order that seed and epoch fix, shared over processes."""

import gzip
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.data import standard
from tests.jobs.small import PLAIN

from masquerade.core.errors import BadImages, WrongPath
from masquerade.core.seed import Seed
from masquerade.data import order
from masquerade.data.loader import Loader
from masquerade.data.sources import shards
from masquerade.data.sources.base import SourceConfig
from masquerade.engine import checkpoint
from masquerade.jobs import pretrain

COUNTS = (7, 5, 6, 6)


def config(path: Path, **changes: object) -> shards.Config:
    return shards.Config(path=str(path)).replace(**changes)


def test_tar_shards_are_read_upright_with_their_labels(tmp_path: Path) -> None:
    standard.tar_shards(tmp_path, COUNTS)
    images = config(tmp_path).load("all", 64)
    assert len(images) == 24 and images.classes == ("0", "1", "2")
    assert images.targets["label"].tolist() == [i % 3 for i in range(24)]
    read = images.read([0]).permute(0, 2, 3, 1).numpy()[0]
    assert standard.shows_corners(read, 48, 64) and images.files[8] == "photos-000001/000008.jpg"
    levels = images.read(range(1, 24)).float().mean((1, 2, 3)).round().tolist()
    assert levels == [(i * 5) % 250 + 3 for i in range(1, 24)]


def test_parquet_shards_are_read_with_the_names_of_their_classes(tmp_path: Path) -> None:
    standard.parquet_shards(tmp_path, (7, 5))
    found = config(tmp_path)
    assert found.splits() == ("train", "all")
    images = found.load("train", 64)
    assert images.classes == ("cat", "dog", "eel")
    assert images.targets["label"].tolist() == [i % 3 for i in range(12)]
    assert standard.shows_corners(images.pixels[0], 48, 64)
    assert images.pieces is not None
    assert images.pieces.number.tolist() == [0] * 3 + [1] * 3 + [2] + [3] * 3 + [4] * 2


def test_streamed_pixels_are_those_of_the_cache(tmp_path: Path) -> None:
    standard.tar_shards(tmp_path, COUNTS)
    streamed = config(tmp_path, store=40).load("all", 16)
    cached = config(tmp_path, store=40, pixels="cache").load("all", 16)
    assert cached.pieces is None and streamed.shape == cached.shape == (30, 40)
    assert torch.equal(streamed.read(range(24)), cached.read(range(24)))
    assert torch.equal(streamed.extents(range(24)), cached.extents(range(24)))
    assert streamed.digests() == cached.digests() == streamed.subset(range(24)).digests()
    assert streamed.statistics() == cached.statistics()
    assert (streamed.subset([5, 3]).pixels == cached.pixels[[5, 3]]).all()


def test_an_epoch_mixes_few_shards_at_a_time_and_shows_every_image(tmp_path: Path) -> None:
    standard.tar_shards(tmp_path, COUNTS)
    pieces = config(tmp_path, mix=2).load("all", 64).pieces
    assert pieces is not None
    orders = [order.permutation(24, Seed(3), epoch, pieces) for epoch in range(2)]
    assert (orders[0] != orders[1]).any()
    for drawn in orders:
        assert sorted(drawn.tolist()) == list(range(24))
        turns = pieces.number[drawn]
        half = sum(COUNTS[k] for k in set(turns[:10].tolist()))
        assert len(set(turns[:10].tolist())) == 2  # mixed, and no third one before they are through
        assert set(turns[:half].tolist()).isdisjoint(turns[half:].tolist())


def test_two_ranks_see_disjoint_images_that_together_are_all(tmp_path: Path) -> None:
    standard.tar_shards(tmp_path, COUNTS)
    images = config(tmp_path, mix=2).load("all", 64)
    shown: list[list[int]] = [[], []]
    pixels: list[torch.Tensor] = []
    for rank in range(2):
        with Loader(images, 8, Seed(0), "cpu", rank, 2) as loader:
            for step in range(loader.steps_per_epoch):
                batch = loader.batch_at(step)
                shown[rank] += batch.indices.tolist()
                pixels.append(batch.images)
    assert not set(shown[0]) & set(shown[1])
    assert sorted(shown[0] + shown[1]) == list(range(24))
    assert torch.equal(torch.cat(pixels), images.read(shown[0] + shown[1]))


def test_a_step_is_the_same_whatever_was_read_before(tmp_path: Path) -> None:
    standard.tar_shards(tmp_path, COUNTS)
    found = config(tmp_path, mix=2)
    with Loader(found.load("all", 64), 4, Seed(1), "cpu") as loader:
        straight = [loader.batch_at(step) for step in range(12)]
    order.permutation.cache_clear()
    with Loader(found.load("all", 64), 4, Seed(1), "cpu") as loader:
        for step in (9, 10, 3, 11):
            again = loader.batch_at(step)
            assert torch.equal(again.images, straight[step].images)
            assert torch.equal(again.indices, straight[step].indices)


def test_a_run_cut_in_the_middle_of_an_epoch_ends_in_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standard.tar_shards(tmp_path / "data", COUNTS)
    settings = PLAIN.replace(data=config(tmp_path / "data", mix=2), epochs=2, split="all")
    pretrain.run(settings, tmp_path / "whole", quiet=True)
    save = checkpoint.Checkpoints.save

    def save_and_stop(self: checkpoint.Checkpoints, state: checkpoint.State) -> None:
        save(self, state)
        if state.step == 4:  # the second of three steps of epoch 1
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.Checkpoints, "save", save_and_stop)
    monkeypatch.setattr(checkpoint.Checkpoints, "due", lambda self: True)
    with pytest.raises(KeyboardInterrupt):
        pretrain.run(settings, tmp_path / "cut", quiet=True)
    monkeypatch.undo()
    order.permutation.cache_clear()
    pretrain.run(settings, tmp_path / "cut", quiet=True)
    a, b = (load_file(tmp_path / run / "encoder.safetensors") for run in ("whole", "cut"))
    assert all(torch.equal(a[name], b[name]) for name in a) and a.keys() == b.keys()


def test_names_divide_shards_and_paths_choose_them(tmp_path: Path) -> None:
    standard.tar_shards(tmp_path, (3, 3), "imagenet-train")
    standard.tar_shards(tmp_path, (2,), "imagenet-val")
    assert config(tmp_path).splits() == ("train", "val", "all")
    assert [len(config(tmp_path).load(s, 64)) for s in ("train", "val", "all")] == [6, 2, 8]
    assert len(config(tmp_path / "imagenet-train-*.tar").load("all", 64)) == 6
    one = SourceConfig.shorthand(str(tmp_path / "imagenet-val-000000.tar"))
    assert one == {"kind": "shards", "path": str(tmp_path / "imagenet-val-000000.tar")}


def test_labelled_shards_of_no_part_have_a_test_held_out(tmp_path: Path) -> None:
    standard.tar_shards(tmp_path, COUNTS)
    found = config(tmp_path)
    assert found.splits() == ("train", "test", "all")
    train, test = found.load("train", 64), found.load("test", 64)
    assert len(train) + len(test) == 24 and np.bincount(test.targets["label"]).tolist() == [2, 2, 2]


def rewritten(path: Path, members: list[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, BytesIO(data))


def test_broken_images_are_skipped_and_named_or_refused(tmp_path: Path) -> None:
    good, bad = standard.bytes_of(4), standard.bytes_of(0)[:200]
    rewritten(tmp_path / "a.tar", [("x/1.jpg", good), ("x/2.jpg", bad), ("x/3.jpg", good)])
    images = config(tmp_path).load("all", 64)
    assert len(images) == 2 and images.labels is None and images.files[1] == "a/x/3.jpg"
    assert "1 of 3 files" in images.notes[0] and "a/x/2.jpg" in images.notes[0]
    with pytest.raises(BadImages, match=r"a/x/2\.jpg"):
        config(tmp_path, strict=True).load("all", 64)


def test_an_image_that_breaks_after_it_was_judged_is_named(tmp_path: Path) -> None:
    standard.tar_shards(tmp_path, (3,))
    images = config(tmp_path).load("all", 64)
    file = tmp_path / "photos-000000.tar"
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(BadImages, match=r"000002\.jpg.*though it could be used before"):
        images.read([2])


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("1.cls", b"3")], "sample 1 of .* has no image; it has: cls"),
        ([("1.jpg", b"x"), ("1.png", b"y")], r"several images \(jpg, png\).*data\.image=jpg"),
        ([("1.jpg", b"x"), ("1.cls", b"cat")], r"1\.cls in .* must hold a whole number.*b'cat'"),
        ([], "holds no files"),
    ],
)
def test_odd_archives_are_answered(
    tmp_path: Path, members: list[tuple[str, bytes]], message: str
) -> None:
    rewritten(tmp_path / "a.tar", members)
    with pytest.raises(ValueError, match=message):
        config(tmp_path).splits()


def test_archives_that_cannot_be_read_from_the_middle_are_answered(tmp_path: Path) -> None:
    standard.tar_shards(tmp_path, (3,))
    file = tmp_path / "photos-000000.tar"
    whole = file.read_bytes()
    file.write_bytes(gzip.compress(whole))
    with pytest.raises(ValueError, match="it is compressed; unpack it once"):
        config(tmp_path).splits()
    file.write_bytes(whole[:1000])
    with pytest.raises(ValueError, match="cut off or of another kind"):
        config(tmp_path).splits()
    file.write_bytes(whole)
    with tarfile.open(file) as archive:
        between = archive.getmembers()[2].offset
    file.write_bytes(whole[:between])
    with pytest.raises(ValueError, match="is cut off: it lacks the zeros"):
        config(tmp_path).splits()


def test_odd_parquet_files_are_answered(tmp_path: Path) -> None:
    standard.parquet_shards(tmp_path, (3,))
    with pytest.raises(ValueError, match=r"has no column 'photo'; it has: image, label"):
        config(tmp_path, image="photo").load("train", 64)
    with pytest.raises(ValueError, match=r"column 'label' of .* must hold the bytes of image"):
        config(tmp_path, image="label").load("train", 64)
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot be read as a parquet file"):
        config(tmp_path).load("all", 64)


def test_paths_without_shards_are_answered(tmp_path: Path) -> None:
    with pytest.raises(WrongPath, match=r"no \.tar and no \.parquet files at"):
        config(tmp_path).splits()
    (tmp_path / "a.tar").touch()
    (tmp_path / "a.parquet").touch()
    with pytest.raises(WrongPath, match=r"must name \.tar files or \.parquet files"):
        config(tmp_path).splits()
