"""ONNX: onnxruntime gives PyTorch's features for pixels in [0, 1], or nothing is written."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.export.test_weights import NARROW, run

from masquerade.core.errors import MasqueradeError
from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.export import onnx
from masquerade.networks import encoder_file
from masquerade.networks.backbone import Backbone

Written = tuple[Backbone, RunDir, Path]
CNN = ("resnet18", 32, 3, NARROW)
LARGER: list[tuple[str, int, int, dict[str, Any]]] = [
    ("vit_tiny_patch16_224", 32, 3, {"depth": 1}),
    ("convnext_atto", 32, 3, {"depths": [1, 1, 1, 1]}),
    ("efficientnet_lite0", 65, 4, {}),
    ("swin_tiny_patch4_window7_224", 224, 3, {"depths": [1, 1], "num_heads": [1, 2]}),
    ("torchvision:resnet18", 96, 3, {}),
]


def agrees(net: Backbone, out: Path, count: int) -> None:
    """Runs the code of the model card on images in [0, 1]."""
    code = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)[0]
    assert "masquerade" not in code and len(code.splitlines()) == 3
    shape = (count, net.channels, net.size, net.size)
    images = torch.rand(shape, generator=Seed(count).generator())
    names: dict[str, Any] = {"images": images.numpy()}
    exec(code, names)
    want = net.from_pixels(images).detach().numpy()
    np.testing.assert_allclose(names["features"], want, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """An encoder, its run, and what was exported of it."""
    folder = tmp_path_factory.mktemp("run")
    net = run(folder, *CNN)
    return net, RunDir(folder), onnx.export(RunDir(folder), folder / "onnx", "cc-by-4.0")


def test_onnxruntime_gives_the_features_of_pixels_in_batches_of_any_size(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, _, out = written
    assert {p.name for p in out.iterdir()} == {"model.onnx", "README.md"}
    monkeypatch.chdir(out)
    for count in (1, 2, 7):
        agrees(net, out, count)
    text = (out / "README.md").read_text()
    assert "float32 array [N, 3, 32, 32] with values from 0 to 1" in text
    assert "The weights: cc-by-4.0." in text


def test_a_file_that_gives_other_features_is_refused_and_not_written(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder, out = written
    kept = (out / "model.onnx").read_bytes()
    other = run(tmp_path, *CNN)
    onnx.check(other, out / "model.onnx")
    with torch.no_grad():
        other.body.get_parameter("conv1.weight").mul_(1.01)
    with pytest.raises(ValueError, match=r"gives other features than PyTorch: off by .* 0.0001 is"):
        onnx.check(other, out / "model.onnx")
    monkeypatch.setattr(onnx, "drawn", lambda _, place: place.write_bytes(kept))
    encoder_file.save(other, folder.path, {})
    with pytest.raises(ValueError, match="Nothing was written"):
        onnx.export(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", onnx.NEEDED)
def test_without_the_extra_the_answer_says_what_to_install(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, *CNN)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        MasqueradeError, match=rf"needs the package {package}: pip install .*\[onnx"
    ):
        onnx.export(RunDir(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size", "channels", "options"), LARGER)
def test_other_families_agree_too(
    name: str,
    size: int,
    channels: int,
    options: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = run(tmp_path, name, size, channels, options)
    out = onnx.export(RunDir(tmp_path), tmp_path / "out")
    monkeypatch.chdir(out)
    for count in (1, 3):
        agrees(net, out, count)
