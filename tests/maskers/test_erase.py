import pytest
import torch
from torch.nn import functional as F

from masquerade.core.seed import Seed
from masquerade.engine import gather
from masquerade.maskers import erase

FILLS = ["zeros", "mean", "noise", "blur"]
every_fill = pytest.mark.parametrize("fill", FILLS)


def pictures(count=4, size=32):
    return torch.randn(count, 3, size, size, generator=Seed(0).generator())


def cells_hidden_at_first(images, count, grid, ratio, seed):
    """Masks as all results up to now were made with: ranks of uniform draws, by image."""
    batch, _, height, width = images.shape
    drawn = torch.rand((batch, count, grid * grid), generator=seed.generator())
    rank = drawn.argsort(2).argsort(2)
    hidden = (rank < round(ratio * grid * grid)).float().view(batch, count, grid, grid)
    return F.interpolate(hidden, (height, width), mode="nearest")


@pytest.mark.parametrize(
    ("masks", "grid", "ratio"), [(1, 6, 0.75), (2, 4, 0.75), (3, 5, 0.5), (1, 3, 0), (2, 7, 1)]
)
def test_draws_are_those_of_the_results_on_file(masks, grid, ratio):
    images, at = pictures(7, 33), Seed(4).fold("step", 9, "masker", 0)
    found = erase.Config(masks=masks, grid=grid, ratio=ratio).build(33, 3).propose(images, at)
    assert torch.equal(found, cells_hidden_at_first(images, masks, grid, ratio, at))


def test_by_default_one_copy_hides_three_quarters_of_36_cells_behind_the_mean_colour():
    images = pictures(size=96)
    masker = erase.Config().build(96, 3)
    [copy] = masker.occlude(images, masker.propose(images, Seed(0)), Seed(0))
    assert torch.equal(copy.hidden.sum((1, 2, 3)), torch.full((4,), 27.0 * 16 * 16))
    assert torch.equal(copy.images, images * (1 - copy.hidden))
    assert not masker.wants_clean
    assert not masker.fills


@every_fill
def test_a_pair_shows_every_pixel_once_and_weighs_each_half_by_what_is_left(fill):
    images = pictures()
    masker = erase.Config(pair=True, masks=2, fill=fill, exact=False).build(32, 3)
    hidden = masker.propose(images, Seed(0))
    copies = masker.occlude(images, hidden, Seed(0))
    assert len(copies) == 4
    for k, (first, second) in enumerate(zip(copies[::2], copies[1::2], strict=True)):
        assert torch.equal(first.hidden, hidden[:, k : k + 1])
        assert torch.equal(first.hidden + second.hidden, torch.ones(4, 1, 32, 32))
        for copy in (first, second):
            assert torch.allclose(copy.weight, 1 - copy.hidden.mean((1, 2, 3)), atol=1e-6)
            assert (copy.share == 1).all()
        filling = erase.filling(images, masker.config, Seed(0).fold("fill", k))
        assert torch.allclose(first.images + second.images, images + filling, atol=1e-6)


@every_fill
def test_a_single_copy_weighs_1(fill):
    masker = erase.Config(fill=fill).build(32, 3)
    images = pictures()
    [copy] = masker.occlude(images, masker.propose(images, Seed(0)), Seed(0))
    assert (copy.weight == 1).all()


def test_the_mean_is_the_images_own():
    found = erase.filling(pictures(), erase.Config(fill="mean"), Seed(0))
    assert torch.allclose(found, pictures().mean((2, 3), keepdim=True).expand_as(found))


def test_noise_has_its_deviation_and_differs_by_image_copy_and_seed():
    config = erase.Config(fill="noise", noise_std=0.25)
    found = erase.filling(pictures(4, 64), config, Seed(0))
    assert found.std() == pytest.approx(0.25, rel=0.02)
    assert found.mean() == pytest.approx(0, abs=0.006)
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found, erase.filling(pictures(4, 64), config, Seed(1)))
    copies = (
        config.replace(masks=2, ratio=1)
        .build(32, 3)
        .occlude(pictures(), torch.ones(4, 2, 32, 32), Seed(0))
    )
    assert not torch.equal(copies[0].images, copies[1].images)


def test_processes_fill_their_images_with_the_noise_of_their_rows(monkeypatch):
    config = erase.Config(fill="noise")
    whole = erase.filling(pictures(8), config, Seed(0))
    for rank in (0, 1):
        monkeypatch.setattr(gather, "rank", lambda at=rank: at)
        own = erase.filling(pictures(4), config, Seed(0))
        assert torch.equal(own, whole[4 * rank : 4 * rank + 4])


def test_a_blurred_point_is_a_gaussian_of_its_width():
    point = torch.zeros(1, 1, 65, 65)
    point[0, 0, 32, 32] = 1
    found = erase.filling(point, erase.Config(fill="blur", blur_sigma=5 / 65), Seed(0))
    far = torch.arange(65.0) - 32
    bell = torch.exp(-0.5 * (far / 5).square())
    bell = bell / bell.sum()
    assert torch.allclose(found[0, 0], bell[:, None] * bell, atol=1e-6)


def test_a_flat_image_stays_flat_when_it_is_blurred():
    flat = torch.full((2, 3, 32, 48), 0.7)
    found = erase.filling(flat, erase.Config(fill="blur"), Seed(0))
    assert torch.allclose(found, flat, atol=1e-5)


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"ratio": 2}, "ratio: a share from 0 to 1"),
        ({"pattern": "given"}, "pattern must be one of blocked, discrete, noise"),
        ({"fill": "grey"}, "fill must be one of zeros, mean, noise, blur"),
        ({"noise_std": 0}, "noise_std must be more than 0"),
        ({"blur_sigma": 0.6}, "blur_sigma must be at most 0.5"),
    ],
)
def test_settings_out_of_range_are_refused(tree, said):
    with pytest.raises(ValueError, match=said):
        erase.Config.parse(tree)
