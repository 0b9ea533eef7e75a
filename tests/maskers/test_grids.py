"""Masks on grids: the laws they keep, and the arrays of the official code."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from masquerade.core.seed import Seed
from masquerade.engine import gather
from masquerade.maskers import blocks, erase, grids, mixmask

ORACLE = np.load(Path(__file__).parents[1] / "oracles" / "mixmask" / "masks.npz")
PATTERNS = ["blocked", "discrete", "noise"]
every_pattern = pytest.mark.parametrize("pattern", PATTERNS)


def drawn(settings, batch=4, size=32, copies=1, root=0, dtype=torch.float32):
    images = torch.zeros(batch, 3, size, size, dtype=dtype)
    return grids.masks(mixmask.Config.parse(settings), images, copies, Seed(root))


def settings(**changes):
    """Settings of masks on grids that divide images of 24 pixels."""
    values = {
        "pattern": st.sampled_from(PATTERNS),
        "grid": st.sampled_from([2, 3, 4, 6, 8, 12]),
        "ratio": st.one_of(
            st.floats(0.001, 0.999),
            st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda pair: tuple(sorted(pair))),
        ),
        "symmetrize": st.booleans(),
        "exact": st.booleans(),
        "per_image": st.booleans(),
    }
    return st.fixed_dictionaries(values | {k: st.just(v) for k, v in changes.items()})


@pytest.mark.parametrize("key", [k for k in ORACLE.files if k.startswith("discrete/")])
def test_cells_are_bit_for_bit_the_official_ones_of_their_seed(key):
    grid, ratio = int(key.split("/")[1][1:]), float(key.split("/")[2][1:])
    shares = ORACLE[key.replace("discrete", "discrete_lam224")]
    for seed, (mask, share) in enumerate(zip(ORACLE[key], shares, strict=True)):
        stream = np.random.RandomState(seed)
        hidden = grids.official_cells(stream, grid, ratio)
        while hidden.all() or not hidden.any():
            hidden = grids.official_cells(stream, grid, ratio)
        assert np.array_equal(~hidden, mask), seed
        pixels = torch.nn.functional.interpolate(hidden[None, None].double(), (224, 224))
        assert float(1 - pixels.mean()) == pytest.approx(share, abs=1e-7)  # there a float32


def test_a_mask_of_the_batch_is_drawn_as_the_official_code_draws_it():
    at = Seed(3).fold("step", 7)
    images = torch.zeros(5, 3, 32, 32)
    found = grids.masks(mixmask.Config(grid=8), images, 2, at)
    stream = Random(at.integer())
    for k in range(2):
        kept = blocks.one(stream, 8, 32, 4).float().repeat_interleave(4, 0).repeat_interleave(4, 1)
        assert torch.equal(found[:, k], (1 - kept).expand(5, -1, -1))
    cells = mixmask.Config(grid=8, pattern="discrete", ratio=0.3)
    hidden = grids.official_cells(np.random.RandomState(at.integer() % 2**32), 8, 0.3)
    assert torch.equal(grids.masks(cells, images[..., ::4, ::4], 1, at)[4, 0], hidden.float())


@pytest.mark.parametrize("key", [k for k in ORACLE.files if k.startswith("up/")])
def test_cells_become_pixels_and_shares_as_in_the_official_code(key, monkeypatch):
    grid, size = int(key.split("/")[1][1:]), int(key.split("/")[2][1:])
    shares = ORACLE[key.replace("up/", "uplam/")]
    official = ORACLE[f"block/n{grid}/r0.5"]
    for seed, (mask, share) in enumerate(zip(ORACLE[key], shares, strict=True)):
        if share == 0:  # empty, which the official code keeps and we draw anew
            continue
        cells = torch.from_numpy(official[seed].astype(bool))
        monkeypatch.setattr(blocks, "one", lambda *_, cells=cells: cells)
        config = {"grid": grid, "min_cells": min(4, (grid - 1) ** 2)}
        hidden = drawn(config, 1, size, dtype=torch.float64)
        assert np.array_equal(1 - hidden[0, 0], mask)
        assert float(1 - hidden.mean()) == pytest.approx(share, abs=1e-12)


@given(settings=settings(), root=st.integers(0, 999))
def test_no_mask_hides_nothing_or_everything(settings, root):
    sizes = drawn(settings, 3, 24, 2, root).flatten(2).mean(2)
    assert (sizes > 0).all()
    assert (sizes < 1).all()


@given(settings=settings(exact=True), root=st.integers(0, 999))
def test_exact_masks_hide_the_ratio_to_the_nearest_cell_or_pixel(settings, root):
    hidden = drawn(settings, 3, 24, 2, root)
    total = 24**2 if settings["pattern"] == "noise" else settings["grid"] ** 2
    parts = hidden.double().flatten(2).mean(2) * total
    ratio = settings["ratio"]
    low, high = ratio if isinstance(ratio, tuple) else (ratio, ratio)
    bounds = [min(max(round(share * total), 1), total - 1) for share in (low, high)]
    straight = (parts >= bounds[0] - 1e-6) & (parts <= bounds[1] + 1e-6)
    turned = (total - parts >= bounds[0] - 1e-6) & (total - parts <= bounds[1] + 1e-6)
    assert (straight | (turned & settings["symmetrize"])).all()


@given(settings=settings(pattern="blocked", symmetrize=False), root=st.integers(0, 999))
def test_blocks_never_hide_less_than_the_ratio_by_a_cell(settings, root):
    cells = drawn(settings, 3, 24, 2, root).double().flatten(2).mean(2) * settings["grid"] ** 2
    ratio = settings["ratio"]
    low = ratio[0] if isinstance(ratio, tuple) else ratio
    assert (cells >= low * settings["grid"] ** 2 - 1).all()


@given(settings=settings(per_image=False), root=st.integers(0, 99))
def test_images_share_their_masks_unless_each_draws_its_own(settings, root):
    hidden = drawn(settings, 3, 24, 2, root)
    assert torch.equal(hidden, hidden[:1].expand(3, -1, -1, -1))
    apart = drawn({**settings, "per_image": True, "grid": 12, "ratio": 0.5}, 8, 24, 2, root)
    assert len(apart.flatten(0, 1).unique(dim=0)) > 8


@every_pattern
@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("exact", [False, True])
def test_processes_draw_what_one_would_and_take_their_rows(pattern, per_image, exact, monkeypatch):
    chosen = {"pattern": pattern, "per_image": per_image, "exact": exact, "symmetrize": True}
    chosen |= {"ratio": (0.1, 0.9), "grid": 2, "min_cells": 1}  # masks are often drawn anew
    whole = drawn(chosen, 8, copies=3)
    monkeypatch.setattr(gather, "world", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr(gather, "rank", lambda at=rank: at)
        assert torch.equal(drawn(chosen, 4, copies=3), whole[4 * rank : 4 * rank + 4])


@every_pattern
@pytest.mark.parametrize("ratio", [0, 1])
def test_0_and_1_are_taken_at_their_word(pattern, ratio):
    assert (drawn({"pattern": pattern, "ratio": ratio, "per_image": True}) == ratio).all()


@pytest.mark.parametrize("per_image", [False, True])
def test_blocks_keep_the_middle_of_the_image_and_hide_its_rim(per_image):
    count = 3000
    if per_image:
        hidden = drawn({"grid": 8, "per_image": True}, count, 8)[:, 0]
    else:
        hidden = drawn({"grid": 8}, 1, 8, count)[0]
    kept = 1 - hidden.mean(0)
    assert kept[4, 4] == pytest.approx(0.804, abs=0.03)
    corners = kept[[0, 0, 7, 7], [0, 7, 0, 7]]
    assert corners.mean() == pytest.approx(0.156, abs=0.015)


def test_complemented_half_of_the_time_the_middle_is_as_often_hidden_as_kept():
    chosen = {"grid": 8, "per_image": True, "symmetrize": True, "ratio": 0.75, "exact": True}
    hidden = drawn(chosen, 4000, 8)[:, 0]
    assert (hidden.mean(0) - 0.5).abs().max() < 4.5 * 0.5 / 4000**0.5
    sizes = hidden.mean((1, 2))
    assert set(sizes.tolist()) == {0.25, 0.75}
    assert (sizes == 0.75).float().mean() == pytest.approx(0.5, abs=0.036)


@pytest.mark.parametrize("pattern", ["discrete", "noise"])
@pytest.mark.parametrize("ratio", [0.25, 0.5])
def test_cells_and_noise_hide_every_place_alike(pattern, ratio):
    hidden = drawn({"grid": 6, "pattern": pattern, "ratio": ratio, "per_image": True}, 4000, 24)
    assert (hidden.mean(0) - ratio).abs().max() < 4.8 * (ratio * (1 - ratio) / 4000) ** 0.5


@every_pattern
def test_a_pair_of_ratios_is_drawn_from_uniformly(pattern):
    chosen = {"grid": 12, "pattern": pattern, "ratio": (0.2, 0.6), "exact": True}
    sizes = drawn({**chosen, "per_image": True}, 2000, 24).mean((1, 2, 3))
    assert sizes.min() < 0.21
    assert sizes.max() > 0.59
    assert sizes.mean() == pytest.approx(0.4, abs=0.012)
    assert sizes.std() == pytest.approx(0.4 / 12**0.5, rel=0.05)
    shared = torch.stack([drawn(chosen, 2, 24, root=r).mean() for r in range(40)])
    assert len(shared.unique()) > 20


@every_pattern
@pytest.mark.parametrize("per_image", [False, True])
def test_masks_that_never_come_out_right_fall_back_to_scattered_ones(
    pattern, per_image, monkeypatch
):
    nothing = torch.zeros(8, 8, dtype=torch.bool)
    monkeypatch.setattr(blocks, "one", lambda *_: nothing)
    monkeypatch.setattr(blocks, "many", lambda t, *_: nothing.expand(len(t), -1, -1).clone())
    monkeypatch.setattr(grids, "official_cells", lambda *_: nothing)
    ratio = 1e-6 if pattern != "blocked" else 0.5
    hidden = drawn({"pattern": pattern, "grid": 8, "ratio": ratio, "per_image": per_image})
    cells = hidden.flatten(1).sum(1) / (1 if pattern == "noise" else 16)
    assert (cells == (32 if pattern == "blocked" else 1)).all()


def test_cells_missing_in_an_exact_mask_are_added_where_blocks_end(monkeypatch):
    kept = torch.zeros(8, 8, dtype=torch.bool)
    kept[3:6, 3:6] = True
    monkeypatch.setattr(blocks, "one", lambda *_: kept)
    hidden = drawn({"grid": 8, "exact": True, "ratio": 1 - 20 / 64}, 1, 8)[0, 0] == 1
    assert (~hidden).sum() == 20
    assert not hidden[kept].any()
    assert hidden[:, [0, 1, 7]].all() and hidden[[0, 1, 7]].all()


def test_masks_have_the_precision_of_the_images_and_no_less_than_float32():
    for given_, kept in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        for ratio in (0.5, 1):
            assert drawn({"ratio": ratio}, dtype=given_).dtype == kept


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"ratio": 1.5}, "ratio: a share from 0 to 1, or a pair .low, high. of them, got 1.5"),
        ({"ratio": -0.1}, "ratio: a share from 0 to 1"),
        ({"ratio": [0.1, 1.2]}, "ratio: a share from 0 to 1"),
        ({"ratio": [0.1, 0.2, 0.3]}, "ratio: a share from 0 to 1"),
        ({"ratio": [0.5]}, "ratio: a share from 0 to 1"),
        ({"ratio": "half"}, "ratio: a share from 0 to 1, or .* got 'half'"),
        ({"ratio": float("nan")}, "ratio: a share from 0 to 1"),
        ({"ratio": [0.8, 0.2]}, r"ratio: a pair is \[low, high\], got \[0.8, 0.2\]; turn it round"),
        ({"grid": 1}, "grid must be at least 2, got 1"),
        ({"min_cells": -1}, "min_cells must be at least 0"),
    ],
)
@pytest.mark.parametrize("family", [erase, mixmask])
def test_settings_no_mask_can_keep_are_refused(family, chosen, said):
    with pytest.raises(ValueError, match=said):
        family.Config.parse(chosen)


@pytest.mark.parametrize(("grid", "least"), [(2, 4), (2, 2), (3, 5), (8, 50)])
def test_blocks_that_do_not_fit_their_grid_are_refused_with_what_to_take(grid, least):
    for family in (erase, mixmask):
        with pytest.raises(ValueError, match=r"masks would be empty. Take min_cells=1, a"):
            family.Config.parse({"pattern": "blocked", "grid": grid, "min_cells": least})
        family.Config.parse({"pattern": "discrete", "grid": grid, "min_cells": least})


@pytest.mark.parametrize(("grid", "least"), [(2, 1), (3, 1), (4, 4), (8, 4)])
def test_the_least_block_is_the_published_one_where_it_fits(grid, least):
    assert mixmask.Config(grid=grid).smallest == least
    assert mixmask.Config(grid=8, min_cells=7).smallest == 7


@every_pattern
def test_a_grid_finer_than_the_image_is_refused(pattern):
    for family in (erase, mixmask):
        config = family.Config(grid=33, pattern=pattern)
        with pytest.raises(ValueError, match=r"\w+.grid=33 is finer than images of 32 pixels"):
            config.build(32, 3)
        config.build(33, 3)
