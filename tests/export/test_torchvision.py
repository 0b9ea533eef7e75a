"""Torchvision backbones, loaded by plain torchvision with the lines of their model card."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.export.test_weights import images, loaded_by_its_readme, run

from masquerade.core.rundir import RunDir
from masquerade.export import torchvision

MODELS: list[tuple[str, int, int, dict[str, Any], str]] = [
    ("torchvision:resnet18", 32, 3, {}, "small"),
    ("torchvision:resnet18", 64, 1, {}, "pooled"),
    ("torchvision:mobilenet_v3_small", 33, 4, {}, "imagenet"),
    ("torchvision:shufflenet_v2_x0_5", 64, 3, {}, "imagenet"),
]


@pytest.mark.parametrize(("name", "size", "channels", "options", "stem"), MODELS)
def test_the_lines_of_the_card_load_equal_features_in_plain_torchvision(
    name: str,
    size: int,
    channels: int,
    options: dict[str, Any],
    stem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = run(tmp_path, name, size, channels, options, stem)
    monkeypatch.chdir(torchvision.export(RunDir(tmp_path), tmp_path / "out"))
    x = images(channels, size)
    torch.testing.assert_close(loaded_by_its_readme()(x), net(x))


def test_a_model_of_timm_is_refused_with_the_verb_that_takes_it(tmp_path: Path) -> None:
    run(tmp_path, "resnet18", 32, 3, {"layers": [1, 1, 1, 1]})
    with pytest.raises(ValueError, match="is a model of timm: masquerade export timm"):
        torchvision.export(RunDir(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()
