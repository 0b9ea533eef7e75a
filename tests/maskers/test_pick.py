import pytest
import torch

from masquerade.core.seed import Seed
from masquerade.engine import gather
from masquerade.maskers import adios, pick, sequential


def test_one_of_n_takes_every_mask_equally_often():
    picks = pick.slots(Seed(0), 20_000, 4, 1)
    assert picks.shape == (20_000, 1)
    counts = picks.flatten().bincount(minlength=4)
    chi = ((counts - 5000).square() / 5000).sum()
    assert chi < 16.3  # 0.1 % of uniform draws lie above, with 3 degrees of freedom


def test_k_of_n_takes_different_masks_each_equally_often_in_every_place():
    picks = pick.slots(Seed(1), 20_000, 5, 3)
    assert all(len(set(row)) == 3 for row in picks.tolist())
    for place in picks.unbind(1):
        counts = place.bincount(minlength=5)
        assert ((counts - 4000).square() / 4000).sum() < 18.5  # 0.1 %, 4 degrees of freedom


def test_equal_seeds_pick_equal_masks_and_other_seeds_others():
    one, same, other = (pick.slots(Seed(s), 64, 4, 1) for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_processes_draw_for_the_joined_batch_and_take_their_rows(monkeypatch):
    whole = pick.slots(Seed(3), 8, 4, 2)
    monkeypatch.setattr(gather, "world", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr(gather, "rank", lambda at=rank: at)
        own = pick.slots(Seed(3), 4, 4, 2)
        assert torch.equal(own, whole[4 * rank : 4 * rank + 4])


@pytest.mark.parametrize("config", [adios.Config(width=8), sequential.Config(width=8)])
def test_copies_show_the_picked_masks(config, monkeypatch):
    picks = torch.tensor([[2, 0], [3, 1]])
    monkeypatch.setattr(pick, "slots", lambda seed, batch, masks, shown: picks)
    masker = config.replace(shown=2).build(32, 3)
    images = torch.randn(2, 3, 32, 32, generator=Seed(0).generator())
    hidden = torch.rand(2, 4, 32, 32, generator=Seed(1).generator())
    copies = masker.occlude(images, hidden, Seed(0))
    assert len(copies) == 2
    for k, copy in enumerate(copies):
        for b in range(2):
            assert torch.equal(copy.hidden[b, 0], hidden[b, picks[b, k]])
            assert torch.equal(copy.images[b], images[b] * (1 - hidden[b, picks[b, k]]))


@pytest.mark.parametrize("config", [adios.Config(width=8), sequential.Config(width=8)])
def test_all_masks_are_shown_in_order_where_shown_is_0_or_n(config):
    images = torch.randn(2, 3, 32, 32, generator=Seed(0).generator())
    hidden = torch.rand(2, 4, 32, 32, generator=Seed(1).generator())
    for shown in (0, 4):
        copies = config.replace(shown=shown).build(32, 3).occlude(images, hidden, Seed(0))
        assert torch.equal(torch.cat([c.hidden for c in copies], 1), hidden)


@pytest.mark.parametrize("family", [adios, sequential])
def test_more_copies_than_masks_are_refused(family):
    with pytest.raises(ValueError, match="shown=5 is more than masks=4"):
        family.Config.parse({"shown": 5})


def test_both_views_of_a_round_show_the_same_masks_and_the_other_player_others():
    masker = adios.Config(width=8, shown=1).build(32, 3)
    images = torch.zeros(32, 3, 32, 32)
    # Each mask hides everything by another degree, so that a copy tells which one it is.
    hidden = torch.arange(4.0).div(4)[None, :, None, None].expand(32, 4, 32, 32)
    one, two, other = (masker.occlude(images, hidden, Seed(s))[0].hidden for s in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
