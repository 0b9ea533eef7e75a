import json
import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.export import weights
from masquerade.networks import encoder_file
from masquerade.networks.backbone import Backbone, Config

NARROW = {"layers": [1, 1, 1, 1], "channels": [4, 8, 8, 12]}
MODELS: list[tuple[str, int, int, dict[str, Any]]] = [
    ("resnet18", 32, 3, NARROW),
    ("resnet18", 96, 1, {"layers": [1, 1, 1, 1]}),
    ("resnet10t", 32, 3, {}),
    ("test_resnet", 65, 4, {}),
    ("vit_tiny_patch16_224", 32, 3, {"depth": 1}),
    ("vit_tiny_patch16_224", 96, 3, {"depth": 1}),
    ("convnext_atto", 32, 3, {"depths": [1, 1, 1, 1]}),
    ("efficientnet_lite0", 32, 3, {}),
    ("torchvision:resnet18", 32, 3, {}),
    ("torchvision:resnet18", 96, 3, {}),
]
PLAIN = [m for m in MODELS if m[0] == "convnext_atto" or "vit" in m[0] or m[1] > 64]


def images(channels: int, size: int) -> Tensor:
    return torch.randn(3, channels, size, size, generator=Seed(1).generator())


def run(
    folder: Path, name: str, size: int, channels: int, options: dict[str, Any], stem: str = "auto"
) -> Backbone:
    """A run folder with an encoder whose running statistics have moved."""
    torch.manual_seed(0)
    config = Config.parse({"name": name, "options": options, "stem": stem})
    net = config.build(size, channels, (0.4,) * channels, (0.3,) * channels)
    net(images(channels, size))
    (folder / "digests.txt").write_text("aa\nbb\ncc\n")
    about = {"title": "Sequential on toybox", "digests": "digests.txt", "labels_used": False}
    encoder_file.save(net, folder, about)
    return net.eval()


@pytest.mark.parametrize(("name", "size", "channels", "options"), MODELS)
def test_the_lines_of_the_readme_load_equal_features_in_plain_timm(
    name: str,
    size: int,
    channels: int,
    options: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = run(tmp_path, name, size, channels, options)
    monkeypatch.chdir(weights.export(RunDir(tmp_path), tmp_path / "out"))
    x = images(channels, size)
    torch.testing.assert_close(loaded_by_its_readme()(x), net(x))


@pytest.mark.parametrize("stem", ["pooled", "adios"])
def test_the_lines_of_the_readme_make_the_stem_that_was_asked_for(
    stem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = run(tmp_path, "resnet18", 64, 3, NARROW, stem)
    monkeypatch.chdir(weights.export(RunDir(tmp_path), tmp_path / "out"))
    torch.testing.assert_close(loaded_by_its_readme()(images(3, 64)), net(images(3, 64)))


def loaded_by_its_readme() -> nn.Module:
    """What the model card's code makes, run in the folder it lies in."""
    code = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), re.DOTALL)[0]
    assert "masquerade" not in code
    names: dict[str, Any] = {}
    exec(code, names)
    model = names["model"]
    assert isinstance(model, nn.Module)
    return model


@pytest.mark.parametrize(("name", "size", "channels", "options"), PLAIN)
def test_timms_local_dir_loads_what_timm_can_construct(
    name: str, size: int, channels: int, options: dict[str, Any], tmp_path: Path
) -> None:
    net = run(tmp_path, name, size, channels, options)
    out = weights.export(RunDir(tmp_path), tmp_path / "out")
    theirs = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    x = images(channels, size)
    torch.testing.assert_close(theirs(x), net(x))
    data = timm.data.resolve_model_data_config(theirs)
    assert data["input_size"] == (channels, size, size)
    assert data["mean"] == pytest.approx((0.4,) * channels)
    assert data["std"] == pytest.approx((0.3,) * channels)
    assert timm.create_model(f"local-dir:{out}", pretrained=True, num_classes=7)(x).shape == (3, 7)


@pytest.mark.parametrize(("name", "size", "channels", "options"), [MODELS[0], MODELS[7]])
def test_timms_local_dir_refuses_a_stem_it_cannot_construct(
    name: str, size: int, channels: int, options: dict[str, Any], tmp_path: Path
) -> None:
    run(tmp_path, name, size, channels, options)
    out = weights.export(RunDir(tmp_path), tmp_path / "out")
    with pytest.raises(RuntimeError, match=f"{name}_with_small_stem"):
        timm.create_model(f"local-dir:{out}", pretrained=True)
    assert json.loads((out / "config.json").read_text())["num_classes"] == 0


def test_the_model_card_tells_what_the_run_remembers(tmp_path: Path) -> None:
    run(tmp_path, *MODELS[0])
    text = (weights.export(RunDir(tmp_path), tmp_path / "out") / "README.md").read_text()
    for line in (
        "# Sequential on toybox",
        "| Architecture | resnet18, small stem |",
        "| Features | 12 numbers per image, pooled |",
        "| Digests of training images | 3, kept in the run's folder |",
        "| Labels used | no |",
        "| Mean | 0.4000, 0.4000, 0.4000 |",
        "for whoever trained the encoder to choose",
    ):
        assert line in text


def test_a_second_export_replaces_the_first(tmp_path: Path) -> None:
    run(tmp_path, *MODELS[0])
    for _ in range(2):
        out = weights.export(RunDir(tmp_path), tmp_path / "out")
    assert {p.name for p in out.iterdir()} == {"model.safetensors", "config.json", "README.md"}


def test_a_model_timm_does_not_have_is_refused(tmp_path: Path) -> None:
    run(tmp_path, "torchvision:mobilenet_v3_small", 32, 3, {})
    with pytest.raises(ValueError, match="timm has no model called mobilenet_v3_small"):
        weights.export(RunDir(tmp_path), tmp_path / "out")
    run(tmp_path, "torchvision:efficientnet_b0", 65, 3, {})
    with pytest.raises(ValueError, match="torchvision:efficientnet_b0 has no equal in timm"):
        weights.export(RunDir(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_without_an_encoder_and_a_target_that_is_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"encoder\.json"):
        weights.export(RunDir(tmp_path), tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        weights.export(RunDir(tmp_path), tmp_path / "file")
