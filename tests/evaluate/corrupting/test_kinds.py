"""The kinds of corruption against another implementation, their formulas, and laws of all."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from masquerade.core.seed import Seed
from masquerade.evaluate.corrupting import blur, digital, kinds, spatter, weather
from masquerade.evaluate.corrupting.draws import Draws
from masquerade.evaluate.corrupting.kinds import KINDS, SEVERITIES, corrupted

# What imagecorruptions-imaug 1.1.5 makes of one image, its random numbers being ours.
STORED = Path(__file__).parents[2] / "oracles" / "corruptions" / "imagecorruptions.npz"
EXACT = ["gaussian_noise", "shot_noise", "speckle_noise", "gaussian_blur", "fog", "contrast"]
EXACT += ["pixelate", "jpeg_compression"]
NEARLY = ("defocus_blur", "zoom_blur", "motion_blur", "brightness", "saturate")  # float32 there
every = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def stored():
    with np.load(STORED) as found:
        return dict(found)


@pytest.fixture(scope="module")
def images(stored):
    """Two photographs' worth of structure at 32 px, from the stored one."""
    whole = torch.from_numpy(stored["image"]).permute(2, 0, 1)
    return torch.stack([whole[:, :32, :32], whole[:, 20:52, 24:56]])


def made(stored, kind, severity):
    image = torch.from_numpy(stored["image"]).permute(2, 0, 1)[None]
    return corrupted(image, kind, severity, "imagenet", Seed(0))[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_these_kinds_equal_another_implementation_to_the_last_level(stored, kind, severity):
    assert (made(stored, kind, severity) == stored[f"{kind}_{severity}"]).all()


@pytest.mark.parametrize("kind", NEARLY)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_these_kinds_differ_from_it_by_one_level_where_it_rounds_otherwise(stored, kind, severity):
    change = made(stored, kind, severity).astype(int) - stored[f"{kind}_{severity}"]
    assert abs(change).max() <= 1
    assert (change != 0).mean() < (0.2 if kind == "saturate" else 0.04)


@pytest.mark.parametrize("severity", [2, 3])  # where it enlarges flakes by whole factors
def test_snow_differs_from_it_by_two_levels_of_rounding(stored, severity):
    change = made(stored, "snow", severity).astype(int) - stored[f"snow_{severity}"]
    assert abs(change).max() <= 2


@pytest.mark.parametrize("severity", SEVERITIES)
def test_spatter_differs_from_it_on_the_rims_of_drops_only(stored, severity):
    change = abs(made(stored, "spatter", severity).astype(int) - stored[f"spatter_{severity}"])
    assert (change > 1).mean() < 0.14  # its edges and distances are OpenCV's approximations
    assert change.max() <= (1 if severity > 3 else 50)


@pytest.mark.parametrize("decay", [1.4, 2.0, 3.0])
def test_clouds_equal_its_own(stored, decay):
    draws = Draws(Seed(0).fold("plasma", 1), 0, 1)
    found = weather.plasma(32, decay, draws)[0, 0].numpy()
    np.testing.assert_allclose(found, stored[f"plasma_{decay}"], atol=2e-7)


@every
@pytest.mark.parametrize("constants", ["imagenet", "cifar"])
def test_images_keep_shape_and_type_and_are_not_changed_in_place(images, kind, constants):
    before = images.clone()
    for severity in SEVERITIES:
        found = corrupted(images, kind, severity, constants, Seed(0))
        assert found.shape == images.shape and found.dtype == torch.uint8
        assert (found != images).any()
    assert torch.equal(images, before)


@every
def test_an_image_is_corrupted_alike_in_any_batch(images, kind):
    whole = corrupted(images, kind, 3, "cifar", Seed(0), first=10)
    for row in range(2):
        alone = corrupted(images[row : row + 1], kind, 3, "cifar", Seed(0), first=10 + row)
        assert torch.equal(alone[0], whole[row])


@every
def test_draws_depend_on_seed_severity_and_place_where_there_are_any(images, kind):
    still = {"defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate"}
    still |= {"jpeg_compression", "gaussian_blur", "saturate"}
    first, again = (corrupted(images, kind, 3, "cifar", Seed(0)) for _ in range(2))
    assert torch.equal(first, again)
    twice = torch.stack([images[0], images[0]])
    apart = corrupted(twice, kind, 3, "cifar", Seed(0))
    other = corrupted(images, kind, 3, "cifar", Seed(1))
    assert torch.equal(apart[0], apart[1]) == (kind in still)
    assert torch.equal(first, other) == (kind in still)


# Of the others the severities differ in kind.
STRONGER = [k for k in KINDS if k not in ("elastic_transform", "saturate", "spatter")]


@pytest.mark.parametrize("kind", STRONGER)
@pytest.mark.parametrize("constants", ["imagenet", "cifar"])
def test_the_last_severity_changes_more_than_the_first(stored, kind, constants):
    image = torch.from_numpy(stored["image"]).permute(2, 0, 1)[None]
    if constants == "cifar":
        image = image[:, :, 16:48, 16:48].contiguous()
    many = image.expand(4, -1, -1, -1).contiguous()
    weak, strong = (
        (corrupted(many, kind, s, constants, Seed(0)).double() - many).abs().mean() for s in (1, 5)
    )
    assert strong > weak


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in kinds.COLOURFUL])
def test_one_channel_is_enough(images, kind):
    grey = images[:, :1].contiguous()
    found = corrupted(grey, kind, 4, "cifar", Seed(0))
    assert found.shape == grey.shape and (found != grey).any()


