"""Features of images as a file: the same numbers in every format, and what certify takes."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import torch
from tests.cli.command import photographs
from tests.jobs.small import PLAIN

import masquerade as mq
from masquerade.core.errors import CannotResume, MasqueradeError
from masquerade.engine.runtime import Runtime
from masquerade.evaluate.frozen import Frozen
from masquerade.jobs import featurefile, finished, given


def silent(text: str) -> None:
    """Says nothing."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> mq.Run:
    place = tmp_path_factory.mktemp("runs") / "a"
    return mq.pretrain(PLAIN, out=place, epochs=1, say=silent, data__per_class_test=4)


def test_every_format_holds_the_same_names_labels_and_numbers(run: mq.Run, tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos")
    npz, parquet, table = (
        run.embed(photos, tmp_path / f"f.{e}") for e in ("npz", "parquet", "csv")
    )
    with np.load(npz, allow_pickle=False) as arrays:
        found = {key: arrays[key] for key in arrays.files}
    assert found["features"].shape == (40, run.encoder.dim) and found["features"].dtype == "f4"
    assert all((photos / file).exists() for file in found["files"])
    labels = [str(found["classes"][label]) for label in found["labels"]]
    assert labels == [str(file).split("/")[0] for file in found["files"]]
    rows = pyarrow.parquet.read_table(parquet)
    assert rows.column_names == ["file", "split", "label", "digest", "features"]
    assert rows["file"].to_pylist() == found["files"].tolist()
    assert rows["label"].to_pylist() == labels
    assert rows["digest"].to_pylist() == found["digests"].tolist()
    assert np.array_equal(np.array(rows["features"].to_pylist(), "f4"), found["features"])
    about = json.loads(rows.schema.metadata[b"masquerade"])
    assert about["encoder"] == "resnet18" and about["size"] == 32
    lines = list(csv.DictReader(table.read_text().splitlines()))
    assert [line["label"] for line in lines] == labels
    read = np.array([[line[f"f{i}"] for i in range(run.encoder.dim)] for line in lines], "f4")
    assert np.array_equal(read, found["features"])


def test_features_are_those_of_the_encoder_image_by_image(run: mq.Run, tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", classes=False, count=5)
    with np.load(run.embed(photos, tmp_path / "f.npz")) as arrays:
        features, names = arrays["features"], arrays.files
    assert "labels" not in names and "classes" not in names
    data = given.looked_up(str(photos), "", 32, 3)
    bf16 = Runtime(accelerator="cpu").resolved().precision == "bf16"
    want = Frozen.of(finished.encoder(run.folder), bf16=bf16).features(data)
    torch.testing.assert_close(torch.from_numpy(features), want, atol=1e-5, rtol=1e-4)


def test_without_images_the_runs_own_are_taken_with_its_settings(run: mq.Run) -> None:
    place = run.embed(split="train,test")
    assert place == run.path / "embed" / "images.npz"
    with np.load(place) as arrays:
        assert len(arrays["features"]) == run.summary["images"]
        assert len(arrays["test_features"]) == len(arrays["test_labels"]) == 40


def test_a_run_that_is_cut_leaves_no_half_file(
    run: mq.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = photographs(tmp_path / "photos", count=5)
    whole = run.embed(photos, tmp_path / "f.npz").read_bytes()

    def cut(self: Frozen, images: object) -> torch.Tensor:
        raise KeyboardInterrupt

    monkeypatch.setattr(Frozen, "features", cut)
    for ending in ("npz", "parquet", "csv"):
        with pytest.raises(KeyboardInterrupt):
            run.embed(photos, tmp_path / f"f.{ending}")
    assert (tmp_path / "f.npz").read_bytes() == whole
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.npz", "photos"]


def test_a_name_that_cannot_be_written_is_told_before_any_work(
    run: mq.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"out= must end in \.npz, \.parquet, \.csv, got f\.txt"):
        run.embed("nowhere", tmp_path / "f.txt")
    (tmp_path / "d.npz").mkdir()
    with pytest.raises(CannotResume, match="is a folder; out= must name a file"):
        run.embed("nowhere", tmp_path / "d.npz")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MasqueradeError, match=r"pip install 'masquerade\[parquet\]'"):
        featurefile.check(tmp_path / "f.parquet")
