"""Global and region mixtures against the arrays of the official code."""

from pathlib import Path

import numpy as np
import pytest
import torch

from masquerade.core.seed import Seed
from masquerade.maskers import unmix

ORACLE = np.load(Path(__file__).parents[1] / "oracles" / "mixmask" / "mixing.npz")
REGION = unmix.Config(global_ratio=0)


def test_boxes_and_shares_are_bit_for_bit_the_official_ones_of_their_seed():
    rows = ORACLE["bbox_r_lam0_x1y1x2y2"]
    for seed, (row, share) in enumerate(zip(rows, ORACLE["bbox_lam"], strict=True)):
        stream = np.random.RandomState(seed)
        assert stream.rand() == row[0]
        kept = stream.beta(1, 1)
        assert kept == row[1]
        y, x = unmix.box(stream, kept, 16, 16, "official")
        assert [y.start, x.start, y.stop, x.stop] == row[2:].tolist()
        hidden = unmix.mixture(np.random.RandomState(seed), REGION, 16, 16)
        assert float(1 - hidden.mean()) == pytest.approx(share, abs=1e-12)


def test_region_mixtures_are_the_official_ones():
    images = torch.from_numpy(ORACLE["x1"])
    masker = REGION.build(16, 3)
    for seed, mixed in enumerate(ORACLE["mix_region_first4"]):
        hidden = unmix.mixture(np.random.RandomState(seed), REGION, 16, 16)
        [copy] = masker.occlude(images, hidden.expand(8, 1, -1, -1), Seed(0))
        assert np.array_equal(copy.images, mixed)
        assert torch.allclose(copy.share, torch.tensor(ORACLE["bbox_lam"][seed]), atol=1e-12)


def test_global_mixtures_are_the_official_ones_with_the_drawn_share():
    images = torch.from_numpy(ORACLE["x1"])
    masker = unmix.Config(global_ratio=1).build(16, 3)
    [copy] = masker.occlude(images, torch.full((8, 1, 16, 16), 0.7, dtype=torch.float64), Seed(0))
    assert np.abs(copy.images.numpy() - ORACLE["mix_global_lam0p3"]).max() < 1e-12
    hidden = unmix.mixture(np.random.RandomState(5), masker.config, 16, 16)
    kept = ORACLE["bbox_r_lam0_x1y1x2y2"][5, 1]
    assert (hidden == 1 - kept).all()


def test_a_step_draws_as_the_official_code_does():
    images = torch.randn(4, 3, 24, 24, generator=Seed(0).generator())
    for step in range(12):
        at = Seed(1).fold("step", step)
        found = unmix.Config().build(24, 3).propose(images, at)
        stream = np.random.RandomState(at.integer() % 2**32)
        hidden = unmix.mixture(stream, unmix.Config(), 24, 24)
        assert torch.equal(found, hidden.float().expand(4, 1, -1, -1))


@pytest.mark.parametrize("ratio", [0, 0.25, 1])
def test_so_many_steps_mix_the_whole_image(ratio):
    stream, config = np.random.RandomState(0), unmix.Config(global_ratio=ratio)
    masks = torch.stack([unmix.mixture(stream, config, 8, 8) for _ in range(2000)])
    soft = ((masks > 0) & (masks < 1)).all(2).all(1)
    assert (
        abs(float(soft.double().mean()) - ratio) < 4.5 * (ratio * (1 - ratio) / 2000) ** 0.5 + 1e-9
    )


def kept_shares(clip, side, count=8000):
    stream = np.random.RandomState(3)
    found = []
    for _ in range(count):
        stream.rand()
        y, x = unmix.box(stream, stream.beta(1, 1), side, side, clip)
        assert 0 <= y.start <= y.stop <= side
        assert 0 <= x.start <= x.stop <= side
        found.append(1 - (y.stop - y.start) * (x.stop - x.start) / side**2)
    return np.array(found)


@pytest.mark.parametrize("side", [32, 64, 224])
def test_clipped_boxes_keep_more_than_half_as_in_the_official_code(side):
    mean, std, _, *quantiles = ORACLE[f"region_lambda_stats/s{side}"]
    found = kept_shares("official", side)
    assert abs(found.mean() - mean) < 0.008
    assert abs(found.std() - std) < 0.005
    assert np.abs(np.quantile(found, [0.05, 0.25, 0.5, 0.75, 0.95]) - quantiles).max() < 0.02


@pytest.mark.parametrize("side", [32, 224])
def test_unbiased_boxes_keep_what_was_drawn(side):
    found = kept_shares("unbiased", side)
    assert abs(found.mean() - 0.5) < 0.01
    quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
    assert np.abs(np.quantile(found, quantiles) - quantiles).max() < 0.03


@pytest.mark.parametrize("alpha", [0.2, 1, 5])
def test_the_kept_share_has_the_spread_of_its_distribution(alpha):
    stream, config = np.random.RandomState(4), unmix.Config(global_ratio=1, alpha=alpha)
    kept = np.array([1 - float(unmix.mixture(stream, config, 1, 1)) for _ in range(4000)])
    assert abs(kept.mean() - 0.5) < 0.035
    assert kept.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"global_ratio": 1.2}, "global_ratio must be at most 1"),
        ({"alpha": 0}, "alpha must be more than 0"),
        ({"clip": "none"}, "clip must be one of official, unbiased"),
    ],
)
def test_settings_out_of_range_are_refused(tree, said):
    with pytest.raises(ValueError, match=said):
        unmix.Config.parse(tree)
