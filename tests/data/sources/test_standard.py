"""The standard sets, from files in their exact formats: upright, in RGB, labels from 0."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from tests.data import standard

from masquerade.core.errors import MissingData
from masquerade.data.sources import cifar10, cifar100, digits, fashion_mnist, stl10
from masquerade.data.sources.base import SourceConfig


def test_cifar10_is_upright_rgb(tmp_path: Path) -> None:
    standard.cifar(tmp_path, hundred=False)
    config = cifar10.Config(root=str(tmp_path))
    train, test = config.load("train", 32), config.load("test", 32)
    assert (len(train), len(test)) == (30, 6)
    assert (train.pixels[0] == standard.corners(32)).all()
    assert train.targets["label"][:6].tolist() == [0, 1, 2, 3, 4, 5]
    assert train.classes[3] == "name_3" and train.files[1] == "x_1.png"
    inside = cifar10.Config(root=str(tmp_path / "cifar-10-batches-py")).load("test", 32)
    assert (inside.pixels == test.pixels).all()


def test_cifar100_has_fine_and_coarse_labels(tmp_path: Path) -> None:
    standard.cifar(tmp_path, hundred=True)
    fine = cifar100.Config(root=str(tmp_path)).load("train", 32)
    assert (fine.pixels[0] == standard.corners(32)).all()
    assert fine.targets["label"].tolist() == list(range(6)) and len(fine.classes) == 100
    coarse = cifar100.Config(root=str(tmp_path), labels="coarse").load("test", 32)
    assert coarse.targets["label"].tolist() == [1] * 6 and coarse.classes[1] == "coarse_1"


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'harm'}",)

    standard.cifar(tmp_path, hundred=False)
    bad = {"data": Evil(), "labels": []}
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(bad))
    with pytest.raises(ValueError, match=r"it names \w+\.system, which no array needs"):
        cifar10.Config(root=str(tmp_path)).load("test", 32)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("cut", [0, 10, 2000])
def test_a_cut_pickle_is_said_to_be_damaged(tmp_path: Path, cut: int) -> None:
    standard.cifar(tmp_path, hundred=False)
    file = tmp_path / "cifar-10-batches-py" / "test_batch"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(ValueError, match="test_batch"):
        cifar10.Config(root=str(tmp_path)).load("test", 32)


def test_stl10_columns_become_rows_and_unlabelled_images_have_no_label(tmp_path: Path) -> None:
    standard.stl10(tmp_path)
    config = stl10.Config(root=str(tmp_path))
    both = config.load("train+unlabeled", 96)
    assert config.splits()[0] == "train+unlabeled" and len(both) == 10
    for row in (0, 4):
        assert (both.pixels[row] == standard.corners(96)).all()
    assert both.targets["label"].tolist() == [0, 1, 2, 3] + [-1] * 6
    assert config.load("unlabeled", 96).labels is None
    assert config.load("test", 96).targets["label"].tolist() == [0, 1, 2, 3]
    assert both.files[4] == "unlabeled/0"


def test_a_cut_stl10_file_is_refused(tmp_path: Path) -> None:
    standard.stl10(tmp_path)
    file = tmp_path / "stl10_binary" / "test_X.bin"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(ValueError, match="cut off"):
        stl10.Config(root=str(tmp_path)).load("test", 96)


@pytest.mark.parametrize(("place", "packed"), [("FashionMNIST/raw", False), ("", True)])
def test_fashion_mnist_is_read_raw_or_packed(tmp_path: Path, place: str, packed: bool) -> None:
    standard.fashion_mnist(tmp_path / "x" / place, packed)
    train = fashion_mnist.Config(root=str(tmp_path / "x")).load("train", 28)
    assert train.pixels.shape == (5, 28, 28, 1)
    assert (train.pixels[0, ..., 0] == standard.corners(28)[..., 0]).all()
    assert train.targets["label"].tolist() == [0, 1, 2, 3, 4] and train.classes[1] == "Trouser"


def test_a_cut_idx_file_is_refused(tmp_path: Path) -> None:
    standard.fashion_mnist(tmp_path / "x", packed=True)
    file = tmp_path / "x" / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match="is damaged"):
        fashion_mnist.Config(root=str(tmp_path / "x")).load("test", 28)


def test_digits_need_no_files_and_their_splits_are_a_partition() -> None:
    train, test = (digits.Config().load(s, 8) for s in digits.Config().splits())
    assert len(train) + len(test) == 1797 and not set(train.files) & set(test.files)
    assert train.pixels.max() == 255 and train.shape == (8, 8)
    counts = np.bincount(test.targets["label"])
    assert counts.min() >= 34 and counts.max() <= 37


@pytest.mark.parametrize(
    "config",
    [
        cifar10.Config(root="/nowhere"),
        cifar100.Config(root="/nowhere"),
        stl10.Config(root="/nowhere"),
    ],
)
def test_a_missing_set_says_where_to_get_it_and_what_to_use_instead(config: SourceConfig) -> None:
    with pytest.raises(MissingData, match=r"https://.*data\.root=.*data=toybox"):
        config.load("test", 32)


def test_only_known_splits_are_loaded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="digits has no split 'val'; it has: train, test"):
        digits.Config().load("val", 8)
