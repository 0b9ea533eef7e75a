from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from masquerade.core.seed import Seed
from masquerade.engine.extract import cached, digest, evaluating, extract

CPU = torch.device("cpu")


def network(stride: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def images(count: int = 10) -> Tensor:
    return torch.randn(count, 3, 12, 12, generator=Seed(1).generator())


def test_features_do_not_depend_on_the_batches() -> None:
    whole = extract(network(), [images()], device=CPU)
    parts = extract(network(), torch.split(images(), 3), device=CPU)
    assert whole.shape == (10, 8)
    torch.testing.assert_close(whole, parts)
    torch.testing.assert_close(whole, network().eval()(images()).detach())
    assert not whole.requires_grad


def test_features_can_be_trained_on() -> None:
    weight = torch.zeros(8, requires_grad=True)
    (extract(network(), [images()], device=CPU) @ weight).sum().backward()  # no inference tensors


def test_bfloat16_gives_float32_features_close_to_full_precision() -> None:
    full = extract(network(), [images()], device=CPU)
    low = extract(network(), [images()], device=CPU, autocast=torch.bfloat16)
    assert low.dtype == torch.float32
    assert not torch.equal(low, full)
    torch.testing.assert_close(low, full, rtol=0.05, atol=0.02)


def test_modes_and_running_statistics_are_as_before() -> None:
    net = network().train()
    net[1].eval()
    before = {n: v.clone() for n, v in net.state_dict().items()}
    extract(net, [images()], device=CPU)
    assert net.training and net[0].training and not net[1].training
    assert all(torch.equal(v, before[n]) for n, v in net.state_dict().items())


def test_modes_come_back_after_an_error() -> None:
    net = network().train()
    with pytest.raises(RuntimeError), evaluating(net):
        net(torch.zeros(1, 5, 12, 12))
    assert net[1].training


def test_no_images_are_refused() -> None:
    with pytest.raises(ValueError, match="no images"):
        extract(network(), [], device=CPU)


def test_the_digest_changes_with_a_weight_a_buffer_and_a_layer_setting() -> None:
    def changed(name: str) -> nn.Module:
        net = network()
        net.state_dict()[name].flatten()[0] += 1
        return net

    assert digest(network()) == digest(network())
    others = [changed("0.weight"), changed("1.running_mean"), network(stride=1)]
    assert len({digest(net) for net in [network(), *others]}) == 4


def test_features_are_made_once_per_key(tmp_path: Path) -> None:
    calls = []

    def make() -> Tensor:
        calls.append(1)
        return torch.arange(6.0).reshape(3, 2)

    folder = tmp_path / "features"
    for key in ("a", "a", "b", "a"):
        torch.testing.assert_close(cached(folder, key, make), torch.arange(6.0).reshape(3, 2))
    assert len(calls) == 2
    assert sorted(p.suffix for p in folder.iterdir()) == [".safetensors"] * 2
    cached(None, "a", make)
    assert len(calls) == 3


def test_a_broken_file_is_made_again(tmp_path: Path) -> None:
    cached(tmp_path, "a", lambda: torch.ones(2, 2))
    (place,) = tmp_path.iterdir()
    place.write_bytes(place.read_bytes()[:20])
    assert cached(tmp_path, "a", lambda: torch.zeros(2, 2)).sum() == 0
    assert cached(tmp_path, "a", lambda: torch.ones(2, 2)).sum() == 0  # the repaired file