def test_what_cannot_be_is_refused_in_words(images):
    with pytest.raises(ValueError, match="saturate takes images of 3 channels, got 1"):
        corrupted(images[:, :1], "saturate", 1, "cifar", Seed(0))
    with pytest.raises(ValueError, match="fog takes images of 1 or 3 channels, got 2"):
        corrupted(images[:, :2], "fog", 1, "cifar", Seed(0))
    with pytest.raises(ValueError, match=r"no corruption is called 'frost'; there are: gauss"):
        corrupted(images, "frost", 1, "cifar", Seed(0))
    with pytest.raises(ValueError, match="severity must be 1 to 5, got 0"):
        corrupted(images, "fog", 0, "cifar", Seed(0))


def test_every_kind_has_five_severities_of_both_sets_and_19_kinds_are_there():
    assert len(KINDS) == 19 and len(kinds.USUAL) == 15 and "frost_like" in kinds.USUAL
    assert (
        {len(k.imagenet) for k in KINDS.values()} == {5} == {len(k.cifar) for k in KINDS.values()}
    )
    ends = [
        [float(z[-1].round(9)) for z in s]
        for s in (KINDS["zoom_blur"].imagenet, KINDS["zoom_blur"].cifar)
    ]
    assert ends == [[1.11, 1.15, 1.2, 1.24, 1.3], [1.06, 1.11, 1.15, 1.2, 1.25]]


def test_impulse_noise_hits_its_share_of_values_with_black_and_white_alike():
    images = torch.full((1, 3, 200, 200), 100, dtype=torch.uint8)
    found = corrupted(images, "impulse_noise", 5, "imagenet", Seed(0))
    hit = found != 100
    assert float(hit.double().mean()) == pytest.approx(0.27, abs=0.005)
    assert set(found.unique().tolist()) == {0, 100, 255}
    assert float((found[hit] == 255).double().mean()) == pytest.approx(0.5, abs=0.01)
    assert not (hit[:, 0] == hit[:, 1]).all()  # values, not pixels


def test_noise_has_the_deviation_of_its_severity():
    images = torch.full((1, 3, 200, 200), 128, dtype=torch.uint8)
    for severity, deviation in ((1, 0.04), (3, 0.08), (5, 0.1)):
        found = corrupted(images, "gaussian_noise", severity, "cifar", Seed(0)).double() / 255
        assert float(found.std()) == pytest.approx(deviation, rel=0.02)
    shot = corrupted(images, "shot_noise", 1, "cifar", Seed(0)).double() / 255
    assert float(shot.std()) == pytest.approx((128 / 255 / 500) ** 0.5, rel=0.02)


