import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data import standard

from masquerade.core.errors import MissingData
from masquerade.data.images import digest
from masquerade.data.sources import gtsrb, kmnist, mnist


def signs(root: Path, train: str, answers: str) -> None:
    """A few signs of their own sizes, laid out as the archives unpack."""
    for label in (0, 1, 42):
        folder = root / train / f"{label:05d}"
        folder.mkdir(parents=True)
        for k in range(2):
            Image.fromarray(standard.corners(16 + 4 * k)).save(folder / f"0000{k}_00000.ppm")
        (folder / f"GT-{label:05d}.csv").write_text("Filename;ClassId\n")
    tests = root / "Final_Test/Images"
    tests.mkdir(parents=True)
    lines = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for k, label in enumerate((14, 0, 7)):
        Image.fromarray(standard.corners(24)).save(tests / f"0000{k}.ppm")
        lines.append(f"0000{k}.ppm;24;24;1;1;20;20;{label}")
    place = root / answers
    place.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("place", "train", "answers"),
    [
        ("GTSRB", "Final_Training/Images", "GT-final_test.csv"),
        ("gtsrb/GTSRB", "Training", "../GT-final_test.csv"),  # torchvision
    ],
)
def test_signs_are_read_as_unpacked_and_as_torchvision_has_them(
    tmp_path: Path, place: str, train: str, answers: str
) -> None:
    signs(tmp_path / place, train, answers)
    config = gtsrb.Config(root=str(tmp_path))
    known, tests = config.load("train", 48), config.load("test", 48)
    assert known.targets["label"].tolist() == [0, 0, 1, 1, 42, 42]
    assert tests.targets["label"].tolist() == [14, 0, 7]
    assert known.classes[14] == "stop" and len(known.classes) == 43
    assert known.extents([0, 1]).tolist() == [[16, 16], [20, 20]]
    assert known.digests()[1] == digest(standard.corners(20))  # that of the file, not of a resize


def test_signs_without_answers_say_so(tmp_path: Path) -> None:
    signs(tmp_path, "Training", "GT-final_test.csv")
    (tmp_path / "GT-final_test.csv").rename(tmp_path / "Final_Test/Images/GT-final_test.test.csv")
    with pytest.raises(MissingData, match=r"GT-final_test\.csv is missing"):
        gtsrb.Config(root=str(tmp_path)).load("test", 48)
    (tmp_path / "GT-final_test.csv").write_text("Filename;Width\n00000.ppm;24\n")
    with pytest.raises(ValueError, match="GTSRB_Final_Test_GT"):
        gtsrb.Config(root=str(tmp_path)).load("test", 48)


def digits(folder: Path, packed: bool) -> None:
    folder.mkdir(parents=True)
    for head, count in (("train", 6), ("t10k", 3)):
        images = standard.several(count, 28)[..., 0]
        label = np.arange(count, dtype=np.uint8)
        for name, values in ((f"{head}-images-idx3", images), (f"{head}-labels-idx1", label)):
            sizes = np.array(values.shape, ">u4").tobytes()
            data = bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()
            name = f"{name}-ubyte{'.gz' if packed else ''}"
            (folder / name).write_bytes(gzip.compress(data) if packed else data)


@pytest.mark.parametrize(("place", "packed"), [("MNIST/raw", False), ("mnist", True)])
def test_mnist_is_read_raw_or_packed(tmp_path: Path, place: str, packed: bool) -> None:
    digits(tmp_path / place, packed)
    train = mnist.Config(root=str(tmp_path)).load("train", 28)
    assert train.pixels.shape == (6, 28, 28, 1)
    assert (train.pixels[0, ..., 0] == standard.corners(28)[..., 0]).all()
    assert train.targets["label"].tolist() == list(range(6))


def test_kmnist_has_the_files_of_mnist_and_other_classes(tmp_path: Path) -> None:
    digits(tmp_path / "KMNIST/raw", packed=True)
    test = kmnist.Config(root=str(tmp_path)).load("test", 28)
    assert test.name == "kmnist test" and test.pixels.shape == (3, 28, 28, 1)
    assert test.classes[:3] == ("o", "ki", "su") and len(test.classes) == 10
    with pytest.raises(MissingData, match="into a folder called mnist"):
        mnist.Config(root=str(tmp_path)).load("test", 28)


@pytest.mark.parametrize("source", [mnist, kmnist, gtsrb])
def test_a_missing_set_says_where_to_get_it(source) -> None:
    with pytest.raises(MissingData, match=r"https://.*data\.root=.*data=toybox"):
        source.Config(root="/nowhere").load("test", 28)
