"""Base losses, alone and with a filled copy, against the official code (tests/oracles/mixmask).

The masker here is given its mask and its partners, so that the arrays of MixMask and Un-Mix check
MoCo, SimCLR, BYOL and SimSiam with everything a step does: losses, gradients, queue, moving copy.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.engine.task import Carry, Progress
from masquerade.maskers.base import Masker, Occluded
from masquerade.networks.backbone import Backbone
from masquerade.networks.heads import PredictorConfig, ProjectorConfig
from masquerade.objectives import byol, moco, simclr, simsiam
from masquerade.objectives.base import cosine
from masquerade.objectives.simclr import ntxent
from masquerade.pretext.siamese import Siamese

ORACLES = Path(__file__).parents[1] / "oracles" / "mixmask"
NOW = Progress(0, 10, 5)


def oracle(name):
    with np.load(ORACLES / f"{name}.npz") as stored:
        return {k: torch.as_tensor(v) if v.dtype.kind in "fi" else v for k, v in stored.items()}


class Net(Backbone):
    """The oracles' encoders as one sequence of layers."""

    def __init__(self, *layers):
        nn.Module.__init__(self)
        self.body = nn.Sequential(*layers)
        self.dim = 16

    def features(self, images):
        return self.body(images)


def tiny(first=8):
    return Net(
        nn.Conv2d(3, first, 3, 1 if first == 64 else 2, 1, bias=False),
        nn.BatchNorm2d(first),
        nn.ReLU(),
        nn.Conv2d(first, 16, 3, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


class Filled(Masker):
    """One copy whose partners are the reversed batch, as the oracle mixed it."""

    wants_clean = True

    def __init__(self, mixed, share):
        super().__init__()
        self.mixed, self.share = mixed, share

    def propose(self, images, seed):
        return torch.zeros_like(images[:, :1])

    def occlude(self, images, hidden, seed):
        partner = torch.arange(len(images)).flip(0)
        share = torch.full((len(images),), float(self.share), dtype=images.dtype)
        return [Occluded(self.mixed, hidden, partner, share, torch.ones_like(share))]


def load(module, stored, start, names):
    state = {}
    for key, value in stored.items():
        if key.startswith(start):
            theirs = key.removeprefix(start)
            prefix = next((p for p in names if theirs.startswith(p)), None)
            if prefix is not None:
                state[names[prefix] + theirs.removeprefix(prefix)] = value
    module.load_state_dict(state)


def off(a, b):
    return float((a.detach() - b).abs().max())


TINY = {"conv1.": "body.0.", "bn1.": "body.1.", "conv2.": "body.3.", "bn2.": "body.4."}
SEQ = {"0.": "body.0.", "1.": "body.1.", "3.": "body.3.", "4.": "body.4."}


def run(objective, masked, views, masker):
    """One round of the encoder; the loss and the plain loss."""
    task = Siamese(objective, [masker] if masked else []).double()
    task.before_step(NOW)
    terms = task(Views(views, None), ("encoder",), Seed(0), NOW, Carry())
    terms.loss.backward()
    task.after_step(NOW)
    return float(terms.loss.detach())


def test_moco_v2_gives_the_official_losses_gradients_queue_and_moving_copy():
    o = oracle("moco_v2_mixmask")
    config = moco.Config(
        temperature=0.2, projector=ProjectorConfig(hidden=16, out=16), momentum=0.9, queue=32
    )

    def fresh():
        it = config.build(tiny()).double()
        for part, start in (("", "q/"), ("key_", "k/")):
            load(getattr(it, f"{part}backbone"), o, start, TINY)
            load(getattr(it, f"{part}projector"), o, start, {"fc.": ""})
        it.queue.copy_(o["queue"].T)
        return it

    masker = Filled(o["mixed"], o["lam"])
    views = (o["x2"], o["x1"])  # the copy is made of our second view, keys of our first
    assert run(fresh(), False, views, masker) == pytest.approx(float(o["loss_o"]), abs=1e-9)
    it = fresh()
    assert run(it, True, views, masker) == pytest.approx(float(o["loss"]), abs=1e-9)
    names = {**TINY, "fc.": "projector."}
    for key, value in o.items():
        if key.startswith("grad/"):
            theirs = key.removeprefix("grad/")
            prefix = next(p for p in names if theirs.startswith(p))
            ours = names[prefix].replace("body", "backbone.body") + theirs.removeprefix(prefix)
            assert off(it.get_parameter(ours).grad, value) < 1e-9, key
    assert off(it.queue, o["queue_after"].T) < 1e-9
    assert int(it.place) == int(o["ptr_after"])
    for key, value in o.items():
        if key.startswith("k_after/") and "num_batches" not in key:
            theirs = key.removeprefix("k_after/")
            prefix = next(p for p in names if theirs.startswith(p))
            place = names[prefix].replace("body", "key_backbone.body").replace("proj", "key_proj")
            assert off(it.state_dict()[place + theirs.removeprefix(prefix)], value) < 1e-9, key


def test_symmetric_moco_with_split_batch_norm_and_shuffled_keys_is_un_mixs(monkeypatch):
    o = oracle("unmix_moco_cifar_sym")
    config = moco.Config(
        temperature=0.1,
        projector=ProjectorConfig(layers=1, out=16),
        momentum=0.99,
        queue=32,
        symmetric=True,
        groups=2,
    )
    it = config.build(tiny(64)).double()
    names = {"net.0.": "body.0.", "net.1.": "body.1.", "net.3.": "body.3.", "net.4.": "body.4."}
    for part, start in (("", "q/"), ("key_", "k/")):
        load(getattr(it, f"{part}backbone"), o, start, names)
        load(getattr(it, f"{part}projector"), o, start, {"net.8.": "0."})
    it.queue.copy_(o["queue"].T)
    orders = iter(o["shuffles"])
    monkeypatch.setattr(moco, "shuffled", lambda size, seed: next(orders))
    loss = run(it, True, (o["x2"], o["x1"]), Filled(o["mixed"], o["lam"]))
    assert loss == pytest.approx(float(o["loss"]), abs=1e-9)
    names |= {"net.8.": "projector.0."}
    for key, value in o.items():
        if key.startswith("grad/"):
            theirs = key.removeprefix("grad/")
            prefix = next(p for p in names if theirs.startswith(p))
            ours = names[prefix].replace("body", "backbone.body") + theirs.removeprefix(prefix)
            assert off(it.get_parameter(ours).grad, value) < 1e-9, key
    after = o["queue_after"].T
    assert off(it.queue[:16], torch.cat([after[8:16], after[:8]])) < 1e-9  # our views, their order
    assert off(it.queue[16:], after[16:]) < 1e-9


@pytest.mark.parametrize("masked", [False, True])
def test_simclr_with_joint_heads_is_that_of_w_mse(masked):
    o = oracle("simclr_mixmask")
    head = ProjectorConfig(hidden=24, out=12, norm="batch", last="affine", bias=True)
    it = simclr.Config(temperature=0.5, projector=head, joint=True).build(tiny()).double()
    load(it.backbone, o, "model/", SEQ)
    state = {k.removeprefix("head/"): v for k, v in o.items() if k.startswith("head/")} | {
        k.replace("bn_last/", "4."): v for k, v in o.items() if k.startswith("bn_last/")
    }
    it.projector.load_state_dict(state)
    mix = Filled(o["mixed"], o["lam"])
    # The mixture is made of x1 and meets x2; the plain pair is the same either way round.
    loss = run(it, masked, (o["x2"], o["x1"]), mix)
    assert loss == pytest.approx(float(o["loss" if masked else "loss_o"]), abs=1e-9)
    if masked:
        for key, value in o.items():
            if key.startswith("grad/model.module."):
                place = "backbone.body." + key.removeprefix("grad/model.module.")
                assert off(it.get_parameter(place).grad, value) < 1e-9, key
            if key.startswith("grad/head."):
                place = "projector." + key.removeprefix("grad/head.")
                assert off(it.get_parameter(place).grad, value) < 1e-9, key


@pytest.mark.parametrize("masked", [False, True])
def test_byol_is_that_of_w_mse(masked):
    o = oracle("byol_mixmask")
    head = ProjectorConfig(hidden=24, out=12, norm="hidden", bias=True)
    it = byol.Config(projector=head, predictor=PredictorConfig(hidden=24)).build(tiny()).double()
    load(it.backbone, o, "model/", SEQ)
    load(it.key_backbone, o, "model_t/", SEQ)
    for module, start in (
        (it.projector, "head/"),
        (it.key_projector, "head_t/"),
        (it.predictor, "pred/"),
    ):
        load(module, o, start, {"": ""})
    loss = run(it, masked, (o["x2"], o["x1"]), Filled(o["mixed"], o["lam"]))
    assert loss == pytest.approx(float(o["loss" if masked else "loss_o"]), abs=1e-9)
    if masked:
        places = {"model.module.": "backbone.body.", "head.": "projector.", "pred.": "predictor."}
        check_gradients(it, o, places)


def test_simsiam_is_that_of_patrick_hua():
    o = oracle("simsiam_mixmask")
    head = ProjectorConfig(hidden=32, out=32, norm="batch", last="affine", bias=True)
    config = simsiam.Config(
        projector=head,
        predictor=PredictorConfig(hidden=8),
        terms=("masked_query", "masked_key"),
    )
    it = config.build(tiny()).double()
    load(it.backbone, o, "backbone/", SEQ)
    layers = {"layer1.0.": "0.", "layer1.1.": "1.", "layer3.0.": "3.", "layer3.1.": "4."}
    load(it.projector, o, "projector/", layers)
    load(it.predictor, o, "predictor/", {"layer1.0.": "0.", "layer1.1.": "1.", "layer2.": "3."})
    loss = run(it, False, (o["x2"], o["x1"]), None)
    assert loss == pytest.approx(float(o["loss_o"]), abs=1e-9)


def check_gradients(it, o, places):
    for key, value in o.items():
        if key.startswith("grad/"):
            theirs = key.removeprefix("grad/")
            prefix = next(p for p in places if theirs.startswith(p))
            ours = places[prefix] + theirs.removeprefix(prefix)
            assert off(it.get_parameter(ours).grad, value) < 1e-9, key


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