def test_glass_copies_neighbours_in_the_order_of_the_official_loops():
    stream = Seed(0).fold("glass")
    x = torch.rand(1, 3, 9, 11, generator=stream.generator(), dtype=torch.float64)
    sigma, reach, passes = 0.7, 2, 2
    draws = Draws(stream, 0, 1)
    want = (blur.smoothed(x, sigma) * 255).floor()[0].permute(1, 2, 0).numpy() / 255
    for _ in range(passes):
        dy, dx = draws.whole(-reach, reach - 1, 2, 9, 11)[0].long().tolist()
        for h in range(9 - reach, reach, -1):
            for w in range(11 - reach, reach, -1):
                want[h, w] = want[h + dy[h][w], w + dx[h][w]]
    want = ndimage.gaussian_filter(want, (sigma, sigma, 0), mode="nearest", truncate=4)
    found = blur.glass_blur(x, (sigma, reach, passes), Draws(stream, 0, 1))
    np.testing.assert_allclose(found[0].permute(1, 2, 0).numpy(), want, atol=1e-12)


def test_offsets_of_glass_are_even_over_their_range():
    drawn = Draws(Seed(0), 0, 1).whole(-3, 2, 60000)
    values, counts = drawn.unique(return_counts=True)
    assert values.tolist() == [-3, -2, -1, 0, 1, 2]
    assert counts.double().div(10000).sub(1).abs().max() < 0.05


def test_smoothing_is_scipys_gaussian_with_both_borders():
    line = np.random.default_rng(0).random((3, 20))
    for sigma, truncate in ((0.3, 4.0), (2.0, 4.0), (170.0, 3.0)):
        for mirrored, mode in ((False, "nearest"), (True, "reflect")):
            want = ndimage.gaussian_filter1d(line, sigma, mode=mode, truncate=truncate)
            found = line @ blur.smoothing(20, sigma, truncate, mirrored).numpy().T
            np.testing.assert_allclose(found, want, atol=1e-12)


def test_sampling_is_scipys_linear_interpolation_with_both_borders():
    stream = Seed(0).generator()
    x = torch.rand(1, 1, 7, 9, generator=stream, dtype=torch.float64)
    rows = 20 * torch.rand(1, 7, 9, generator=stream, dtype=torch.float64) - 6
    columns = 24 * torch.rand(1, 7, 9, generator=stream, dtype=torch.float64) - 8
    for repeat, mode in ((True, "reflect"), (False, "mirror")):
        place = np.stack([rows[0].numpy(), columns[0].numpy()])
        want = ndimage.map_coordinates(x[0, 0].numpy(), place, order=1, mode=mode)
        found = digital.sampled(x, rows, columns, repeat)[0, 0].numpy()
        np.testing.assert_allclose(found, want, atol=1e-12)


def test_elastic_without_pull_and_field_is_the_image():
    x = torch.rand(2, 3, 12, 12, generator=Seed(0).generator(), dtype=torch.float64)
    found = digital.elastic_transform(x, (0.0, 0.0, 0.0), Draws(Seed(0), 0, 2))
    torch.testing.assert_close(found, x, rtol=0, atol=1e-12)


def test_pulled_points_come_from_where_they_were():
    by = torch.tensor([[[3.0, -2.0], [0.5, 1.0], [-1.0, 4.0]]], dtype=torch.float64)
    backward = digital.pulled((30, 30), by)[0]
    for (x, y), move in zip(((25, 25), (25, 5), (5, 5)), by[0].tolist(), strict=True):
        moved = torch.tensor([x + move[0], y + move[1], 1], dtype=torch.float64)
        assert (backward @ moved).tolist() == pytest.approx([x, y])


def test_edges_are_the_rim_of_a_square_and_nothing_else():
    levels = np.zeros((20, 20), np.uint8)
    levels[6:14, 6:14] = 200
    found = spatter.edges(levels)
    rim = np.zeros_like(found)
    rim[5:15, 5:15] = True
    rim[7:13, 7:13] = False
    assert found.any() and not (found & ~rim).any()
    assert found[6:14].any(axis=1).all() and found[:, 6:14].any(axis=0).all()
    assert not spatter.edges(np.full((9, 9), 77, np.uint8)).any()
