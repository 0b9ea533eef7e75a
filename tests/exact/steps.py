"""Whole steps of the official code with filled and erased copies, and how far off each array is.

What the networks are: tests/pretext/frameworks.py. Where a loss has two parts, shares of 1 and 0
give each of them: what is left when the plain loss is taken off.
"""

from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from tests.exact.masks import apart, filled, mixed, spread
from tests.pretext.frameworks import (
    BUILT,
    NOW,
    PLACES,
    TINY,
    gradients,
    load,
    off,
    oracle,
    tiny,
)
from tests.pretext.frameworks import run as plain_run

from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.engine.task import Carry
from masquerade.maskers import blocks, erase, unmix
from masquerade.maskers.base import Masker
from masquerade.networks.heads import ProjectorConfig
from masquerade.objectives import moco
from masquerade.objectives.base import normalised
from masquerade.pretext.siamese import Siamese

REGION = unmix.Config(global_ratio=0)
MOCO = {k: v.replace("body", "backbone.body") for k, v in TINY.items()} | {"fc.": "projector."}
NAMES = {**PLACES, "simclr": {**PLACES["simclr"], "bn_last.": "projector.4."}}
ONE_WAY: dict[str, Any] = {  # mixtures that only predict
    "byol": {"masked": "query"},
    "simsiam": {"terms": ("masked_query",)},
}
LAYERS = {"net.0.": "body.0.", "net.1.": "body.1.", "net.3.": "body.3.", "net.4.": "body.4."}


class Made(Masker):
    """Copies that were made before."""

    wants_clean = True
    fills = True

    def __init__(self, *copies):
        super().__init__()
        self.copies = list(copies)

    def propose(self, images, seed):
        return torch.zeros_like(images[:, :1])

    def occlude(self, images, hidden, seed):
        return self.copies


def run(objective, views, *maskers):
    """A step of the encoder up to its loss, which leaves gradients and a longer queue."""
    task = Siamese(objective, list(maskers)).double()
    task.before_step(NOW)
    loss = task(Views(views, None), ("encoder",), Seed(0), NOW, Carry()).loss
    loss.backward()
    task.after_step(NOW)
    return float(loss.detach())


def parted(build, views, copy, base):
    """The two parts of a mixture's loss: with its own keys, and with those of its partners."""
    one = torch.ones_like(copy.share)
    shares = one, torch.zeros_like(one)
    return [run(build(), views, Made(copy._replace(share=s))) - base for s in shares]


def moco_of(o, momentum):
    head = ProjectorConfig(hidden=16, out=16)
    config = moco.Config(temperature=float(o["T"]), projector=head, momentum=momentum, queue=32)
    it = config.build(tiny()).double()
    for part, start in (("", "q/"), ("key_", "k/")):
        load(getattr(it, f"{part}backbone"), o, start, TINY)
        load(getattr(it, f"{part}projector"), o, start, {"fc.": ""})
    it.queue.copy_(o["queue"].T)
    return it


def logits(it, images, keys, order):
    """Of a key and of the queue, for images in an order; the copy has moved before."""
    query = normalised(it.query(it.query_features(images)))[order]
    own = (query * normalised(keys)).sum(1, keepdim=True)
    return (torch.cat([own, query @ it.queue.T], 1) / it.config.temperature).detach()


def state(it, o, start, part=""):
    """How far weights and buffers of a network or its copy are off."""
    found = {}
    for key, value in o.items():
        if key.startswith(start):
            theirs = key.removeprefix(start)
            prefix = next(p for p in MOCO if theirs.startswith(p))
            ours = part + MOCO[prefix] + theirs.removeprefix(prefix)
            found[key] = off(it.state_dict()[ours], value)
    return found


