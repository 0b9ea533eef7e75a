"""Masks and mixtures of the official code drawn by ours, and how far off each array is."""

from pathlib import Path
from random import Random
from unittest.mock import patch

import numpy as np
import torch
from torch.nn import functional as F

from masquerade.core.seed import Seed
from masquerade.maskers import blocks, grids, mixmask, partners, unmix

ORACLES = Path(__file__).parents[1] / "oracles" / "mixmask"
PUBLISHED = 4  # least cells of a block in the official code
REGION = unmix.Config(global_ratio=0)


def oracle(name):
    with np.load(ORACLES / f"{name}.npz") as stored:
        return dict(stored)


def apart(ours, theirs):
    """The largest difference; masks differ by 1 or not at all."""
    pair = (np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64))
    assert pair[0].shape == pair[1].shape, (pair[0].shape, pair[1].shape)
    return float(np.abs(pair[0] - pair[1]).max())


def spread(cells, size):
    """Pixels of cells, as a masker makes them of its grid."""
    return F.interpolate(torch.as_tensor(cells)[None, None].double(), (size, size))[0, 0]


def numbers(key):
    """`8` and `0.5` of `block/n8/r0.5`, `8` and `224` of `up/n8/s224`."""
    return (float(part[1:]) for part in key.split("/")[1:3])


def masks():
    """Blocked and discrete masks of seeds, masks in pixels, shares."""
    o = oracle("masks")
    found = {}
    for key, value in o.items():
        kind = key.partition("/")[0]
        if kind in ("block", "block_stream"):
            found[key] = apart(torch.stack(blocked(key, len(value))), value)
        elif kind == "discrete":
            grid, ratio = numbers(key)
            cells = torch.stack([scattered(s, int(grid), ratio) for s in range(len(value))])
            found[key] = apart(cells, value)
            shares = torch.stack([spread(mask, 224).mean() for mask in cells])
            lam = key.replace("discrete", "discrete_lam224")
            found[lam] = apart(shares.float(), o[lam])  # there a float32
        elif kind == "up":
            grid, size = numbers(key)
            official = o[f"block/n{grid:.0f}/r0.5"][: len(value)]
            pixels = torch.stack([spread(c, int(size)) for c in official])
            found[key] = apart(pixels, value)
            lam = key.replace("up", "uplam")
            found[lam] = apart(pixels.mean((1, 2)), o[lam])
    return found


def blocked(key, count):
    """Cells that blocks cover: of a seed each, or of one stream in order."""
    grid, ratio = numbers(key)
    one = Random(2022)
    streams = [one if key.startswith("block_stream") else Random(seed) for seed in range(count)]
    return [blocks.one(stream, int(grid), int(ratio * grid**2), PUBLISHED) for stream in streams]


def scattered(seed, grid, ratio):
    """Cells that stay, drawn anew while all are alike."""
    stream = np.random.RandomState(seed)
    hidden = grids.official_cells(stream, grid, ratio)
    while hidden.all() or not hidden.any():
        hidden = grids.official_cells(stream, grid, ratio)
    return ~hidden


def filled(images, kept, order=None):
    """One copy of MixMask: partners reversed, or in an order that is given."""
    config = mixmask.Config(partners="reverse" if order is None else "random")
    rows = torch.arange(len(images)).flip(0) if order is None else torch.as_tensor(order).long()
    hidden = (1 - torch.as_tensor(kept)).expand(len(images), 1, -1, -1)
    with patch.object(partners, "permutations", lambda *_: rows[None]):
        return config.build(16, 3).occlude(torch.as_tensor(images), hidden, Seed(0))[0]


def mixed(images, hidden):
    """One copy of Un-Mix."""
    masker = REGION.build(16, 3)
    return masker.occlude(torch.as_tensor(images), hidden.expand(8, 1, -1, -1), Seed(0))[0]


def mixing():
    """Mixtures with the reversed batch and a permutation, boxes and shares of Un-Mix."""
    o = oracle("mixing")
    copy, order = filled(o["x1"], o["mask"]), o["perm"]
    boxes, shares, made = [], [], []
    for seed in range(len(o["bbox_lam"])):
        stream = np.random.RandomState(seed)
        drawn = stream.rand(), stream.beta(1, 1)
        y, x = unmix.box(stream, drawn[1], 16, 16, "official")
        boxes.append([*drawn, y.start, x.start, y.stop, x.stop])
        hidden = unmix.mixture(np.random.RandomState(seed), REGION, 16, 16)
        shares.append(1 - hidden.mean())
        made.append(mixed(o["x1"], hidden).images)
    whole = torch.full((1, 16, 16), 0.7, dtype=torch.float64)
    return {
        "lam_mask": apart(copy.share, np.full(8, o["lam_mask"])),
        "mix_flip": apart(copy.images, o["mix_flip"]),
        "mix_perm": apart(filled(o["x1"], o["mask"], order).images, o["mix_perm"]),
        "mix_flip_odd": apart(filled(o["x1"][:5], o["mask"]).images, o["mix_flip_odd"]),
        "inv_perm": apart(torch.as_tensor(order).argsort(), o["inv_perm"]),
        "bbox_r_lam0_x1y1x2y2": apart(boxes, o["bbox_r_lam0_x1y1x2y2"]),
        "bbox_lam": apart(shares, o["bbox_lam"]),
        "mix_region_first4": apart(torch.stack(made[:4]), o["mix_region_first4"]),
        "mix_global_lam0p3": apart(mixed(o["x1"], whole).images, o["mix_global_lam0p3"]),
    }
