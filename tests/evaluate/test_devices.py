"""Two processes measure what one measures, and every test image is counted once."""

import numpy as np
import pytest
import torch
from tests.evaluate.scene_sets import encoder, scenes

from masquerade.core.seed import Seed
from masquerade.engine.optimizers import sgd
from masquerade.engine.schedule import Schedule
from masquerade.evaluate import finetune_sgd, linear, segment
from masquerade.evaluate.frozen import Frozen

SLOW = segment.Config(epochs=2, batch=8, optimizer=sgd.Config(lr=0.01, schedule=Schedule(warmup=0)))


@pytest.mark.slow  # every start of two processes takes seconds
def test_a_linear_probe_of_two_processes_is_that_of_one(tinted, tmp_path):
    train, test = tinted(41), tinted(23, name="new")  # odd: two equal parts would count one twice
    one, two = Frozen.of(encoder(8)), Frozen.of(encoder(8), devices=2, cache=tmp_path)
    features = one.features(test)
    torch.testing.assert_close(two.features(test), features, rtol=1e-5, atol=1e-6)
    found = [linear.Config().build().run(e, train, {"test": test}, Seed(0)) for e in (one, two)]
    assert found[0].metrics == found[1].metrics
    assert found[1].arrays["confusion/test"].sum() == 23
    torch.testing.assert_close(
        found[0].head.tensors()["weight"],  # type: ignore[union-attr]  # it leaves a probe
        found[1].head.tensors()["weight"],  # type: ignore[union-attr]  # likewise
        rtol=1e-3,
        atol=1e-4,
    )


@pytest.mark.slow
def test_a_segmentation_of_two_processes_is_that_of_one():
    train, test = scenes(16), scenes(7, "new")
    run = [
        SLOW.replace(devices=devices)
        .build()
        .run(Frozen.of(encoder()), train, {"test": test}, Seed(0))
        for devices in (1, 2)
    ]
    tables = [found.arrays["pixels/test"] for found in run]
    assert tables[0].sum() == tables[1].sum() == 7 * 32 * 32
    assert np.array_equal(tables[0].sum(1), tables[1].sum(1))  # the same truth
    assert np.abs(tables[0] - tables[1]).sum() <= 2  # float32 may round a pixel on the border
    assert abs(run[0].metrics["test/miou"] - run[1].metrics["test/miou"]) < 1e-3


@pytest.mark.slow
def test_a_network_fine_tuned_by_two_processes_is_that_of_one(tinted):
    train, test = tinted(32), tinted(23, name="new")
    config = finetune_sgd.Config(
        epochs=2, batch=16, kept_statistics=False, optimizer=SLOW.optimizer, crop=1
    )
    run = [
        config.replace(devices=devices)
        .build()
        .run(Frozen.of(encoder(8)), train, {"test": test}, Seed(0))
        for devices in (1, 2)
    ]
    assert run[0].metrics == run[1].metrics
    one, two = (found.arrays for found in run)
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_allclose(values, two[name], rtol=1e-4, atol=1e-4)