def moco_v2_mixmask():
    """One step of MixMask's MoCo v2."""
    o = oracle("moco_v2_mixmask")
    views, copy = (o["x2"], o["x1"]), filled(o["x1"], o["mask"])

    def build():
        return moco_of(o, float(o["m"]))

    base = plain_run(build(), False, views, None)
    up, down = parted(build, views, copy, base)
    it = build()
    it.before_step(NOW)
    keys = it.key(it.key_features(o["x2"], Seed(0)))
    rows = torch.arange(8)
    found = {
        "mixed": off(copy.images, o["mixed"]),
        "lam": off(copy.share, o["lam"]),
        "logits": off(logits(it, o["x1"], keys, rows), o["logits"]),
        "logits_m": off(logits(it, copy.images, keys, rows), o["logits_m"]),
        "logits_m_flip": off(logits(it, copy.images, keys, rows.flip(0)), o["logits_m_flip"]),
        "loss_o": abs(base - float(o["loss_o"])),
        "loss_m": abs(up - float(o["loss_m"])),
        "loss_m_flip": abs(down - float(o["loss_m_flip"])),
    }
    it = build()
    found["loss"] = abs(run(it, views, Made(copy)) - float(o["loss"]))
    found["queue_after"] = off(it.queue, o["queue_after"].T)
    found["ptr_after"] = float(abs(int(it.place) - int(o["ptr_after"])))
    return found | gradients(it, o, MOCO) | state(it, o, "k_after/", "key_")


def moco_v2_mixmask_3steps():
    """Three steps of it with SGD, their masks from one stream."""
    o = oracle("moco_v2_mixmask_3steps")
    it, stream, losses, drawn = moco_of(o, float(o["m"])), Random(77), [], []
    groups = [p for group in it.groups() for p in group.params]
    rate, momentum, decay = (float(o[key]) for key in ("lr", "momentum", "wd"))
    optimizer = torch.optim.SGD(groups, lr=rate, momentum=momentum, weight_decay=decay)
    for x1, x2 in o["x"]:
        drawn.append(spread(blocks.one(stream, 4, 5, 4), 16))
        optimizer.zero_grad()
        losses.append(run(it, (x2, x1), Made(filled(x1, drawn[-1]))))
        optimizer.step()
    found = {"masks": off(torch.stack(drawn), o["masks"])}
    found["losses"] = apart(losses, o["losses"])
    found["queue_end"] = off(it.queue, o["queue_end"].T)
    return found | state(it, o, "q_end/") | state(it, o, "k_end/", "key_")


def moco_v2_both():
    """MixMask*: a box of Un-Mix with the reversed batch, a mask with a permutation."""
    o = oracle("moco_v2_both")
    views, order = (o["x2"], o["x1"]), o["perm"].long()
    box = mixed(o["x1"], boxed(np.random.RandomState(21)))
    mask = filled(o["x1"], o["mask"], order)

    def build():
        return moco_of(o, float(o["m"]))

    base = plain_run(build(), False, views, None)
    parts = [base, *(p for copy in (box, mask) for p in parted(build, views, copy, base))]
    it = build()
    it.before_step(NOW)
    keys = it.key(it.key_features(o["x2"], Seed(0)))
    back = order.argsort()
    found = {
        "im_unmix": off(box.images, o["im_unmix"]),
        "im_mask": off(mask.images, o["im_mask"]),
        "lam_unmix": off(box.share, o["lam_unmix"]),
        "lam_mask": off(mask.share, o["lam_mask"]),
        "losses": apart(parts, o["losses"]),
        "logits_mask": off(logits(it, mask.images, keys, torch.arange(8)), o["logits_mask"]),
        "logits_mask_flip": off(logits(it, mask.images, keys, back), o["logits_mask_flip"]),
    }
    it = build()
    found["loss"] = abs(run(it, views, Made(box), Made(mask)) - float(o["loss"]))
    found["queue_after"] = off(it.queue, o["queue_after"].T)
    return found | gradients(it, o, MOCO)


def boxed(stream):
    """What a box of the official code hides, whose stream begins with the kept share."""
    hidden = torch.zeros(16, 16, dtype=torch.float64)
    hidden[unmix.box(stream, stream.beta(1, 1), 16, 16, "official")] = 1
    return hidden


