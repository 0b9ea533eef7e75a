"""What the black box is beside the shared form; that both are one loss: tests/exact."""

import copy

import pytest
import torch
from benchmarks.black_box import BlackBox
from tests.exact.identities import Steady, stepped, views_of
from tests.pretext.frameworks import tiny

from masquerade.core.seed import Seed
from masquerade.maskers import erase, mixmask
from masquerade.objectives import simclr
from masquerade.pretext.siamese import Siamese


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
