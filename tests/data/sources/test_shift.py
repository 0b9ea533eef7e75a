"""Stickers by vendor: trained on some makers, tested on another."""

from pathlib import Path

import numpy as np
import pytest
from tests.jobs.small import PLAIN

from masquerade.core.rundir import RunDir
from masquerade.data import compose
from masquerade.data.sources import toybox
from masquerade.jobs import evaluate, pretrain

TWO = toybox.Config(
    preset="stickers10",
    domains=("noto", "twemoji"),
    shifted=("fluent3d",),
    per_class=6,
    per_class_test=6,
    pixels=16,
)


def makers(config: toybox.Config, split: str) -> set[str]:
    side, wanted = config._makers(split)
    preset = compose.PRESETS[config.preset]
    choice = compose.bank().choose(preset, side, wanted)
    rows = compose.bank().cutouts
    return {
        rows[i]["domain"] for name in choice.names for v in choice.tree[name].values() for i in v
    }


def test_shift_shows_makers_that_no_other_split_shows() -> None:
    assert TWO.splits() == ("train", "test", "seen", "shift")
    assert makers(TWO, "shift") == {"fluent3d"}
    for split in ("train", "test", "seen"):
        assert makers(TWO, split) == {"noto", "twemoji"}
    all_others = TWO.replace(domains=())
    assert makers(all_others, "train") == set(toybox.domains("stickers10")) - {"fluent3d"}


def test_shift_is_the_test_drawn_by_another_maker() -> None:
    shift, test, train = (TWO.load(split, 16) for split in ("shift", "test", "train"))
    assert shift.classes == test.classes and len(shift) == len(test) == 60
    assert (shift.targets["label"] == test.targets["label"]).all()
    assert (shift.pixels != test.pixels).any()
    alone = TWO.replace(domains=("fluent3d",), shifted=()).load("test", 16)
    assert (shift.pixels == alone.pixels).all()
    assert not set(shift.targets["group"]) & set(train.targets["group"])


def test_nothing_changes_where_no_maker_is_shifted() -> None:
    plain = toybox.Config(per_class=1, pixels=16)
    assert plain.splits() == compose.SPLITS and plain._makers("train") == ("train", ())
    assert np.isin(["noto", "twemoji"], toybox.domains("stickers10")).all()


def test_a_maker_is_trained_on_or_shifted() -> None:
    with pytest.raises(ValueError, match="noto is in domains and in shifted"):
        TWO.replace(shifted=("noto",))
    with pytest.raises(ValueError, match="shifted names every maker"):
        TWO.replace(domains=(), shifted=toybox.domains("stickers10")).load("train", 16)
    with pytest.raises(ValueError, match="no domain apple"):
        TWO.replace(shifted=("apple",)).load("shift", 16)
    with pytest.raises(ValueError, match="has no split 'shift'"):
        TWO.replace(shifted=()).load("shift", 16)


def test_evaluate_reports_the_shift_beside_the_test(tmp_path: Path) -> None:
    pretrain.run(PLAIN.replace(data=TWO.replace(pixels=32), epochs=1), tmp_path / "run", quiet=True)
    run = RunDir(tmp_path / "run")
    config = evaluate.Evaluate.of(run, ["knn"], {"baselines": "false"})
    assert config.splits() == ("train", ("test", "seen", "shift"))
    rows = evaluate.run(config, run, lambda text: None)["knn"]["rows"]["trained"]
    assert {"test/top1", "seen/top1", "shift/top1"} <= rows.keys()
    assert 0 <= rows["shift/top1"] <= 1