def unmix_moco_cifar_sym():
    """Un-Mix's symmetric MoCo: batch norm in two groups, shuffled keys, a mixture of whole images.

    The queue has the keys of x2 first, ours those of our views in order. Running statistics are
    those of the passes that Un-Mix makes: it encodes the mixture for each key, we once.
    """
    o = oracle("unmix_moco_cifar_sym")
    copy = mixed(o["x1"], torch.full((1, 16, 16), 1 - float(o["lam"]), dtype=torch.float64))
    it = symmetric_of(o)
    orders = iter(o["shuffles"])
    with patch.object(moco, "shuffled", lambda size, seed: next(orders)):
        loss = run(it, (o["x2"], o["x1"]), Made(copy))
    places = {n: ours.replace("body", "backbone.body") for n, ours in LAYERS.items()}
    first, second, rest = o["queue_after"].T.split((8, 8, 16))
    found = {
        "mixed": off(copy.images, o["mixed"]),
        "loss": abs(loss - float(o["loss"])),
        "queue_after": off(it.queue, torch.cat([second, first, rest])),
        "ptr_after": float(abs(int(it.place) - int(o["ptr_after"]))),
    }
    passes = symmetric_of(o)
    for images in (o["x1"], copy.images, o["x2"], copy.images):
        passes.backbone(images)
    for key, value in o.items():
        if key.startswith("q_end/"):
            prefix = next(p for p in LAYERS if key.startswith(f"q_end/{p}"))
            buffer = LAYERS[prefix] + key.removeprefix(f"q_end/{prefix}")
            found[key] = off(passes.backbone.get_buffer(buffer), value)
    return found | gradients(it, o, {**places, "net.8.": "projector.0."})


def symmetric_of(o):
    config = moco.Config(
        temperature=float(o["T"]),
        projector=ProjectorConfig(layers=1, out=16),
        momentum=float(o["m"]),
        queue=32,
        symmetric=True,
        groups=int(o["bn_splits"]),
    )
    it = config.build(tiny(64)).double()
    for part, start in (("", "q/"), ("key_", "k/")):
        load(getattr(it, f"{part}backbone"), o, start, LAYERS)
        load(getattr(it, f"{part}projector"), o, start, {"net.8.": "0."})
    it.queue.copy_(o["queue"].T)
    return it


def moco_v2_erase_derived():
    """Three readings of the erase baseline; the third, which is none of ours, by a partner."""
    o = oracle("moco_v2_erase_derived")
    views, hidden = (o["x2"], o["x1"]), (1 - o["mask"]).expand(8, 1, -1, -1)
    pair, single = (
        erase.Config(pair=p).build(16, 3).occlude(o["x1"], hidden, Seed(0)) for p in (True, False)
    )

    def build():
        return moco_of(o, float(o["m"]))

    base = plain_run(build(), False, views, None)
    one = torch.ones_like(pair[0].share)
    keep, complement = (run(build(), views, Made(c._replace(weight=one))) - base for c in pair)
    literal = single[0]._replace(partner=torch.arange(7, -1, -1), share=one * float(o["lam"]))
    flipped = parted(build, views, literal, base)[1]
    ours = {
        "loss_o": base,
        "loss_keep": keep,
        "loss_comp": complement,
        "loss_literal_flip": flipped,
        "loss_A_complement": run(build(), views, Made(*pair)),
        "loss_B_single": run(build(), views, Made(*single)),
        "loss_C_literal": run(build(), views, Made(literal)),
    }
    return {k: abs(v - float(o[k])) for k, v in ours.items()} | {
        "lam": off(pair[0].weight, o["lam"])
    }


def framework(name):
    """SimCLR, BYOL or SimSiam: both partners' orders, either view, mixtures that only predict."""
    o = oracle(f"{name}_mixmask")
    views, order = (o["x2"], o["x1"]), o["perm"].long()
    copy = filled(o["x1"], o["mask"])
    shuffled = filled(o["x1"], o["mask"], order)
    cases = {"": (copy, "other"), "_x1": (copy, "same"), "_perm": (shuffled, "other")}
    base = plain_run(BUILT[name](o), False, views, None)
    ours = {"loss_o": base}
    for end, (made, meets) in cases.items():

        def build(meets=meets):
            return BUILT[name](o, meets=meets)

        ours[f"loss_up{end}"], ours[f"loss_dn{end}"] = parted(build, views, made, base)
        ours[f"loss{end}"] = run(build(), views, Made(made))
    if name in ONE_WAY:
        parts = parted(lambda: BUILT[name](o, **ONE_WAY[name]), views, copy, base)
        ours["oneway_up"], ours["oneway_dn"] = parts
    it = BUILT[name](o)
    run(it, views, Made(copy))
    found = {k: abs(v - float(o[k])) for k, v in ours.items()} | gradients(it, o, NAMES[name])
    return found | {"mixed": off(copy.images, o["mixed"]), "lam": off(copy.share, o["lam"])}
