"""Toybox: bit for bit what the reference composer made."""

import subprocess
import sys
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
import torch

from masquerade.data import compose
from masquerade.data.compose import PRESETS, SPLITS, Order
from masquerade.data.sources import toybox

ORACLE = np.load(Path(__file__).parents[1] / "oracles" / "toybox.npz")


def stacked(order: Order) -> tuple[bytes, bytes, bytes]:
    preset = PRESETS[order.preset]
    names = compose.bank().choose(preset, order.split).names
    made = compose.compose(order, range(order.per_class * len(names)))
    label = np.repeat(np.arange(len(names), dtype=np.int64), order.per_class)
    return (
        np.stack([m.image for m in made]).tobytes(),
        np.stack([m.mask for m in made]).tobytes(),
        label.tobytes(),
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_and_split_has_the_bits_of_the_reference(preset: str) -> None:
    for split in SPLITS:
        parts = stacked(Order(preset, split, (), 2, 32, 3))
        expected = ORACLE[f"{preset}/{split}/32"].tobytes()
        assert blake2b(b"".join(parts), digest_size=16).digest() == expected, split


def test_images_masks_and_labels_of_the_default_are_the_reference() -> None:
    made = toybox.Config(per_class=1, pixels=32).load("train", 32)
    assert (made.pixels == ORACLE["images"]).all()
    assert (made.targets["mask"] == ORACLE["masks"]).all()
    assert (made.targets["label"] == ORACLE["labels"]).all()


def test_domains_choose_the_vendor() -> None:
    config = toybox.Config(preset="stickers10", per_class_test=1, pixels=32, domains=("twemoji",))
    assert (config.load("test", 32).pixels == ORACLE["twemoji"]).all()
    with pytest.raises(ValueError, match="no domain apple; it has: emojione"):
        config.replace(domains=("apple",)).load("test", 32)


def test_more_images_per_class_start_with_the_same_ones() -> None:
    few = toybox.Config(per_class=2, pixels=32).load("train", 32)
    many = toybox.Config(per_class=3, pixels=32).load("train", 32)
    assert (many.read([0, 1, 3, 4]) == few.read([0, 1, 2, 3])).all()


def test_groups_of_test_objects_are_not_in_train() -> None:
    config = toybox.Config(per_class=8, per_class_test=8, pixels=16)
    group = {s: set(config.load(s, 32).targets["group"].tolist()) for s in SPLITS}
    assert not group["train"] & group["test"]
    assert group["seen"] & group["train"]


def test_a_group_has_one_class() -> None:
    made = toybox.Config(per_class=12, pixels=16).load("train", 32)
    label, group = made.targets["label"], made.targets["group"]
    assert all(len(set(label[group == g].tolist())) == 1 for g in np.unique(group))


def test_masks_mark_objects_that_fill_the_frame() -> None:
    made = toybox.Config(per_class=3, pixels=32).load("train", 32)
    share = (made.targets["mask"] == 1).mean((1, 2))
    assert share.min() > 0.05 and share.max() < 0.95
    assert set(np.unique(made.targets["mask"])) <= {0, 1, 2}


def test_it_says_what_it_is_and_an_unknown_split_is_refused() -> None:
    config = toybox.Config(per_class=1, pixels=16)
    assert "rendered objects on real photo tiles" in config.load("train", 32).notes[0]
    with pytest.raises(ValueError, match="no split 'val'; it has: train, test, seen"):
        config.load("val", 32)


def test_labels_are_torch_and_classes_in_their_order() -> None:
    made = toybox.Config(per_class=1, pixels=16).load("train", 32)
    assert made.labels is not None and torch.equal(made.labels, torch.arange(10))
    assert made.classes[0] == "bed" and made.classes[-1] == "vessel"


def test_workers_import_no_torch() -> None:
    code = (
        "import sys, masquerade.data.compose, masquerade.data.develop, masquerade.data.workers; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
