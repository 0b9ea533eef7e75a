"""Whole training steps of the ADIOS authors' code, repeated by ours, and how far off ours are.

tests/oracles/adios/step_*.npz: one step of SimCLR, BYOL and SimSiam with ADIOS, full and with one
mask per image. `benchmarks/exactness.py` writes the same errors down.
"""

from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.engine.loop import choose
from masquerade.engine.optimizers import lars
from masquerade.engine.task import Carry, Progress
from masquerade.maskers import adios, pick
from masquerade.networks.backbone import Backbone
from masquerade.networks.heads import PredictorConfig, ProjectorConfig
from masquerade.objectives import byol, simclr, simsiam
from masquerade.pretext.siamese import Siamese

ORACLES = Path(__file__).parents[1] / "oracles" / "adios"
NOW = Progress(step=0, steps=400, epoch_steps=1)
MASKS = adios.Config(
    masks=3, width=8, norm="gn", sparsity=0.92, entropy=0.71, entropy_reduction="sum"
)
CASES = ["simclr_adios", "simclr_adios_s", "byol_adios", "simsiam_adios_TTT", "simsiam_adios_s"]
Errors = dict[str, dict[str, float]]  # of each part, by the name of the tensor
OURS = {
    "encoder.": "objective.backbone.",
    "momentum_encoder.": "objective.key_backbone.",
    "projector.": "objective.projector.",
    "momentum_projector.": "objective.key_projector.",
    "predictor.": "objective.predictor.",
    "classifier.": "probe.",
    "mask_encoder.": "maskers.0.unet.",
    "mask_head.0.": "maskers.0.head.",
}


class Tiny(Backbone):
    """The oracle's encoder: two strided convolutions and a mean."""

    def __init__(self):
        nn.Module.__init__(self)
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        self.dim = 16

    def features(self, images):
        first = self.bn1(self.conv1(images)).relu()
        return self.bn2(self.conv2(first)).relu().mean((2, 3))


def objective(case):
    if case.startswith("simclr"):
        return simclr.Config(temperature=0.2, projector=ProjectorConfig(hidden=20, out=12))
    if case.startswith("byol"):
        head = ProjectorConfig(hidden=20, out=12, norm="hidden", bias=True)
        return byol.Config(projector=head, predictor=PredictorConfig(hidden=24))
    return simsiam.Config(
        projector=ProjectorConfig(hidden=20, out=12, layers=3, norm="batch", last="plain"),
        predictor=PredictorConfig(hidden=10, bias=False),
        terms=("masked_query", "masked_key", "clean", "masked_both"),
    )


def oracle(case):
    with np.load(ORACLES / f"step_{case}.npz") as stored:
        return dict(stored)


def named(stored, start):
    """The oracle's tensors under our names; those that are stored in part keep a mark."""
    found = {}
    for key, value in stored.items():
        part, name = key.startswith("every "), key.removeprefix("every 61st of ")
        if name.startswith(start):
            theirs = name.removeprefix(start)
            prefix = next(p for p in OURS if theirs.startswith(p))
            found[OURS[prefix] + theirs.removeprefix(prefix)] = (part, torch.as_tensor(value))
    if start in ("gi.", "gm."):  # no parameter of ours: batch norm subtracts it again
        found.pop("objective.projector.6.bias", None)
    return found


def built(case, step):
    stored = oracle(case)
    config = MASKS.replace(shown=1) if case.endswith("_s") else MASKS
    masker = config.build(32, 3)
    task = Siamese(objective(case).build(Tiny()), [masker], step, "sum", classes=5)
    start = {n: v for n, (_, v) in named(stored, "init.").items()}
    missing, unexpected = task.load_state_dict(start, strict=False)
    assert unexpected == []
    assert set(missing) <= {"gain", "gains"}
    return task.double(), stored


def optimizers(task):
    rates = lars.Config(lr=0.003, decay=1e-4)
    return {
        name: (rates if name != "probe" else rates.replace(decay=0.0)).over(groups)
        for name, groups in task.players().items()
    }


