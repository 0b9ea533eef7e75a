import functools
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.evaluate import segments

ORACLE = Path(__file__).parents[1] / "oracles/adios_mask_metrics.npz"


def labels(*shape: int, count: int, name: str = "labels") -> Tensor:
    return torch.randint(0, count, shape, generator=Seed(0).fold(name).generator())


def test_scores_are_those_of_the_official_code_to_1e_7() -> None:
    with np.load(ORACLE) as stored:
        wanted = {n: torch.from_numpy(np.asarray(stored[n])).double() for n in stored.files}
    truth = wanted["gt"][:, 0].long()
    found = segments.segments(wanted["soft"])
    near = functools.partial(torch.testing.assert_close, rtol=0, atol=1e-7)
    each, fg = segments.ari(found, truth), segments.ari(found, truth, foreground=True)
    near(each, wanted["ari_each"])
    near(fg, wanted["ari_fg_each"])
    near(each.mean(), wanted["ari"])
    near(fg.mean(), wanted["ari_fg"])
    for key, foreground in (("segcover", False), ("segcover_fg", True)):
        mean, scaled = segments.covering(found, truth, foreground)
        near(mean.mean(), wanted[key][0])
        near(scaled.mean(), wanted[key][1])


def test_ari_is_that_of_scikit_learn_and_of_counting_pairs() -> None:
    found, truth = labels(4, 6, 5, count=4), labels(4, 6, 5, count=3, name="truth")
    got = segments.ari(found, truth)
    for a, b, value in zip(found.flatten(1), truth.flatten(1), got.tolist(), strict=True):
        assert value == pytest.approx(adjusted_rand_score(b.numpy(), a.numpy()), abs=1e-12)
        same = [(a[i] == a[j], b[i] == b[j]) for i, j in combinations(range(30), 2)]
        both = sum(bool(p and q) for p, q in same)
        p, q = (sum(bool(s[k]) for s in same) for k in (0, 1))
        chance = p * q / len(same)
        assert value == pytest.approx((both - chance) / ((p + q) / 2 - chance))


def test_numbers_of_segments_mean_nothing() -> None:
    truth = labels(3, 8, 8, count=4)
    again = torch.tensor([2, 0, 3, 1])[truth]
    got = segments.scores(again, truth)
    for values in got:
        assert values.tolist() == [1.0] * 3


def test_one_segment_for_all_is_worth_nothing_and_alone_with_one_thing_everything() -> None:
    halves = torch.zeros(1, 4, 4, dtype=torch.long)
    halves[:, :2] = 1
    assert float(segments.ari(torch.zeros_like(halves), halves)) == 0
    assert float(segments.ari(torch.zeros_like(halves), torch.zeros_like(halves))) == 1
    assert [float(v) for v in segments.covering(torch.zeros_like(halves), halves)] == [0.5, 0.5]


def test_covering_weighs_labels_alike_or_by_area() -> None:
    truth = torch.zeros(1, 4, 4, dtype=torch.long)
    truth[0, 0] = 2  # a row of 4 pixels; label 1 is not there
    found = torch.zeros_like(truth)
    found[0, 0, :2] = 1  # half of it
    mean, scaled = segments.covering(found, truth)
    large, small = 12 / 14, 2 / 4
    assert float(mean) == pytest.approx((large + small) / 2)
    assert float(scaled) == pytest.approx((12 * large + 4 * small) / 16)


def test_foreground_needs_two_objects_to_tell_apart() -> None:
    truth = torch.zeros(2, 4, 4, dtype=torch.long)
    truth[:, 0], truth[1, 1] = 1, 2
    got = segments.scores(truth, truth)
    assert got.ari_fg.isnan().tolist() == [True, False]
    assert got.means()["ari_fg"] == 1
    assert "ari_fg" not in segments.scores(truth[:1], truth[:1]).means()


def test_the_background_has_its_own_label_unless_as_published() -> None:
    objects = torch.zeros(1, 2, 1, 4, dtype=torch.bool)
    objects[0, 0, 0, 1] = objects[0, 1, 0, 2] = True
    assert segments.labelled(objects).tolist() == [[[0, 1, 2, 0]]]
    assert segments.labelled(objects, compat="adios").tolist() == [[[0, 0, 1, 0]]]


def test_a_single_mask_is_cut_at_the_threshold() -> None:
    mask = torch.tensor([[[[0.1, 0.3, 0.6]]]])
    assert segments.segments(mask, 0.3).tolist() == [[[0, 1, 1]]]
    assert segments.segments(torch.cat([mask, 1 - mask], 1)).tolist() == [[[1, 1, 0]]]
