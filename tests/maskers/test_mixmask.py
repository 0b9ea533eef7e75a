"""Mixtures against the arrays of the official code, and what filling does to an adversary."""

from pathlib import Path

import numpy as np
import pytest
import torch

from masquerade.core.seed import Seed
from masquerade.engine.task import Progress
from masquerade.maskers import adios, erase, mixmask, partners, sequential, unmix
from masquerade.maskers.base import MaskerConfig
from masquerade.recipes.base import recipe

ORACLE = np.load(Path(__file__).parents[1] / "oracles" / "mixmask" / "mixing.npz")
NOW = Progress(3, 10, 5)


def array(name):
    return torch.from_numpy(ORACLE[name])


def official_mask(count=8):
    """What is hidden: the official mask is 1 where the image stays."""
    return (1 - array("mask")).expand(count, 1, -1, -1)


def filled(images, hidden, **settings):
    return mixmask.Config(**settings).build(16, 3).occlude(images, hidden, Seed(0))


def test_mixtures_with_the_reversed_batch_are_the_official_ones():
    [copy] = filled(array("x1"), official_mask())
    assert torch.equal(copy.images, array("mix_flip"))
    assert copy.partner is not None
    assert copy.partner.tolist() == [7, 6, 5, 4, 3, 2, 1, 0]
    assert (copy.share == float(array("lam_mask"))).all()
    assert (copy.weight == 1).all()


def test_in_an_odd_batch_the_middle_image_stays_itself():
    images = array("x1")[:5]
    [copy] = filled(images, official_mask(5))
    assert torch.equal(copy.images, array("mix_flip_odd"))
    assert torch.equal(copy.images[2], images[2])


def test_mixtures_with_a_permutation_are_the_official_ones(monkeypatch):
    permutation = array("perm")
    monkeypatch.setattr(partners, "permutations", lambda *_: permutation[None])
    [copy] = filled(array("x1"), official_mask(), partners="random")
    assert torch.equal(copy.images, array("mix_perm"))
    assert copy.partner is not None
    assert torch.equal(copy.partner, permutation)
    # The image of a mixture's other half: what the official code finds by re-ordering.
    switched = copy.images[array("inv_perm")]
    mask = 1 - official_mask()
    assert torch.equal(switched, mask * array("x1")[array("inv_perm")] + (1 - mask) * array("x1"))


@pytest.mark.parametrize("order", ["reverse", "random", "derangement"])
def test_the_complement_of_a_mask_shows_the_partners_mixture_with_shares_swapped(order):
    """Under any permutation: m with fill and 1 - m with its inverse make the same images."""
    images, hidden = array("x1"), official_mask()
    [copy] = filled(images, hidden, partners=order)
    assert copy.partner is not None
    back = copy.partner.argsort()
    complement = images * hidden + images[back] * (1 - hidden)
    assert torch.equal(copy.images[back], complement)
    [turned] = filled(images, 1 - hidden, partners=order)
    assert torch.equal(turned.share, 1 - copy.share)
    if order == "reverse":
        assert torch.equal(turned.images, complement)


def test_a_mask_that_hides_nothing_leaves_images_alone_and_one_that_hides_all_shows_partners():
    images = array("x1")
    [nothing] = filled(images, torch.zeros_like(official_mask()))
    assert torch.equal(nothing.images, images)
    assert (nothing.share == 1).all()
    [everything] = filled(images, torch.ones_like(official_mask()))
    assert torch.equal(everything.images, images.flip(0))
    assert (everything.share == 0).all()


def test_shares_are_those_of_the_pixels_where_cells_differ_in_size():
    images = torch.randn(4, 3, 32, 32, generator=Seed(0).generator())
    masker = mixmask.Config(grid=7, per_image=True).build(32, 3)
    hidden = masker.propose(images, Seed(1))
    [copy] = masker.occlude(images, hidden, Seed(1))
    assert torch.allclose(copy.share, 1 - hidden.mean((1, 2, 3)), atol=1e-6)
    assert len(copy.share.unique()) > 1


LEARNED = [
    adios.Config(width=8, shown=2, budget="held"),
    sequential.Config(width=8, masks=2, control="held"),
]