def stepped(case, step):
    """A task after one step, its losses by round, and the gradients that each round left."""
    task, stored = built(case, step)
    views = tuple(torch.as_tensor(stored[x]) for x in ("x1", "x2"))
    batch = Views(views, torch.as_tensor(stored["y"]))
    players, carry = optimizers(task), Carry()
    logs: dict[str, torch.Tensor] = {}
    grads: dict[str, torch.Tensor] = {}
    with patch.object(pick, "slots", drawn(stored["picks"])):
        for together in task.rounds(NOW):
            choose(task.players(), together)
            for name in together:
                players[name].zero_grad()
            terms = task(batch, together, Seed(0), NOW, carry)
            logs |= terms.logs
            terms.loss.backward()
            for name, p in task.named_parameters():
                if p.requires_grad and p.grad is not None:
                    grads[name] = p.grad.clone()
            for name in together:
                players[name].step()
    return task, stored, logs, grads


def drawn(picks):
    """The oracle's slots: those of the encoder's step first, then those of the masker's."""

    def slots(seed, batch, masks, shown):
        row = 1 if "masker" in seed.path[seed.path.index("round") :][:2] else 0
        return torch.as_tensor(picks[row])[:, None]

    return slots


def off(ours, part, theirs):
    """The largest difference, beside the largest number or 1."""
    ours = ours.detach().double().flatten()
    ours = ours[::61] if part else ours
    return float((ours - theirs.double().flatten()).abs().max() / theirs.abs().max().clamp(min=1))


def official(case: str) -> Errors:
    """How far a step of `step=official` is off: losses, gradients of both players, what is after.

    The first are absolute, the others beside the largest number of each tensor, or 1.
    """
    task, stored, logs, grads = stepped(case, "official")
    encoder, probe, wish = stored["values"]
    expected = {"encoder/loss": encoder, "probe/loss": probe, "masker/loss": -wish}
    state = task.state_dict()
    return {
        "losses": {n: abs(float(logs[n]) - float(v)) for n, v in expected.items()},
        "encoder": {n: off(grads[n], *v) for n, v in named(stored, "gi.").items()},
        "masker": {n: off(grads[n], *v) for n, v in named(stored, "gm.").items()},
        "after": {n: off(state[n], *v) for n, v in named(stored, "post.").items()},
    }


def shared(case: str) -> Errors:
    """How far `step=shared` is off; without buffers, and without the probe, which sees less."""
    task, stored, logs, grads = stepped(case, "shared")
    loss = abs(float(logs["encoder/loss"]) - float(stored["values"][0]))
    after = named(stored, "post.")
    return {
        "losses": {"encoder/loss": loss},
        "encoder": {n: off(grads[n], *v) for n, v in named(stored, "gi.").items() if ours(n)},
        "masker": {n: off(grads[n], *v) for n, v in named(stored, "gm.").items()},
        "after": {n: off(p, *after[n]) for n, p in task.named_parameters() if ours(n)},
    }


def reversal(case: str) -> Errors:
    """How far the gradients of `step=reversal` are off at equal weights.

    The encoder's beside the oracle's; the masker's beside those of `shared` with the encoder
    where it was before the step, and the slots of the encoder's round.
    """
    _, stored, _, grads = stepped(case, "reversal")
    before, _ = built(case, "shared")
    views = tuple(torch.as_tensor(stored[x]) for x in ("x1", "x2"))
    before.objective.requires_grad_(False)
    picks = stored["picks"][[0, 0]] if case.endswith("_s") else stored["picks"]
    with patch.object(pick, "slots", drawn(picks)):
        before(Views(views, None), ("masker",), Seed(0), NOW, Carry()).loss.backward()
    wished = {f"maskers.{n}": p.grad for n, p in before.maskers.named_parameters()}
    return {
        "encoder": {n: off(grads[n], *v) for n, v in named(stored, "gi.").items() if ours(n)},
        "masker": {n: off(grads[n], False, g) for n, g in wished.items() if g is not None},
    }


def ours(name):
    """Whether a tensor is not the online probe's."""
    return not name.startswith("probe")
