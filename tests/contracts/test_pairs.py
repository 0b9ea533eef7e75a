"""Every objective against every masker: fifty steps, in float32 and in bfloat16."""

import pytest
import torch
from tests.jobs.lives import weights
from tests.jobs.small import PLAIN
from tests.pretext.frameworks import tiny

from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.engine import checkpoint
from masquerade.engine.loop import choose
from masquerade.engine.runtime import Runtime
from masquerade.engine.task import Carry, Progress
from masquerade.jobs import pretrain
from masquerade.maskers import adios, erase, mixmask, rectangles, sequential, unmix
from masquerade.networks.heads import PredictorConfig, ProjectorConfig
from masquerade.objectives import byol, moco, simclr, simsiam
from masquerade.pretext.siamese import Siamese

NARROW = ProjectorConfig(hidden=16, out=8)
NORMED = NARROW.replace(norm="hidden", bias=True)
PREDICTS = PredictorConfig(hidden=16)
OBJECTIVES = {
    "simclr": simclr.Config(projector=NARROW),
    "moco v1": moco.Config(projector=NARROW.replace(layers=1), temperature=0.07, queue=32),
    "moco v2": moco.Config(projector=NARROW, queue=32, momentum=0.9),
    "moco symmetric": moco.Config(projector=NARROW, queue=32, symmetric=True, groups=2),
    "byol": byol.Config(projector=NORMED, predictor=PREDICTS),
    "simsiam": simsiam.Config(
        projector=NARROW.replace(layers=3, norm="batch", last="plain"),
        predictor=PREDICTS.replace(bias=False),
        terms=("masked_query", "clean"),
    ),
}
SMALL = {"masks": 2, "width": 8, "norm": "gn"}
MASKERS = {
    "no masks": (),
    "erase": (erase.Config(grid=4, masks=2),),
    "rectangles": (rectangles.Config(),),
    "adios": (adios.Config(**SMALL),),
    "adios-s": (adios.Config(**SMALL, shown=1),),
    "held": (adios.Config(**SMALL, budget="held"),),
    "sequential": (sequential.Config(**SMALL),),
    "mixmask*": (unmix.Config(), mixmask.Config(partners="random")),
    "filled": (mixmask.Config(pattern="given", given=(adios.Config(**SMALL),)),),
}
CHANCE = ("no masks", "erase", "rectangles", "mixmask*")
MOVED = {"filled": "maskers.0.given.head.weight"}


def settings(objective, masker, **changes):
    runtime = Runtime(accelerator="cpu", threads=1, precision="float32")
    chosen = {"objective": OBJECTIVES[objective], "maskers": MASKERS[masker]}
    return PLAIN.replace(**chosen, runtime=runtime, **changes)


@pytest.fixture(scope="module")
def epoch():
    """The views of one epoch of five steps."""
    config = settings("simclr", "no masks")
    images, seed = config.images(), Seed(0)
    augmenter = config.augmenter(images)
    views = []
    for step in range(5):
        rows = range(8 * step, 8 * step + 8)
        pixels, extents = images.read(rows), images.extents(rows)
        views.append(augmenter.views(pixels, extents, seed.fold(step)))
    return views


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("masker", MASKERS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_pair_trains_for_fifty_steps(objective, masker, precision, epoch):
    torch.manual_seed(0)
    maskers = [config.build(32, 3) for config in MASKERS[masker]]
    task = Siamese(OBJECTIVES[objective].build(tiny()), maskers)
    start = {n: t.clone() for n, t in task.state_dict().items()}
    rates = PLAIN.optimizers.by_player()
    optimizers = {name: rates[name].over(groups) for name, groups in task.players().items()}
    losses = []
    for step in range(50):
        now, carry, batch = Progress(step, 50, 5), Carry(), Views(epoch[step % 5], None)
        task.before_step(now)
        for together in task.rounds(now):
            choose(task.players(), together)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                terms = task(batch, together, Seed(0).fold("step", step), now, carry)
            assert all(v.isfinite() for v in terms.logs.values()), terms.logs
            terms.loss.backward()
            for name in together:
                optimizers[name].step()
                optimizers[name].zero_grad()
        task.after_step(now)
        losses.append(float(terms.logs.get("encoder/loss", 0)))
    end = task.state_dict()
    learned = masker not in CHANCE
    moved = MOVED.get(masker, "maskers.0.head.weight")
    for key in ["objective.projector.0.weight"] + learned * [moved]:
        assert (end[key] - start[key]).abs().max() > 1e-3, key
    assert all(t.isfinite().all() for t in end.values())
    if not learned and not objective.startswith("moco"):  # the queue changes what is compared
        assert sum(losses[-5:]) < sum(losses[:5])


@pytest.mark.parametrize("masker", ["no masks", "held", "mixmask*"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_pair_that_is_cut_ends_in_the_same_bits(objective, masker, tmp_path, monkeypatch):
    config = settings(objective, masker, epochs=2)
    pretrain.run(config, tmp_path / "whole", quiet=True)
    save = checkpoint.Checkpoints.save

    def save_and_stop(self, state):
        save(self, state)
        if state.step == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.Checkpoints, "save", save_and_stop)
    monkeypatch.setattr(checkpoint.Checkpoints, "due", lambda self: True)
    with pytest.raises(KeyboardInterrupt):
        pretrain.run(config, tmp_path / "cut", quiet=True)
    monkeypatch.undo()
    pretrain.run(config, tmp_path / "cut", quiet=True)
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert one.keys() == two.keys()
    assert [n for n in one if not torch.equal(one[n], two[n])] == []
