import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from masquerade.core.seed import Seed
from masquerade.engine import gather
from masquerade.maskers import mixmask, partners, unmix


@given(
    order=st.sampled_from(["reverse", "random", "derangement"]),
    length=st.integers(1, 40),
    root=st.integers(0, 99),
)
def test_partners_are_a_permutation(order, length, root):
    rows = partners.permutations(order, 3, length, Seed(root))
    assert rows.sort(1).values.tolist() == [list(range(length))] * 3


@given(length=st.integers(2, 40), root=st.integers(0, 99))
def test_in_a_derangement_nobody_is_its_own_partner(length, root):
    rows = partners.permutations("derangement", 4, length, Seed(root))
    assert (rows != torch.arange(length)).all()


def test_reversed_the_first_meets_the_last():
    assert partners.permutations("reverse", 1, 4, Seed(0)).tolist() == [[3, 2, 1, 0]]
    assert partners.permutations("reverse", 2, 3, Seed(0)).tolist() == [[2, 1, 0]] * 2


def test_random_partners_are_uniform_with_one_fixed_point_on_average():
    rows = partners.permutations("random", 20_000, 4, Seed(1))
    counts = (rows @ torch.tensor([64, 16, 4, 1])).unique(return_counts=True)[1]
    assert len(counts) == 24
    expected = 20_000 / 24
    assert ((counts - expected).square() / expected).sum() < 49.7  # 0.1 %, 23 degrees of freedom
    fixed = (rows == torch.arange(4)).sum(1).double()
    assert abs(fixed.mean() - 1) < 0.03


def test_every_single_cycle_is_equally_likely_as_a_derangement():
    rows = partners.permutations("derangement", 20_000, 4, Seed(2))
    counts = (rows @ torch.tensor([64, 16, 4, 1])).unique(return_counts=True)[1]
    assert len(counts) == 6
    assert ((counts - 20_000 / 6).square() / (20_000 / 6)).sum() < 20.5  # 5 degrees of freedom


def pictures(count=8):
    return torch.randn(count, 3, 8, 8, generator=Seed(5).generator())


def halves(count=8):
    return (torch.rand(count, 1, 8, 8, generator=Seed(6).generator()) < 0.4).float()


def as_process(monkeypatch, rank, world=2):
    """This process as one of two that share the pictures."""
    monkeypatch.setattr(gather, "world", lambda: world)
    monkeypatch.setattr(gather, "rank", lambda: rank)
    monkeypatch.setattr(gather, "gathered", lambda x: pictures())


@pytest.mark.parametrize("order", ["reverse", "random", "derangement"])
def test_with_partners_of_the_batch_two_processes_make_the_copies_of_one(order, monkeypatch):
    config = mixmask.Config(partners=order, partners_from="batch")
    whole = partners.mixed(pictures(), [halves(), 1 - halves()], config, Seed(0))
    for rank in (0, 1):
        as_process(monkeypatch, rank)
        own = slice(4 * rank, 4 * rank + 4)
        masks = [halves()[own], 1 - halves()[own]]
        parts = partners.mixed(pictures()[own], masks, config, Seed(0))
        for part, copy in zip(parts, whole, strict=True):
            for ours, all_of_them in zip(part, copy, strict=True):
                assert ours is not None and all_of_them is not None
                assert torch.equal(ours, all_of_them[own])


@pytest.mark.parametrize("order", ["reverse", "random", "derangement"])
def test_partners_of_a_process_are_its_own_images_named_by_their_row_in_the_batch(
    order, monkeypatch
):
    config, seen = unmix.Config(partners=order), []
    for rank in (0, 1):
        as_process(monkeypatch, rank)
        own = slice(4 * rank, 4 * rank + 4)
        [copy] = partners.mixed(pictures()[own], [torch.ones(4, 1, 8, 8)], config, Seed(2))
        assert copy.partner is not None
        assert torch.equal(copy.images, pictures()[copy.partner])
        assert sorted(copy.partner.tolist()) == list(range(4 * rank, 4 * rank + 4))
        seen.append((copy.partner - 4 * rank).tolist())
    assert (seen[0] == seen[1]) == (order == "reverse")


def test_copies_of_several_masks_have_partners_of_their_own():
    masks = [halves(), halves()]
    one, two = partners.mixed(pictures(), masks, mixmask.Config(partners="random"), Seed(0))
    assert one.partner is not None and two.partner is not None
    assert not torch.equal(one.partner, two.partner)


def test_the_share_is_what_is_left_of_the_image_and_says_nothing_to_a_learned_mask():
    mask = torch.rand(8, 1, 8, 8, generator=Seed(7).generator()).requires_grad_()
    [copy] = partners.mixed(pictures(), [mask], mixmask.Config(), Seed(0))
    assert torch.allclose(copy.share, 1 - mask.detach().mean((1, 2, 3)))
    assert not copy.share.requires_grad
    copy.images.sum().backward()
    assert mask.grad is not None and mask.grad.abs().sum() > 0


@pytest.mark.parametrize("config", [mixmask.Config(), unmix.Config()])
@pytest.mark.parametrize(
    ("changes", "batch", "devices", "said"),
    [
        ({}, 255, 1, r"batch=255 is odd, and with partners=reverse .* or partners=derangement"),
        ({}, 6, 2, r"batch=6 / 2 devices = 3 is odd"),
        ({}, 1, 1, r"batch=1 leaves an image without a partner. Take 2 images or more$"),
        ({}, 2, 2, r"batch=2 / 2 devices = 1 leaves .* or partners_from=batch"),
        ({"partners": "derangement"}, 2, 2, "leaves an image without a partner"),
        ({"partners_from": "batch", "partners": "random"}, 1, 1, "Take 2 images or more$"),
        ({"partners_from": "batch"}, 5, 5, r"batch=5 is odd"),
    ],
)
def test_batches_that_leave_somebody_alone_are_refused(config, changes, batch, devices, said):
    with pytest.raises(ValueError, match=rf"^{config.kind}: .*{said}"):
        config.replace(**changes).check(batch, devices)


@pytest.mark.parametrize(
    ("changes", "batch", "devices"),
    [
        ({}, 256, 8),
        ({"partners": "derangement"}, 255, 1),
        ({"partners": "random"}, 6, 2),
        ({"partners_from": "batch"}, 6, 2),
        ({"partners_from": "batch"}, 4, 4),
    ],
)
def test_other_batches_are_not(changes, batch, devices):
    for config in (mixmask.Config(), unmix.Config()):
        config.replace(**changes).check(batch, devices)
