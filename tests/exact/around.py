"""What surrounds a step in the official code: losses of embeddings, rates, nearest neighbours."""

import numpy as np
import torch
from tests.exact.masks import apart, oracle
from tests.pretext.frameworks import tiny
from torch.nn import functional as F

from masquerade.engine.schedule import Schedule
from masquerade.engine.task import Progress
from masquerade.evaluate import knn as neighbours
from masquerade.networks.heads import ProjectorConfig
from masquerade.objectives import byol, moco
from masquerade.objectives.base import cosine
from masquerade.objectives.simclr import ntxent

STEPS = 97  # of an epoch: 50,000 images, batch 512


def base_losses():
    """NT-Xent, BYOL's, SimSiam's and MoCo's loss of free embeddings, from several code bases."""
    o = {k: torch.as_tensor(v) for k, v in oracle("base_losses").items()}
    own, one = torch.arange(8)[:, None], torch.ones(8, 1)
    nce = ntxent(o["z1"], o["z2"], own, 0.5).mean()
    likeness = cosine(o["z1"], o["z2"], own).mean()
    config = moco.Config(temperature=0.2, queue=32, projector=ProjectorConfig(layers=1, out=12))
    it = config.build(tiny()).double()
    it.queue.copy_(F.normalize(o["queue"], dim=0).T)
    return {
        "solo_moco_t0p2": apart(it.compare(o["z1"], o["z2"], own, one).mean(), o["solo_moco_t0p2"]),
        **{k: apart(nce, o[k]) for k in o if k.endswith("_t0p5")},
        **{k: apart(2 - 2 * likeness, o[k]) for k in ("solo_byol_one_way", "wmse_norm_mse")},
        **{k: apart(-likeness, o[k]) for k in ("solo_simsiam_one_way", "ph_D")},
    }


def schedules():
    """Learning rates by epoch and by step, and BYOL's momentum."""
    o = oracle("schedules")
    unmix = Schedule(warmup=0, count_from=1)
    wmse = Schedule(
        shape="drops",
        drops=(950, 975),
        factor=0.2,
        warmup=500,
        warmup_unit="step",
        start=0.0,
        per="step",
    )
    hua = Schedule(warmup=10, from_start=True, start=0.0, per="step")
    momentum = byol.Config(momentum=0.99, schedule="epoch")
    every, last = range(1000 * STEPS), range(STEPS - 1, 1000 * STEPS, STEPS)
    ours = {
        "unmix_cifar_cos_epoch1to1000": [unmix.rate(0.06, at(s)) for s in last],
        "mixmask_in1k_cos_epoch0to199": [
            Schedule(warmup=0).rate(0.03, Progress(7 * e, 1400, 7)) for e in range(200)
        ],
        "wmse_lr_first679it": [wmse.rate(3e-3, at(s)) for s in range(679)],
        "wmse_lr_per_epoch": [wmse.rate(3e-3, at(s)) for s in last],
        "simsiam_lr_per_it": [hua.rate(0.06, at(s)) for s in every],
        "byol_tau_ep0to999": [momentum.momentum_at(at(s)) for s in last],
    }
    return {k: apart(v, o[k]) for k, v in ours.items()}


def at(step):
    """A step of 1000 epochs."""
    return Progress(step, 1000 * STEPS, STEPS)


def knn():
    """Predictions and accuracies of both protocols."""
    o, found = oracle("knn"), {}
    train, test, labels, right = (
        torch.from_numpy(o[n]) for n in ("train", "test", "ytrain", "ytest")
    )
    classes = tuple(str(i) for i in range(int(labels.max()) + 1))
    for key in o:
        kind, *told = key.split("/")
        if kind in ("moco", "wmse"):
            plain = neighbours.moco() if kind == "moco" else neighbours.wmse()
            config = plain.replace(k=int(told[0][1:]))
            if kind == "moco":
                config = config.replace(temperature=float(told[1][1:]))
            label = neighbours.Index(config, classes, train, labels).predict(test).label
            found[key] = apart(label, o[key])
            share = float((label == right).double().mean()) * (100 if kind == "moco" else 1)
            accuracy = key.replace("/", "_acc/", 1)
            found[accuracy] = apart(np.float32(share), np.float32(o[accuracy]))
    return found
