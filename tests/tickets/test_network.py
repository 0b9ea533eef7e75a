"""Networks of a whole population against one network at a time."""

import pytest
import torch
from torch.nn import functional

from masquerade.core.seed import Seed
from masquerade.tickets.network import BIAS, Network, Shape

CNN = Shape(channels=(8, 16), hidden=())


def drawn(network, count=3):
    return torch.stack([network.start(Seed(k)) for k in range(count)])


def test_rows_go_through_each_candidate_alone():
    network = Network(Shape(hidden=(5, 4), activation="tanh"), (3,), 2)
    population, x = drawn(network), torch.randn(7, 3, generator=Seed(9).generator())
    found = network.forward(population, x)
    for weights, outputs in zip(population, found, strict=True):
        leaf = network.layout.tree(weights)
        one = (x @ leaf["dense_1/kernel"] + leaf["dense_1/bias"]).tanh()
        two = (one @ leaf["dense_2/kernel"] + leaf["dense_2/bias"]).tanh()
        torch.testing.assert_close(outputs, two @ leaf["dense_3/kernel"] + leaf["dense_3/bias"])
    own = network.forward(population, x.expand(3, 7, 3))
    torch.testing.assert_close(own, found)


def test_images_go_through_each_candidate_alone():
    network = Network(CNN, (1, 28, 28), 10)
    population, x = drawn(network), torch.randn(2, 1, 28, 28, generator=Seed(9).generator())
    found = network.forward(population, x)
    for weights, outputs in zip(population, found, strict=True):
        leaf, y = network.layout.tree(weights), x
        for k in (1, 2):
            kernel = leaf[f"conv_{k}/kernel"].permute(3, 2, 0, 1)
            y = functional.conv2d(y, kernel, leaf[f"conv_{k}/bias"], padding=2).relu()
            y = functional.max_pool2d(y, 2)
        rows = y.permute(0, 2, 3, 1).reshape(2, -1)
        wanted = rows @ leaf["dense_1/kernel"] + leaf["dense_1/bias"]
        torch.testing.assert_close(outputs, wanted, rtol=1e-4, atol=1e-5)


def test_sizes_and_starts_are_those_of_the_paper():
    network = Network(CNN, (1, 28, 28), 10)
    assert (network.layout.size, int(network.layout.prunable().sum())) == (11274, 11240)
    tree = network.layout.tree(network.start(Seed(0)))
    assert (tree["dense_1/bias"] == 0).all()
    assert (tree["conv_2/bias"] >= 0).all() and (tree["conv_2/bias"] < BIAS).all()
    for name, inputs in (("conv_2/kernel", 200), ("dense_1/kernel", 784)):
        kernel = tree[name] * inputs**0.5
        assert float(kernel.std()) == pytest.approx(1, abs=0.02)
        assert float(kernel.abs().max()) < 2 / 0.8796
    assert Network(Shape(hidden=(32,)), (1, 8, 8), 10).layout.size == 2410
    last = Network(Shape(hidden=()), (3,), 2, last_bias=True)
    assert (last.layout.tree(last.start(Seed(0)))["dense_1/bias"] > 0).all()


def test_impossible_shapes_are_told():
    with pytest.raises(ValueError, match="images of 4 x 4 are too small for 3 layers"):
        Network(Shape(channels=(2, 2, 2)), (1, 4, 4), 10)
    with pytest.raises(ValueError, match="channels needs images"):
        Network(CNN, (4,), 10)
    with pytest.raises(ValueError, match="kernel must be odd, got 4"):
        Network(Shape(channels=(2,), kernel=4), (1, 8, 8), 10)
