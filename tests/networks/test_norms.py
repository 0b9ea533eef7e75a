import tempfile
from pathlib import Path

import pytest
import timm
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from masquerade.core.seed import Seed
from masquerade.networks import norms
from masquerade.networks.norms import SyncBatchNorm, statistics, synchronised


def normal(*shape: int, name: str = "x") -> Tensor:
    return torch.randn(*shape, generator=Seed(0).fold(name).generator(), dtype=torch.float64)


def network() -> nn.Sequential:
    """Two- and four-dimensional norms; the middle one has a scale and no shift."""
    torch.manual_seed(0)
    bare = nn.BatchNorm1d(5, momentum=None)
    bare.register_parameter("bias", None)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 5),
        bare,
        nn.Linear(5, 5),
        nn.BatchNorm1d(5, affine=False),
    ).double()


def loss(out: Tensor, weights: Tensor) -> Tensor:
    return (out * weights).square().sum() + (out.exp() * weights).sum()


SPLIT = (0, 4, 11)  # processes with 4 and 7 images


def one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=len(SPLIT) - 1
    )
    net = synchronised(network())
    mine = slice(SPLIT[rank], SPLIT[rank + 1])
    kept: dict[str, Tensor | None] = {}
    for step in range(2):
        # The mean is 1000 times the spread: a sum of squares would have lost its digits.
        x = (normal(11, 3, 6, 6, name=f"x{step}") + 1e3)[mine].requires_grad_()
        net.zero_grad()
        out = net(x)
        torch.autograd.backward(loss(out, normal(11, 5, name=f"w{step}")[mine]))
        kept |= {f"out{step}": out.detach(), f"grad{step}": x.grad}
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None
        dist.all_reduce(parameter.grad)
        kept[f"d {name}"] = parameter.grad
    kept |= dict(net.named_buffers())
    net.eval()
    kept["eval"] = net(normal(2, 3, 6, 6)).detach()
    torch.save(kept, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_give_what_one_gives_on_the_joined_batch() -> None:
    with tempfile.TemporaryDirectory() as folder:
        spawn(one_of_two, (folder,), nprocs=2)
        parts = [torch.load(Path(folder) / f"{r}.pt", weights_only=True) for r in range(2)]
    net = network()
    for step in range(2):
        x = (normal(11, 3, 6, 6, name=f"x{step}") + 1e3).requires_grad_()
        net.zero_grad()
        out = net(x)
        torch.autograd.backward(loss(out, normal(11, 5, name=f"w{step}")))
        for name, want in ((f"out{step}", out.detach()), (f"grad{step}", x.grad)):
            got = torch.cat([p[name] for p in parts])
            torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-8)
    for part in parts:
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(part[f"d {name}"], parameter.grad, rtol=1e-8, atol=1e-8)
        for name, buffer in net.named_buffers():
            torch.testing.assert_close(part[name], buffer, rtol=1e-9, atol=1e-9)
        want = net.eval()(normal(2, 3, 6, 6)).detach()
        torch.testing.assert_close(part["eval"], want, rtol=1e-8, atol=1e-8)


def test_one_process_alone_gets_plain_batch_norm_bit_for_bit() -> None:
    plain, sync = network(), synchronised(network())
    x = normal(7, 3, 6, 6)
    assert torch.equal(plain(x), sync(x))
    for a, b in zip(plain.buffers(), sync.buffers(), strict=True):
        assert torch.equal(a, b)


def test_a_float32_batch_in_channels_last_keeps_its_digits_where_torch_loses_them() -> None:
    """Off by a few units in the last place, forward and backward; torch's own by hundreds."""
    x = torch.randn(64, 8, 32, 32, generator=Seed(3).generator()) * 2 + 1
    grad = torch.randn(x.shape, generator=Seed(4).generator())
    plain = nn.BatchNorm2d(8)
    exact = results(nn.BatchNorm2d(8).double(), x.double(), grad.double())
    lies = {"memory_format": torch.channels_last}
    ours = results(synchronised(nn.BatchNorm2d(8)), x.contiguous(**lies), grad.contiguous(**lies))
    theirs = results(plain, x.contiguous(**lies), grad.contiguous(**lies))
    for name, value in exact.items():
        assert (ours[name] - value).abs().max() <= 1e-6 * value.abs().max(), name
    assert (theirs["out"] - exact["out"]).abs().max() > 1e-5