@pytest.mark.parametrize("config", LEARNED, ids=lambda c: c.kind)
def test_an_adversary_whose_masks_are_filled_stays_what_it_is(config):
    images = torch.randn(4, 3, 32, 32, generator=Seed(0).generator())
    torch.manual_seed(0)
    alone = config.build(32, 3)
    torch.manual_seed(0)
    masker = mixmask.Config(pattern="given", given=(config,)).build(32, 3)
    assert masker.exclusive == alone.exclusive
    assert masker.wants_clean
    assert masker.fills
    masks, own = (m.propose(images, Seed(1)) for m in (masker, alone))
    assert torch.equal(masks, own)
    paid = masker.price([masks], [images], NOW)
    assert torch.equal(paid, alone.price([own], [images], NOW))
    copies, erased = (m.occlude(images, masks, Seed(2)) for m in (masker, alone))
    assert len(copies) == len(erased)
    for copy, other in zip(copies, erased, strict=True):
        assert torch.equal(copy.hidden, other.hidden)
        assert torch.allclose(copy.images, other.images + images.flip(0) * copy.hidden, atol=1e-6)
        assert not copy.share.requires_grad
    for m in (masker, alone):
        m.after_step(NOW)
    moved, own = (
        m.state_dict()[f"{at}held.weights"] for m, at in ((masker, "given."), (alone, ""))
    )
    assert torch.equal(moved, own)
    assert not torch.equal(moved, config.build(32, 3).state_dict()["held.weights"])


def test_copies_of_a_given_masker_keep_their_weights():
    given = erase.Config(pair=True, ratio=0.25, grid=4)
    masker = mixmask.Config(pattern="given", given=(given,), partners="derangement").build(16, 3)
    images = array("x1")
    copies = masker.occlude(images, masker.propose(images, Seed(0)), Seed(0))
    assert [c.weight.unique().tolist() for c in copies] == [[0.75], [0.25]]
    assert [c.share.unique().tolist() for c in copies] == [[0.75], [0.25]]
    assert torch.equal(copies[0].hidden, 1 - copies[1].hidden)


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"pattern": "given"}, "exactly one masker.* got pattern=given and 0 in given"),
        ({"given": ["adios"]}, "got pattern=blocked and 1 in given"),
        ({"pattern": "given", "given": ["adios", "erase"]}, "got pattern=given and 2 in given"),
        ({"pattern": "given", "given": ["unmix"]}, "given=unmix fills by itself; give one that"),
        ({"pattern": "given", "given": ["erose"]}, "Did you mean 'erase'"),
        ({"partners": "other"}, "partners must be one of reverse, random, derangement"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(tree, said):
    with pytest.raises(ValueError, match=said):
        mixmask.Config.parse(tree)


def test_a_given_masker_is_asked_about_the_batch_and_the_size_too(monkeypatch):
    config = mixmask.Config(pattern="given", given=(erase.Config(grid=40),))
    with pytest.raises(ValueError, match=r"erase.grid=40 is finer than images of 32 pixels"):
        config.build(32, 3)
    asked = []
    monkeypatch.setattr(erase.Config, "check", lambda self, *said: asked.append(said))
    config.check(8, 2)
    assert asked == [(8, 2)]


def test_maskers_are_set_on_a_command_line():
    config = MaskerConfig.parse({"kind": "mixmask"})
    given = config.override(["pattern=given", "given=adios", "given.0.width=8"])
    assert given == mixmask.Config(pattern="given", given=(adios.Config(width=8),))
    assert config.override(["ratio=[0.25,0.75]"]) == mixmask.Config(ratio=(0.25, 0.75))
    assert config.override(["ratio=0.25"]) == mixmask.Config(ratio=0.25)
    assert isinstance(MaskerConfig.parse("unmix"), unmix.Config)


def test_a_given_masker_is_set_where_the_settings_name_only_the_kind_of_what_fills():
    run = recipe("simclr", "smoke")
    words = ["maskers=mixmask", "maskers.0.pattern=given", "maskers.0.given=adios"]
    found = run.override([*words, "maskers.0.given.0.width=8"])
    assert found.maskers == (mixmask.Config(pattern="given", given=(adios.Config(width=8),)),)
    with pytest.raises(ValueError, match="got pattern=given and 2 in given"):
        run.override([*words[:2], "maskers.0.given=adios,erase"])
    with pytest.raises(ValueError, match="Did you mean 'adios'"):
        run.override([*words[:2], "maskers.0.given=adois"])
