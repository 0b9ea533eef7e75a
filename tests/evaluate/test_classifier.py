import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from masquerade.core.errors import MissingData
from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.evaluate import base, embedding, knn, linear
from masquerade.evaluate.base import ProtocolConfig, Unlabelled
from masquerade.evaluate.classifier import Examples, aligned
from masquerade.evaluate.frozen import Frozen

Tinted = Callable[..., ImageSet]
CONFIGS = [knn.Config(k=3), linear.Config(), linear.Config(mode="sgd")]


def relabelled(images: ImageSet, label: list[int]) -> ImageSet:
    column = np.array(label, np.int64)
    return ImageSet("some", images.pixels, targets={"label": column}, classes=images.classes)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.kind)
def test_a_head_labels_the_same_after_saving(
    config: ProtocolConfig, pixels: Frozen, tinted: Tinted, tmp_path: Path
) -> None:
    head = config.build().run(pixels, tinted(), {}, Seed(0)).head
    assert head is not None
    head.save(tmp_path / "deep" / "head.safetensors")
    again, statistics = base.load(tmp_path / "deep" / "head.safetensors")
    assert statistics == {}
    features = pixels.features(tinted(9, name="new"))
    told, before = again.predict(features), head.predict(features)
    assert again.config == config
    assert [again.classes[i] for i in told.label] == ["blue", "green", "red"] * 3
    assert torch.equal(told.score, before.score)
    torch.testing.assert_close(told.score.sum(dim=1), torch.ones(9))


def test_files_that_are_no_head_are_refused_in_words(tmp_path: Path) -> None:
    place = tmp_path / "head.safetensors"
    with pytest.raises(MissingData, match="evaluate the run first"):
        base.load(place)
    place.write_bytes(b"not this")
    with pytest.raises(MissingData, match="no safetensors file"):
        base.load(place)
    place.write_bytes(safetensors.torch.save({"weight": torch.ones(2)}))
    with pytest.raises(MissingData, match="holds no fitted head"):
        base.load(place)
    about = {"config": json.dumps(embedding.Config().tree()), "classes": "[]"}
    place.write_bytes(safetensors.torch.save({"weight": torch.ones(2)}, about))
    with pytest.raises(ValueError, match="embedding leaves no head"):
        base.load(place)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.kind)
def test_images_without_labels_are_one_plain_sentence(
    config: ProtocolConfig, pixels: Frozen, tinted: Tinted
) -> None:
    none = relabelled(tinted(6), [-1] * 6)
    with pytest.raises(Unlabelled, match=f"{config.kind} needs labels, and some has none"):
        config.build().run(pixels, none, {}, Seed(0))
    with pytest.raises(Unlabelled, match="one class"):
        config.build().run(pixels, relabelled(tinted(6), [1, 1, 1, -1, 1, 1]), {}, Seed(0))


def test_rows_without_a_label_are_neither_fitted_on_nor_measured(
    pixels: Frozen, tinted: Tinted
) -> None:
    train = relabelled(tinted(9), [0, 1, 2, -1, -1, -1, 0, 1, 2])
    test = relabelled(tinted(6, name="new"), [0, 1, -1, 1, 0, -1])  # two of them wrong
    result = knn.Config(k=1).build().run(pixels, train, {"test": test}, Seed(0))
    assert result.head is not None
    assert len(result.head.tensors()["labels"]) == 6
    assert result.metrics["test/top1"] == 0.5
    assert result.arrays["confusion/test"].sum() == 4
    assert result.arrays["predicted/test"].tolist() == [0, 1, 2, 0, 1, 2]
    assert "2 images of test have no label: left out" in result.notes


def test_a_test_set_without_labels_is_noted_and_the_head_still_fitted(
    pixels: Frozen, tinted: Tinted
) -> None:
    none = relabelled(tinted(6), [-1] * 6)
    result = knn.Config().build().run(pixels, tinted(), {"test": none}, Seed(0))
    assert result.metrics == {}
    assert result.head is not None
    assert "test (some) has no labels, so nothing was measured on it" in result.notes


def test_classes_of_a_test_set_are_matched_by_name(pixels: Frozen, tinted: Tinted) -> None:
    other = tinted(20, classes=("red", "blue"), name="other")
    assert aligned(other, ("blue", "green", "red")).tolist() == [2, 0] * 10
    result = knn.Config(k=3).build().run(pixels, tinted(), {"test": other}, Seed(0))
    assert result.metrics["test/top1"] == 1.0
    assert np.isnan(result.arrays["per_class/test"][1])


def test_a_class_that_was_never_trained_on_is_refused(tinted: Tinted) -> None:
    with pytest.raises(ValueError, match=r"lack: green\. These have: blue, red"):
        aligned(tinted(), ("blue", "red"))


def test_classes_without_names_are_numbers(pixels: Frozen, tinted: Tinted) -> None:
    train = ImageSet("bare", tinted(9).pixels, targets={"label": np.arange(9) % 3})
    result = linear.Config().build().run(pixels, train, {"test": train}, Seed(0))
    assert result.head is not None
    assert result.head.classes == ("0", "1", "2")
    assert result.metrics["test/top1"] == 1.0


def test_what_is_held_out_is_a_fifth_and_tears_no_group() -> None:
    labels = torch.arange(200) % 4
    groups = (np.arange(200) // 20) * 4 + np.arange(200) % 4
    parts = Examples(torch.zeros(200, 2), labels, tuple("abcd"), groups).parted(Seed(0))
    assert parts is not None
    rest, held = parts
    assert len(held.labels) == 40
    assert torch.bincount(held.labels).tolist() == [10] * 4
    assert rest.groups is not None
    assert held.groups is not None
    assert not set(rest.groups.tolist()) & set(held.groups.tolist())
