import pytest
import torch
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.data.augment import Augmenter, Policy, adios, plain, precision, simclr
from masquerade.data.augment import augmenter as module

ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
IDENTITY = Policy(
    crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0, jitter=0.0, grey=0.0, blur=0.0
)


def full(images: Tensor) -> Tensor:
    return torch.tensor([images.shape[2:]]).repeat(len(images), 1)


@pytest.fixture(params=["as here", "float32", "bfloat16"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every machine checks both number formats."""
    name: str = request.param
    if name != "as here":
        monkeypatch.setattr(module, "resampling_dtype", lambda images: getattr(torch, name))
    return name


@pytest.mark.parametrize("exact", [False, True])
def test_the_identity_policy_returns_the_plain_image(photos: Tensor, arithmetic: str, exact: bool):
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.1)
    for size, tolerance in ((96, 1e-5), (32, 2 / 255 / 0.1)):
        view, other = Augmenter(IDENTITY.replace(exact=exact), size, mean, std).views(
            photos, full(photos), Seed(0)
        )
        expected = plain(photos, full(photos), size, mean, std)
        assert torch.equal(view, other)
        assert (view - expected).abs().max() <= tolerance


def test_a_flip_is_exact(photos: Tensor, arithmetic: str):
    straight = Augmenter(IDENTITY, 40, ZERO, ONE).views(photos, full(photos), Seed(0))[0]
    turned = Augmenter(IDENTITY.replace(flip=1.0), 40, ZERO, ONE)
    assert torch.equal(turned.views(photos, full(photos), Seed(0))[0], straight.flip(3))


@pytest.mark.parametrize("policy", [simclr(32), adios().replace(solarise=0.3)])
@pytest.mark.parametrize("exact", [False, True])
def test_equal_seeds_give_equal_pixels_and_others_do_not(
    photos: Tensor, policy: Policy, exact: bool
):
    augmenter = Augmenter(policy.replace(exact=exact), 24, ZERO, ONE)
    first, second = augmenter.views(photos, full(photos), Seed(0))
    again = augmenter.views(photos, full(photos), Seed(0))
    assert torch.equal(first, again[0]) and torch.equal(second, again[1])
    assert not torch.equal(first, second)
    assert not torch.equal(first, augmenter.views(photos, full(photos), Seed(1))[0])


def test_a_view_does_not_depend_on_how_many_there_are(photos: Tensor):
    augmenter = Augmenter(simclr(32), 32, ZERO, ONE)
    one = augmenter.views(photos, full(photos), Seed(0), count=1)
    three = augmenter.views(photos, full(photos), Seed(0), count=3)
    assert len(one) == 1 and len(three) == 3
    assert torch.equal(one[0], three[0])


@pytest.mark.parametrize("exact", [False, True])
def test_two_ranks_make_the_views_of_one(photos: Tensor, exact: bool):
    augmenter = Augmenter(adios().replace(exact=exact), 24, ZERO, ONE)
    whole = augmenter.views(photos, full(photos), Seed(0))
    half = len(photos) // 2
    for rank in range(2):
        rows = slice(rank * half, (rank + 1) * half)
        part = augmenter.views(photos[rows], full(photos[rows]), Seed(0), rank=rank, world=2)
        for ours, theirs in zip(part, whole, strict=True):
            # which kernel multiplies the matrices may depend on how many there are
            assert torch.allclose(ours, theirs[rows], atol=1e-5)


def test_the_size_of_the_pieces_changes_nothing(photos: Tensor, monkeypatch: pytest.MonkeyPatch):
    augmenter = Augmenter(adios(), 24, ZERO, ONE)
    whole = augmenter.views(photos, full(photos), Seed(0))
    monkeypatch.setattr(precision, "CPU_BYTES", 1)
    for ours, theirs in zip(augmenter.views(photos, full(photos), Seed(0)), whole, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_large_images_may_be_cut_to_what_is_seen(photos: Tensor, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "resampling_dtype", lambda images: torch.float32)
    extent = torch.tensor([[96, 50], [31, 96]]).repeat(len(photos) // 2, 1)
    augmenter = Augmenter(adios(), 24, ZERO, ONE)
    whole = *augmenter.views(photos, extent, Seed(0)), plain(photos, extent, 24, ZERO, ONE, 0.8)
    monkeypatch.setattr(precision, "ALONE", 0)
    cut = *augmenter.views(photos, extent, Seed(0)), plain(photos, extent, 24, ZERO, ONE, 0.8)
    for ours, theirs in zip(cut, whole, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_inputs_are_left_alone_and_memory_layout_does_not_matter(photos: Tensor):
    augmenter = Augmenter(adios().replace(solarise=0.5), 24, ZERO, ONE)
    before, extent = photos.clone(), full(photos)
    strided = augmenter.views(photos, extent, Seed(0))
    planar = augmenter.views(photos.contiguous(), extent, Seed(0))
    assert torch.equal(photos, before) and torch.equal(extent, full(photos))
    assert torch.equal(strided[0], planar[0])


def test_views_are_standardised_float32_channels_last(photos: Tensor):
    policy, mean, std = simclr(32), (0.4, 0.5, 0.6), (0.2, 0.3, 0.1)
    raw = Augmenter(policy, 32, ZERO, ONE).views(photos, full(photos), Seed(0))[0]
    view = Augmenter(policy, 32, mean, std).views(photos, full(photos), Seed(0))[0]
    shape = (3, 1, 1)
    expected = (raw - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
    assert torch.allclose(view, expected, atol=1e-5)
    assert raw.min() >= 0 and raw.max() <= 1
    assert view.dtype == torch.float32
    assert view.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("exact", [False, True])
def test_nothing_outside_the_extent_is_seen(photos: Tensor, exact: bool):
    images = photos[:16].clone()
    extent = torch.tensor([[96, 50], [31, 96], [40, 40], [1, 2]]).repeat(4, 1)
    for image, (h, w) in zip(images, extent.tolist(), strict=True):
        image[:, h:] = 255
        image[:, :, w:] = 255
    other = images.clone()
    for image, (h, w) in zip(other, extent.tolist(), strict=True):
        image[:, h:] = 0
        image[:, :, w:] = 0
    augmenter = Augmenter(adios().replace(exact=exact), 24, ZERO, ONE)
    ours = augmenter.views(images, extent, Seed(0))
    assert torch.equal(ours[0], augmenter.views(other, extent, Seed(0))[0])


@pytest.mark.parametrize("exact", [False, True])
def test_16_bits_give_the_views_of_8(photos: Tensor, exact: bool):
    augmenter = Augmenter(simclr(96).replace(exact=exact), 32, ZERO, ONE)
    deep = (photos.int() * 257).to(torch.uint16)
    small = augmenter.views(photos, full(photos), Seed(0))[0]
    large = augmenter.views(deep, full(photos), Seed(0))[0]
    assert (small - large).abs().mean() < 1.5 / 255


@pytest.mark.parametrize("exact", [False, True])
def test_grey_images_get_the_same_views_as_their_three_channels(photos: Tensor, exact: bool):
    one = photos[:, :1]
    policy = adios().replace(exact=exact)
    single = Augmenter(policy, 32, (0.0,), (1.0,)).views(one, full(one), Seed(0))[0]
    triple = Augmenter(policy, 32, ZERO, ONE).views(one.expand(-1, 3, -1, -1), full(one), Seed(0))[
        0
    ]
    assert single.shape == (len(one), 1, 32, 32)
    assert (single - triple[:, :1]).abs().mean() < 1 / 255


def test_five_channels_are_seen_through_the_same_window(photos: Tensor):
    five = torch.cat([photos, photos[:, :2]], 1)
    policy = adios().replace(jitter=0.0, grey=0.0)
    ours = Augmenter(policy, 32, (0.0,) * 5, (1.0,) * 5).views(five, full(five), Seed(0))[0]
    three = Augmenter(policy, 32, ZERO, ONE).views(photos, full(photos), Seed(0))[0]
    assert torch.allclose(ours[:, :3], three, atol=1e-2)
    assert torch.allclose(ours[:, 3:], ours[:, :2], atol=1e-5)
    with pytest.raises(ValueError, match="1 or 3 channels"):
        Augmenter(policy.replace(exact=True), 32, (0.0,) * 5, (1.0,) * 5).views(
            five, full(five), Seed(0)
        )


def test_solarising_inverts_bright_values_after_the_blur(photos: Tensor):
    policy = adios().replace(jitter=0.0, grey=0.0, blur=1.0)
    before = Augmenter(policy, 32, ZERO, ONE).views(photos, full(photos), Seed(0))[0]
    after = Augmenter(policy.replace(solarise=1.0), 32, ZERO, ONE).views(
        photos, full(photos), Seed(0)
    )[0]
    assert torch.allclose(after, torch.where(before >= 128 / 255, 1 - before, before), atol=1e-6)


@pytest.mark.parametrize("size", [32, 64])
def test_blurred_views_are_those_of_torchvision_where_nothing_clips(photos: Tensor, size: int):
    policy = adios().replace(jitter=0.0, grey=0.3, blur=0.7, solarise=0.0, interpolation="bilinear")
    ours = Augmenter(policy, size, ZERO, ONE).views(photos, full(photos), Seed(0))
    exact = Augmenter(policy.replace(exact=True), size, ZERO, ONE)
    for view, expected in zip(ours, exact.views(photos, full(photos), Seed(0)), strict=True):
        gap = (view - expected).abs() * 255
        assert gap.mean() < 1 and gap.max() < 4  # bytes are rounded after each of three steps


def test_a_batch_of_none_is_none(photos: Tensor):
    none = photos[:0]
    extent = torch.zeros(0, 2, dtype=torch.long)
    views = Augmenter(simclr(32), 32, ZERO, ONE).views(none, extent, Seed(0))
    assert [v.shape for v in views] == [(0, 3, 32, 32)] * 2


def test_it_says_when_channels_do_not_fit(photos: Tensor):
    with pytest.raises(
        ValueError, match="images have 3 channels, but mean and std are given for 1"
    ):
        Augmenter(simclr(32), 32, (0.5,), (0.2,)).views(photos, full(photos), Seed(0))
    with pytest.raises(ValueError, match="one number a channel"):
        Augmenter(simclr(32), 32, (0.5,), (0.2, 0.2))
    with pytest.raises(ValueError, match="positive std"):
        Augmenter(simclr(32), 32, (0.5,), (0.0,))