def results(norm: nn.Module, x: Tensor, grad: Tensor) -> dict[str, Tensor]:
    """What a batch norm gives for a batch and a gradient, and remembers."""
    x = x.clone().requires_grad_()
    out = norm(x)
    out.backward(grad)
    found = {n: p.grad for n, p in norm.named_parameters() if p.grad is not None}
    assert x.grad is not None
    return found | {"out": out.detach(), "back": x.grad} | dict(norm.named_buffers())


def test_bfloat16_batches_are_summed_in_float32() -> None:
    x = (normal(64, 3, 8, 8) * 2 + 30).bfloat16().requires_grad_()
    weight, bias = torch.ones(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    out, mean, variance, count = norms.Normalise.apply(x, weight, bias, 1e-5)
    torch.autograd.backward(out.float().pow(3).mean())
    exact = x.detach().double()
    assert out.dtype == torch.bfloat16
    assert x.grad is not None and x.grad.dtype == torch.bfloat16
    assert weight.grad is not None and weight.grad.dtype == torch.float32
    torch.testing.assert_close(mean.double(), exact.mean((0, 2, 3)), rtol=1e-6, atol=0)
    torch.testing.assert_close(
        variance.double(), exact.var((0, 2, 3), correction=0), rtol=1e-5, atol=0
    )
    assert count == 64 * 8 * 8


def test_the_gradient_of_the_formula_passes_a_finite_difference_check() -> None:
    inputs = [normal(5, 3, 2), normal(3, name="w"), normal(3, name="b")]
    for tensor in inputs:
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(lambda *a: norms.Normalise.apply(*a, 1e-5)[0], inputs)


def test_parameters_buffers_and_names_survive_synchronising() -> None:
    net = timm.create_model("test_resnet", num_classes=0)
    before = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    after_net = synchronised(net)
    after = {**dict(after_net.named_parameters()), **dict(after_net.named_buffers())}
    assert list(before) == list(after)
    assert all(before[k] is after[k] for k in before)
    assert not any(type(m) in (nn.BatchNorm2d, nn.BatchNorm1d) for m in after_net.modules())


def test_the_activation_inside_timms_batch_norm_survives_synchronising() -> None:
    torch.manual_seed(0)
    net = timm.create_model("efficientnet_lite0", num_classes=0)
    images = normal(2, 3, 32, 32).float()
    want = net.eval()(images)
    assert torch.equal(synchronised(net)(images), want)


def test_a_batch_norm_itself_is_synchronised_too() -> None:
    assert isinstance(synchronised(nn.BatchNorm1d(3)), SyncBatchNorm)


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(3), synchronised(nn.BatchNorm2d(3))])
def test_running_statistics_stay_when_they_are_not_to_be_updated(layer: nn.Module) -> None:
    layer = layer.double()
    x = normal(4, 3, 5, 5) + 2
    want = layer(x)
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    with statistics(layer, update=False):
        got = layer(3 * x)
    assert all(torch.equal(before[k], v) for k, v in layer.state_dict().items())
    # It is the batch, not the memory, that normalises: a scaled batch comes out nearly the same.
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    with statistics(layer, update=True):
        layer(x)
    assert layer.state_dict()["num_batches_tracked"] == before["num_batches_tracked"] + 1


def test_in_eval_mode_the_running_statistics_still_normalise_inside_the_context() -> None:
    layer = nn.BatchNorm1d(3).double()
    layer(normal(8, 3) + 5)
    layer.eval()
    want = layer(normal(4, 3))
    with statistics(layer, update=False):
        assert torch.equal(layer(normal(4, 3)), want)


def test_an_error_inside_the_context_leaves_the_layer_as_it_was() -> None:
    layer = nn.BatchNorm1d(3)
    with pytest.raises(ZeroDivisionError), statistics(layer, update=False):
        raise ZeroDivisionError
    assert layer.track_running_stats
