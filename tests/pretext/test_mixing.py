"""Base losses, alone and with a filled copy, against the official code: see frameworks.py."""

import numpy as np
import pytest
import torch
from tests.pretext.frameworks import (
    BUILT,
    ORACLES,
    framework,
    moco_symmetric,
    moco_v2,
    oracle,
    tiny,
)
from torch import nn

from masquerade.engine.task import Progress
from masquerade.networks.heads import ProjectorConfig
from masquerade.objectives import byol, moco
from masquerade.objectives.base import cosine
from masquerade.objectives.simclr import ntxent


def wrong(found):
    """What is further off than 1e-9, and that something was compared in every part."""
    assert all(found.values())
    return {n: v for part in found.values() for n, v in part.items() if not v <= 1e-9}


def test_moco_v2_gives_the_official_losses_gradients_queue_and_moving_copy():
    found = moco_v2()
    assert wrong(found) == {}
    assert {"queue", "place"} < found["after"].keys()


def test_symmetric_moco_with_split_batch_norm_and_shuffled_keys_is_un_mixs():
    assert wrong(moco_symmetric()) == {}


@pytest.mark.parametrize("name", BUILT)
def test_simclr_and_byol_are_those_of_w_mse_and_simsiam_that_of_patrick_hua(name):
    assert wrong(framework(name)) == {}


def test_free_embeddings_give_the_losses_of_several_code_bases():
    o = oracle("base_losses")
    own, one = torch.arange(8)[:, None], torch.ones(8, 1)
    nce = ntxent(o["z1"], o["z2"], own, 0.5).mean()
    assert float(nce) == pytest.approx(float(o["solo_simclr_t0p5"]), abs=1e-9)
    likeness = cosine(o["z1"], o["z2"], own).mean()
    assert float(2 - 2 * likeness) == pytest.approx(float(o["solo_byol_one_way"]), abs=1e-9)
    assert float(-likeness) == pytest.approx(float(o["solo_simsiam_one_way"]), abs=1e-9)
    config = moco.Config(temperature=0.2, queue=32, projector=ProjectorConfig(layers=1, out=12))
    it = config.build(tiny()).double()
    it.queue.copy_(nn.functional.normalize(o["queue"], dim=0).T)
    loss = it.compare(o["z1"], o["z2"], own, one).mean()
    assert float(loss) == pytest.approx(float(o["solo_moco_t0p2"]), abs=1e-9)


def test_byols_momentum_rises_as_in_both_code_bases():
    o = oracle("schedules")["byol_tau_ep0to999"]
    config = byol.Config(momentum=0.99, schedule="epoch")
    ours = [config.momentum_at(Progress(e * 7 + 3, 7000, 7)) for e in range(1000)]
    np.testing.assert_allclose(ours, o, atol=1e-12)
    with np.load(ORACLES.parent / "adios_schedules.npz") as stored:
        after = stored["tau_base.99_100steps"]
    by_step = byol.Config(momentum=0.99)
    found = [by_step.momentum_at(Progress(s, 100, 10)) for s in range(1, 101)]
    np.testing.assert_allclose(found, after, atol=1e-12)
