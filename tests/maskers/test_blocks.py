"""Blocks against the arrays of the official code, and many at once against one by one."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from masquerade.core.seed import Seed
from masquerade.maskers import blocks

ORACLE = np.load(Path(__file__).parents[1] / "oracles" / "mixmask" / "masks.npz")
PUBLISHED = 4  # least cells of a block in the official code
COLUMNS = ORACLE["stats_columns"].tolist()
TABLE = [dict(zip(COLUMNS, row, strict=True)) for row in ORACLE["stats_table"].tolist()]
SURE = 4.5  # standard errors; the draws of a test are the same each time


def named(row):
    return f"{row['n']:.0f}-{row['ratio']}"


@pytest.mark.parametrize("key", [k for k in ORACLE.files if k.startswith("block/")])
def test_a_mask_is_bit_for_bit_the_official_one_of_its_seed(key):
    grid, ratio = int(key.split("/")[1][1:]), float(key.split("/")[2][1:])
    for seed, mask in enumerate(ORACLE[key]):
        ours = blocks.one(Random(seed), grid, int(ratio * grid**2), PUBLISHED)
        assert np.array_equal(ours, mask), seed


def test_masks_of_one_stream_are_the_official_ones_in_order():
    stream = Random(2022)
    for mask in ORACLE["block_stream/n8/r0.5/seed2022"]:
        assert np.array_equal(blocks.one(stream, 8, 32, PUBLISHED), mask)


@pytest.mark.parametrize("row", [r for r in TABLE if r["n"] <= 16], ids=named)
def test_many_at_once_have_the_statistics_of_the_official_code(row):
    grid, target, count = int(row["n"]), int(row["target"]), 3000
    generator = Seed(grid).fold(target).generator()
    masks = blocks.many(torch.full((count,), target), grid, PUBLISHED, generator)
    sizes = masks.sum((1, 2))
    shares = sizes / grid**2
    error = (1 / count + 1 / row["N"]) ** 0.5
    spread = max(float(shares.std()), row["std"])
    assert abs(float(shares.mean()) - row["mean"]) <= SURE * spread * error
    middle = grid // 2
    for found, name in (
        (sizes == 0, "p_empty"),
        (sizes == target, "p_exact"),
        (masks[:, 0, 0], "corner"),
        (masks[:, middle, middle], "center"),
    ):
        chance = (float(found.sum()) + row[name] * row["N"]) / (count + row["N"])
        tolerance = SURE * (chance * (1 - chance)) ** 0.5 * error
        assert abs(float(found.double().mean()) - row[name]) <= tolerance, name


def test_many_at_once_cover_each_cell_and_pair_of_neighbours_as_often_as_one_by_one():
    stream, count = Random(0), 3000
    single = torch.stack([blocks.one(stream, 8, 20, PUBLISHED) for _ in range(count)])
    many = blocks.many(torch.full((count,), 20), 8, PUBLISHED, Seed(0).generator())
    for a, b in (
        (single, many),
        (single[:, 1:] ^ single[:, :-1], many[:, 1:] ^ many[:, :-1]),
        (single[..., 1:] ^ single[..., :-1], many[..., 1:] ^ many[..., :-1]),
        (single & single.flip(1), many & many.flip(1)),
    ):
        p, q = a.double().mean(0), b.double().mean(0)
        error = ((p * (1 - p) + q * (1 - q)) / count).sqrt()
        assert ((p - q).abs() <= SURE * error).all()


def test_masks_drawn_together_have_targets_of_their_own_and_never_more():
    targets = torch.arange(1, 49).repeat(20)
    sizes = blocks.many(targets, 7, 1, Seed(3).generator()).sum((1, 2))
    assert (sizes <= targets).all()
    assert (sizes == targets).double().mean() > 0.9


@pytest.mark.parametrize("grid", [3, 8])
def test_no_mask_of_a_single_block_spans_a_side(grid):
    large = (grid - 1) ** 2  # a mask of one block: nothing is missing after it
    masks = blocks.many(torch.full((500,), large), grid, large, Seed(1).generator())
    whole = masks.any(2).all(1) | masks.any(1).all(1)
    assert not whole[masks.sum((1, 2)) == large].any()
