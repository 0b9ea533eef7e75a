"""The shared form of filled masks against the black box: same loss, same gradients, same queue."""

import copy

import pytest
import torch
from benchmarks.black_box import BlackBox
from benchmarks.filled_table import VARIANTS
from tests.pretext.frameworks import NOW, tiny

from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.engine.task import Carry
from masquerade.maskers import erase, mixmask
from masquerade.maskers.base import Masker
from masquerade.objectives import simclr
from masquerade.pretext.siamese import Siamese

BOXED = [v for v in VARIANTS if v.black_box]


class Steady(Masker):
    """A masker that makes the same copies whatever seed it is given."""

    def __init__(self, masker, seed):
        super().__init__()
        self.masker, self.seed = masker, seed
        self.wants_clean, self.fills = masker.wants_clean, masker.fills

    def propose(self, images, seed):
        return self.masker.propose(images, self.seed)

    def occlude(self, images, hidden, seed):
        return self.masker.occlude(images, hidden, self.seed)


def stepped(task, views):
    """The loss of a step, which ends in gradients and, of MoCo, a longer queue."""
    task = task.double()
    task.before_step(NOW)
    loss = task(Views(views, None), ("encoder",), Seed(0), NOW, Carry()).loss
    loss.backward()
    task.after_step(NOW)
    return loss.detach()


def views_of(batch):
    generator = Seed(3).generator()
    return tuple(torch.randn(2, batch, 3, 16, 16, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize("variant", BOXED, ids=lambda v: v.name)
@pytest.mark.parametrize("root", [0, 1])
def test_sharing_changes_neither_loss_nor_gradients_nor_queue(variant, root):
    torch.manual_seed(root)
    ours = variant.objective.build(tiny())
    theirs = copy.deepcopy(ours)
    maskers: list[Masker] = [
        Steady(m.build(16, 3), Seed(root).fold("masker", k)) for k, m in enumerate(variant.maskers)
    ]
    views = views_of(8)
    loss = stepped(Siamese(ours, maskers), views)
    assert float(loss - stepped(BlackBox(theirs, maskers), views)) == pytest.approx(0, abs=1e-11)
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if one.grad is None or other.grad is None:
            assert one.grad is other.grad, name
            continue
        assert torch.allclose(one.grad, other.grad, rtol=1e-9, atol=1e-11), name
    for (name, one), other in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(one, other), name


def test_the_black_box_updates_running_statistics_in_every_call():
    torch.manual_seed(0)
    config = simclr.Config()
    ours = config.build(tiny())
    theirs = copy.deepcopy(ours)
    masker = Steady(mixmask.Config().build(16, 3), Seed(0))
    stepped(Siamese(ours, [masker]), views_of(4))
    stepped(BlackBox(theirs, [masker]), views_of(4))
    first = "backbone.body.1.num_batches_tracked"
    assert [int(o.get_buffer(first)) for o in (ours, theirs)] == [3, 6]


def test_a_black_box_takes_no_shares_of_single_images_and_no_erased_copies():
    it = simclr.Config().build(tiny())
    views = views_of(8)
    single = mixmask.Config(per_image=True, ratio=(0.2, 0.8), pattern="discrete").build(16, 3)
    with pytest.raises(ValueError, match="per_image=false"):
        stepped(BlackBox(it, [single]), views)
    with pytest.raises(ValueError, match="erased"):
        stepped(BlackBox(it, [erase.Config(grid=4).build(16, 3)]), views)
