from pathlib import Path

import numpy as np
import pytest
import torch

from masquerade.certify.provenance import UNKNOWN, UNTRAINED
from masquerade.certify.whole import whole
from masquerade.core.errors import WrongPath
from masquerade.data.images import ImageSet
from masquerade.data.sources import toybox
from masquerade.evaluate.base import Unlabelled
from masquerade.evaluate.frozen import Frozen
from masquerade.jobs.labelled import of_file, of_images, steady
from masquerade.networks import backbone


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return toybox.Config(per_class=4, pixels=32).load("train", 32)


@pytest.fixture(scope="module")
def encoder() -> Frozen:
    torch.manual_seed(0)
    options = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}
    built = backbone.Config(options=options).build(32, 3, (0.5,) * 3, (0.25,) * 3)
    found = Frozen.of(built.eval())
    found.batch = 16
    return found


@pytest.mark.parametrize("bf16", [False, True])
def test_an_image_has_the_same_whole_features_alone_or_anywhere_among_others(
    images, encoder, monkeypatch, bf16
):
    monkeypatch.setattr(encoder, "bf16", bf16)
    together = whole(steady(encoder, images))
    for row in (0, 15, 16, 39):
        alone = images.subset([row])
        assert torch.equal(whole(steady(encoder, alone))[0], together[row])
    moved = torch.randperm(40, generator=torch.Generator().manual_seed(0)).numpy()
    assert torch.equal(whole(steady(encoder, images.subset(moved))), together[moved])
    torch.set_num_threads(2)
    try:
        assert torch.equal(whole(steady(encoder, images)), together)
    finally:
        torch.set_num_threads(1)


def test_images_without_a_label_are_left_out_and_none_at_all_is_refused(images, encoder):
    label = images.targets["label"].copy()
    label[:5] = -1
    some = images.labelled(label, images.classes)
    found = of_images(encoder, some, images, UNTRAINED, "untrained")
    assert len(found.labels) == len(found.features) == len(found.digests) == 35
    assert found.digests == images.digests()[5:]
    assert len(found.tests.truth) == 40
    bare = images.labelled(np.full(40, -1), images.classes)
    with pytest.raises(Unlabelled, match="a certificate is about labels"):
        of_images(encoder, bare, images, UNTRAINED, "untrained")
    with pytest.raises(Unlabelled, match="nothing can be measured"):
        of_images(encoder, images, bare, UNTRAINED, "untrained")


def saved(place: Path, **changes):
    draw = torch.Generator().manual_seed(0)
    arrays = {
        "features": torch.randn(12, 4, generator=draw).numpy(),
        "labels": np.arange(12) % 3,
        "test_features": torch.randn(5, 4, generator=draw).numpy(),
        "test_labels": np.arange(5) % 3,
    } | changes
    np.savez(place, **{k: v for k, v in arrays.items() if v is not None})
    return place


def test_a_file_of_features_is_read(tmp_path):
    found = of_file(saved(tmp_path / "a.npz"))
    assert (found.name, found.classes, found.source) == ("a", ("0", "1", "2"), UNKNOWN)
    assert len(set(found.digests)) == 12
    named = of_file(
        saved(
            tmp_path / "b.npz",
            digests=np.array([f"{i:032x}" for i in range(12)]),
            classes=np.array(["cat", "dog", "owl", "fox"]),
        )
    )
    assert named.digests[1] == f"{1:032x}"
    assert named.classes == ("cat", "dog", "owl", "fox")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": None}, "labels is missing"),
        ({"labels": np.arange(11)}, "labels must be 12 whole numbers"),
        ({"labels": -np.ones(12, int)}, "labels must be 12 whole numbers from 0"),
        ({"features": np.zeros((12, 4), int)}, "features must be floats"),
        ({"test_features": np.zeros((5, 3))}, "features have 4 numbers, test_features 3"),
        ({"classes": np.array(["cat"])}, "labels go up to 2, but there are 1 classes"),
        ({"digests": np.array(["aa"] * 12)}, "12 texts of 32 hex digits"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        of_file(saved(tmp_path / "a.npz", **changes))


def test_no_file_is_a_wrong_path(tmp_path):
    with pytest.raises(WrongPath, match="there is no file"):
        of_file(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="cannot be read as a NumPy file"):
        of_file(tmp_path / "a.npz")
