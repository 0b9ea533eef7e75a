import pytest
import torch
from torch import nn

from masquerade.core.seed import Seed
from masquerade.networks import heads


def test_adios_projects_through_one_hidden_layer_without_normalisation() -> None:
    head = heads.adios().build(512)
    kinds = [type(m) for m in head.children()]
    assert kinds == [nn.Linear, nn.ReLU, nn.Linear]
    assert [tuple(p.shape) for p in head.parameters()] == [
        (2048, 512),
        (2048,),
        (128, 2048),
        (128,),
    ]


def test_linear_is_one_matrix_and_a_bias() -> None:
    head = heads.linear(out=7).build(5)
    weight, bias = head.parameters()
    x = torch.randn(3, 5, generator=Seed(0).generator())
    torch.testing.assert_close(head(x), x @ weight.T + bias)


def test_no_layers_compare_the_features_themselves() -> None:
    x = torch.randn(3, 5, generator=Seed(0).generator())
    assert torch.equal(heads.ProjectorConfig(layers=0).build(5)(x), x)


def test_simclr_normalises_twice_and_does_not_shift_the_output() -> None:
    head = heads.simclr(dim=6, out=4).build(6)
    names = dict(head.named_parameters())
    assert list(names) == ["0.weight", "1.weight", "1.bias", "3.weight", "4.weight"]
    out = head(torch.randn(50, 6, generator=Seed(0).generator()))
    torch.testing.assert_close(out.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var(0, correction=0), torch.ones(4), atol=1e-3, rtol=0)
    out.square().sum().backward()
    assert all(p.grad is not None for p in head.parameters())


def test_one_size_is_no_network() -> None:
    with pytest.raises(ValueError, match="input and an output"):
        heads.mlp([3])
