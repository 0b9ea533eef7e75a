import logging
import socket
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from masquerade.core.errors import MissingData
from masquerade.networks import weights
from masquerade.networks.backbone import Backbone, Config

TINY = {"layers": [1, 1, 1, 1], "channels": [4, 8, 8, 12]}


def built(source: str | None = None, **settings: object) -> Backbone:
    config = Config.parse({"options": TINY, "weights": source, **settings})
    return config.build(32, 3, (0.5,) * 3, (0.25,) * 3)


def donor() -> dict[str, Tensor]:
    torch.manual_seed(7)
    return dict(built().body.state_dict())


def saved(folder: Path, content: object, name: str = "w.pth") -> str:
    path = folder / name
    if path.suffix == ".safetensors":
        assert isinstance(content, dict)
        save_file(content, path)
    else:
        torch.save(content, path)
    return str(path)


def agrees(net: Backbone, given: dict[str, Tensor]) -> bool:
    return all(
        torch.equal(v, given[k]) for k, v in net.body.state_dict().items() if "num_" not in k
    )


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.safetensors"])
@pytest.mark.parametrize(
    "prefix", ["", "module.", "module.encoder_q.", "backbone.", "body.", "x.y."]
)
def test_weights_are_found_under_any_prefix(tmp_path: Path, name: str, prefix: str) -> None:
    given = donor()
    net = built(saved(tmp_path, {prefix + k: v for k, v in given.items()}, name))
    assert agrees(net, given)
    assert net.origin.startswith("65 of 65 tensors from")
    assert ";" not in net.origin


def test_weights_are_found_inside_a_training_checkpoint(tmp_path: Path) -> None:
    given = donor()
    state = {f"module.{k}": v for k, v in given.items()} | {"module.fc.weight": torch.zeros(10, 12)}
    net = built(saved(tmp_path, {"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1}}))
    assert agrees(net, given)
    assert "1 unused: fc.weight" in net.origin


def test_of_two_networks_that_fit_the_first_is_taken(tmp_path: Path) -> None:
    first, second = donor(), {k: v + 1 for k, v in donor().items()}
    state = {f"encoder_q.{k}": v for k, v in first.items()}
    state |= {f"encoder_k.{k}": v for k, v in second.items()}
    assert agrees(built(saved(tmp_path, state)), first)


def test_what_is_missing_or_has_another_shape_is_named_and_stays_fresh(tmp_path: Path) -> None:
    given = donor()
    given["conv1.weight"] = torch.zeros(64, 3, 7, 7)
    del given["layer4.0.bn2.bias"]
    net = built(saved(tmp_path, given))
    assert "63 of 65 tensors" in net.origin
    assert "1 not in the file: layer4.0.bn2.bias" in net.origin
    assert "1 of another shape there: conv1.weight" in net.origin


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, nn.Linear(3, 3).state_dict())
    with pytest.raises(ValueError, match="weights of another model: only 0 of 65"):
        built(path)


def test_a_folder_means_the_encoder_inside_it(tmp_path: Path) -> None:
    given = donor()
    saved(tmp_path, given, "encoder.safetensors")
    assert agrees(built(str(tmp_path)), given)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingData, match=r"no encoder\.safetensors"):
        built(str(tmp_path / "empty"))


def test_a_missing_file_is_missing_data(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="no weights at"):
        built(str(tmp_path / "none.pth"))


class Code:
    """What a pickle may hold besides tensors."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('code from the file was run')",))


def test_a_file_that_could_run_code_is_refused_unrun(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="could run code"):
        built(saved(tmp_path, {"state_dict": donor(), "args": Code()}))


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a file of tensors", b"PK\x03\x04 cut"])
def test_a_broken_file_is_refused_in_words(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"is not a whole|could run code|no named tensors"):
        built(str(tmp_path / name))


def test_without_a_network_public_weights_are_missing_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def nowhere(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    monkeypatch.setattr(weights, "getproxies", dict)
    monkeypatch.setattr(weights, "try_to_load_from_cache", lambda *_: None)
    with pytest.raises(MissingData, match="no network"):
        built("public", options={})


@pytest.mark.parametrize(
    "error", [URLError("refused"), ConnectionError("reset"), RuntimeError("No pretrained weights")]
)
def test_whatever_goes_wrong_while_fetching_becomes_missing_data(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "reachable", lambda _: True)
    level = logging.getLogger("huggingface_hub").level
    with pytest.raises(MissingData, match="resnet18"), weights.published("resnet18"):
        raise error
    assert logging.getLogger("huggingface_hub").level == level
