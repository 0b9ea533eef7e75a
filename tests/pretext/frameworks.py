"""Steps of MoCo, SimCLR, BYOL and SimSiam as others' code makes them, and how far off ours are.

tests/oracles/mixmask: arrays of the code of MixMask, Un-Mix, W-MSE and PatrickHua/SimSiam. The
masker here is given its mask and its partners, so that they check everything a step does: losses,
gradients, queue, moving copy. `benchmarks/exactness.py` writes the same errors down.
"""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.engine.task import Carry, Progress
from masquerade.maskers.base import Masker, Occluded
from masquerade.networks.backbone import Backbone
from masquerade.networks.heads import PredictorConfig, ProjectorConfig
from masquerade.objectives import byol, moco, simclr, simsiam
from masquerade.pretext.siamese import Siamese

ORACLES = Path(__file__).parents[1] / "oracles" / "mixmask"
NOW = Progress(0, 10, 5)
Errors = dict[str, dict[str, float]]  # of each part, by the name of the tensor


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


def gradients(it, o, places):
    """How far the gradients that a step left are off, by the oracle's names."""
    found = {}
    for key, value in o.items():
        if key.startswith("grad/"):
            theirs = key.removeprefix("grad/")
            prefix = next(p for p in places if theirs.startswith(p))
            ours = places[prefix] + theirs.removeprefix(prefix)
            found[key] = off(it.get_parameter(ours).grad, value)
    return found


def moco_v2() -> Errors:
    """MixMask's MoCo v2: the plain loss, then a step with a filled copy."""
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
    plain = abs(run(fresh(), False, views, masker) - float(o["loss_o"]))
    it = fresh()
    loss = abs(run(it, True, views, masker) - float(o["loss"]))
    places = {n: ours.replace("body", "backbone.body") for n, ours in TINY.items()}
    after = {"queue": off(it.queue, o["queue_after"].T)}
    after["place"] = float(abs(int(it.place) - int(o["ptr_after"])))
    names = {**TINY, "fc.": "projector."}
    for key, value in o.items():
        if key.startswith("k_after/") and "num_batches" not in key:
            theirs = key.removeprefix("k_after/")
            prefix = next(p for p in names if theirs.startswith(p))
            place = names[prefix].replace("body", "key_backbone.body").replace("proj", "key_proj")
            after[key] = off(it.state_dict()[place + theirs.removeprefix(prefix)], value)
    return {
        "plain": {"loss": plain},
        "filled": {"loss": loss},
        "gradients": gradients(it, o, {**places, "fc.": "projector."}),
        "after": after,
    }


def moco_symmetric() -> Errors:
    """Un-Mix's symmetric MoCo: batch norm in two groups, shuffled keys, a queue of both views."""
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
    with patch.object(moco, "shuffled", lambda size, seed: next(orders)):
        loss = run(it, True, (o["x2"], o["x1"]), Filled(o["mixed"], o["lam"]))
    places = {n: ours.replace("body", "backbone.body") for n, ours in names.items()}
    after = o["queue_after"].T  # our views, their order
    return {
        "filled": {"loss": abs(loss - float(o["loss"]))},
        "gradients": gradients(it, o, {**places, "net.8.": "projector.0."}),
        "after": {
            "queue": off(it.queue[:16], torch.cat([after[8:16], after[:8]])),
            "rest of the queue": off(it.queue[16:], after[16:]),
        },
    }


def simclr_of(o, **changes):
    head = ProjectorConfig(hidden=24, out=12, norm="batch", last="affine", bias=True)
    config = simclr.Config(temperature=0.5, projector=head, joint=True, **changes)
    it = config.build(tiny()).double()
    load(it.backbone, o, "model/", SEQ)
    state = {k.removeprefix("head/"): v for k, v in o.items() if k.startswith("head/")} | {
        k.replace("bn_last/", "4."): v for k, v in o.items() if k.startswith("bn_last/")
    }
    it.projector.load_state_dict(state)
    return it


def byol_of(o, **changes):
    head = ProjectorConfig(hidden=24, out=12, norm="hidden", bias=True)
    config = byol.Config(projector=head, predictor=PredictorConfig(hidden=24), **changes)
    it = config.build(tiny()).double()
    load(it.backbone, o, "model/", SEQ)
    load(it.key_backbone, o, "model_t/", SEQ)
    for module, start in (
        (it.projector, "head/"),
        (it.key_projector, "head_t/"),
        (it.predictor, "pred/"),
    ):
        load(module, o, start, {"": ""})
    return it


def simsiam_of(o, terms=("masked_query", "masked_key"), **changes):
    head = ProjectorConfig(hidden=32, out=32, norm="batch", last="affine", bias=True)
    config = simsiam.Config(
        projector=head,
        predictor=PredictorConfig(hidden=8),
        terms=terms,
        masked_views="one",
        **changes,
    )
    it = config.build(tiny()).double()
    load(it.backbone, o, "backbone/", SEQ)
    layers = {"layer1.0.": "0.", "layer1.1.": "1.", "layer3.0.": "3.", "layer3.1.": "4."}
    load(it.projector, o, "projector/", layers)
    load(it.predictor, o, "predictor/", {"layer1.0.": "0.", "layer1.1.": "1.", "layer2.": "3."})
    return it


BUILT: dict[str, Any] = {"simclr": simclr_of, "byol": byol_of, "simsiam": simsiam_of}
PLACES = {
    "simclr": {
        "model.module.": "backbone.body.",
        "head.": "projector.",
        "bn_last.": "projector.4.",
    },
    "byol": {"model.module.": "backbone.body.", "head.": "projector.", "pred.": "predictor."},
    "simsiam": {
        "net.backbone.": "backbone.body.",
        "net.projector.layer1.0.": "projector.0.",
        "net.projector.layer1.1.": "projector.1.",
        "net.projector.layer3.0.": "projector.3.",
        "net.projector.layer3.1.": "projector.4.",
        "net.predictor.layer1.0.": "predictor.0.",
        "net.predictor.layer1.1.": "predictor.1.",
        "net.predictor.layer2.": "predictor.3.",
    },
}


def framework(name: str) -> Errors:
    """W-MSE's SimCLR (joint heads) and BYOL, PatrickHua's SimSiam: plain, and with a mixture."""
    o = oracle(f"{name}_mixmask")
    # The mixture is made of x1 and meets x2; the plain pair is the same either way round.
    views, masker = (o["x2"], o["x1"]), Filled(o["mixed"], o["lam"])
    plain = run(BUILT[name](o), False, views, masker)
    it = BUILT[name](o)
    loss = run(it, True, views, masker)
    return {
        "plain": {"loss": abs(plain - float(o["loss_o"]))},
        "filled": {"loss": abs(loss - float(o["loss"]))},
        "gradients": gradients(it, o, PLACES[name]),
    }
