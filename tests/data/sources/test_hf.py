"""Hugging Face data sets, saved to disk and as parquet; nothing here needs a network."""

from io import BytesIO
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from tests.data import standard

from masquerade.core.errors import WrongPath
from masquerade.data.sources import hf

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    datasets.disable_progress_bars()


def table(count: int = 5, broken: int = -1) -> datasets.Dataset:
    files = [b"no image" if i == broken else standard.bytes_of(i) for i in range(count)]
    columns = {
        "id": list(range(count)),
        "photo": [{"bytes": data, "path": None} for data in files],
        "kind": [i % 3 for i in range(count)],
    }
    names = datasets.ClassLabel(names=["cat", "dog", "eel"])
    kinds = {"id": datasets.Value("int64"), "photo": datasets.Image(), "kind": names}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))


def test_a_saved_data_set_is_read_upright_with_its_classes(tmp_path: Path) -> None:
    saved = datasets.DatasetDict({"train": table(), "validation": table(3)})
    saved.save_to_disk(str(tmp_path / "set"))
    config = hf.Config(path=str(tmp_path / "set"))
    assert config.splits() == ("train", "val")
    train = config.load("train", 64)
    assert len(train) == 5 and len(config.load("val", 64)) == 3
    assert train.classes == ("cat", "dog", "eel")
    assert train.targets["label"].tolist() == [0, 1, 2, 0, 1]
    assert standard.shows_corners(train.pixels[0], 48, 64) and train.files[1] == "set/train/1"
    streamed = config.replace(pixels="stream").load("train", 64)
    assert torch.equal(streamed.read(range(5)), train.read(range(5)))


def test_parquet_files_are_read_by_their_columns(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    table().to_parquet(str(tmp_path / "set" / "train-00000-of-00001.parquet"))
    config = hf.Config(path=str(tmp_path / "set"), label="id")
    train = config.load("train", 64)
    assert train.targets["label"].tolist() == list(range(5)) and train.classes[4] == "4"


def test_broken_images_are_skipped_and_named(tmp_path: Path) -> None:
    table(broken=2).save_to_disk(str(tmp_path / "set"))
    images = hf.Config(path=str(tmp_path / "set")).load("all", 64)
    assert len(images) == 4 and images.targets["label"].tolist() == [0, 1, 0, 1]
    assert "1 of 5 files" in images.notes[0] and "set/all/2 is not an image" in images.notes[0]


def test_grey_images_become_rgb_and_keep_their_values(tmp_path: Path) -> None:
    out = BytesIO()
    Image.fromarray(np.full((20, 20), 90, np.uint8)).save(out, "PNG")
    kinds = datasets.Features({"image": datasets.Image()})
    columns = {"image": [{"bytes": out.getvalue(), "path": None}]}
    datasets.Dataset.from_dict(columns, features=kinds).save_to_disk(str(tmp_path / "set"))
    images = hf.Config(path=str(tmp_path / "set")).load("all", 64)
    assert images.channels == 3 and images.labels is None and (images.pixels == 90).all()


def test_wrong_places_and_columns_are_answered(tmp_path: Path) -> None:
    with pytest.raises(WrongPath, match=r"no Hugging Face data set nobody/nothing.*data=toybox"):
        hf.Config(path="nobody/nothing").splits()
    table().save_to_disk(str(tmp_path / "set"))
    config = hf.Config(path=str(tmp_path / "set"))
    with pytest.raises(ValueError, match=r"no column kind; it has: id \(Value\), photo \(Image\)"):
        config.replace(image="kind").load("all", 64)
    with pytest.raises(ValueError, match="no column 'species' of labels; it has: id, photo, kind"):
        config.replace(label="species").load("all", 64)
    with pytest.raises(ValueError, match="has no split 'test'"):
        config.load("test", 64)
