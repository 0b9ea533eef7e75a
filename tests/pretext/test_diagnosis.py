import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from masquerade.core.seed import Seed
from masquerade.pretext import diagnosis


def soft(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=Seed(0).fold("masks").generator())


def disc(size: int, place: tuple[int, int], radius: int) -> Tensor:
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return ((y - place[0]) ** 2 + (x - place[1]) ** 2 <= radius**2).float()


def test_sizes_are_means_over_pixels_and_their_spread_over_images() -> None:
    masks = torch.zeros(2, 1, 2, 2)
    masks[1, 0, 0] = 1.0  # half of the second image, nothing of the first
    logs = diagnosis.described(masks, exclusive=False)
    found = [float(logs[f"masker/{n}/0"]) for n in ("size", "size_sd", "smallest", "largest")]
    assert found == [0.25, 0.25, 0.0, 0.5]


def test_softness_is_1_where_nothing_is_decided_and_0_where_all_is() -> None:
    assert float(diagnosis.softness(torch.full((2, 3, 4, 4), 0.5), False)) == 1
    assert float(diagnosis.softness(torch.full((2, 3, 4, 4), 1 / 3), True)) == pytest.approx(1)
    binary = torch.eye(3)[torch.arange(16).view(1, 4, 4) % 3].permute(0, 3, 1, 2)
    for exclusive in (False, True):
        assert float(diagnosis.softness(binary, exclusive)) == 0
    masks = soft(2, 4, 3, 3).softmax(1)
    by_hand = sum(float(m * (1 - m)) for m in masks.flatten()) / masks.numel() / (0.25 * 0.75)
    assert float(diagnosis.softness(masks, True)) == pytest.approx(by_hand, rel=1e-5)


def test_a_single_softmax_mask_hides_everything_and_is_not_soft() -> None:
    logs = diagnosis.described(torch.ones(2, 1, 4, 4), exclusive=True)
    assert float(logs["masker/softness"]) == float(logs["masker/dimming"]) == 0


def test_dimming_does_not_depend_on_how_much_is_dimmed() -> None:
    for value in (0.1, 0.25, 0.5, 0.9):
        assert float(diagnosis.dimming(torch.full((2, 2, 4, 4), value))) == pytest.approx(1)
    for radius in (1, 3):
        assert float(diagnosis.dimming(disc(9, (4, 4), radius)[None, None])) == pytest.approx(0)


def test_coverage_is_what_some_mask_hides() -> None:
    masks = torch.zeros(1, 2, 4, 4)
    masks[0, 0, :, :2] = masks[0, 1, :2] = 1  # left and upper half
    assert float(diagnosis.coverage(masks)) == 0.75
    assert float(diagnosis.coverage(torch.full((1, 2, 4, 4), 0.5))) == 0.75


def test_overlap_and_its_matrices_are_those_of_every_pair() -> None:
    masks = soft(3, 4, 5, 5)
    cosines, ious = diagnosis.cosines(masks), diagnosis.soft_ious(masks)
    dots = lengths = 0.0
    for i, j in product(range(4), range(4)):
        pairs = [(m[i].flatten().tolist(), m[j].flatten().tolist()) for m in masks]
        dot = [sum(a * b for a, b in zip(*p, strict=True)) for p in pairs]
        length = [math.hypot(*a) * math.hypot(*b) for a, b in pairs]
        both = [sum(map(min, *p)) / sum(map(max, *p)) for p in pairs]
        assert float(cosines[i, j]) == pytest.approx(
            sum(d / n for d, n in zip(dot, length, strict=True)) / 3, rel=1e-5
        )
        assert float(ious[i, j]) == pytest.approx(sum(both) / 3, rel=1e-5)
        if i != j:
            dots, lengths = dots + sum(dot), lengths + sum(length)
    assert float(diagnosis.overlap(masks)) == pytest.approx(dots / lengths, rel=1e-5)


def test_what_an_empty_mask_points_at_is_no_overlap() -> None:
    masks = torch.stack([disc(9, (2, 2), 2), disc(9, (6, 6), 2), 1e-6 * torch.ones(9, 9)])[None]
    assert float(diagnosis.overlap(masks)) < 1e-5
    assert float(diagnosis.overlap(masks[:, :1])) == 0
    assert float(diagnosis.overlap(masks[:, [0, 0]])) == pytest.approx(1)


def test_noise_is_ragged_and_a_disc_is_not_however_soft_or_small() -> None:
    noise = soft(8, 2, 32, 32)
    for masks in (noise, 0.1 * noise, (noise > 0.8).float()):
        assert float(diagnosis.roughness(masks)[1]) == pytest.approx(1, abs=0.05)
    for radius, firm in product((4, 10), (0.1, 1.0)):
        assert float(diagnosis.roughness(firm * disc(32, (15, 15), radius)[None, None])[1]) < 0.3
    board = torch.arange(32)[:, None] + torch.arange(32)
    variation, ragged = diagnosis.roughness((board % 2).float()[None, None])
    assert float(variation) == 1
    assert float(ragged) == pytest.approx(2, abs=0.01)
    assert [float(v) for v in diagnosis.roughness(torch.ones(2, 1, 8, 8))] == [0, 0]


def test_the_same_mask_for_every_image_depends_on_no_image() -> None:
    place = disc(16, (5, 5), 3)[None, None].expand(6, 2, 16, 16)
    assert float(diagnosis.image_dependence(place)) == 0
    whole = torch.rand(64, 1, 1, 1, generator=Seed(0).generator()).expand(64, 1, 8, 8)
    assert float(diagnosis.image_dependence(whole)) == pytest.approx(1)
    assert float(diagnosis.image_dependence(place[:1])) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("masks", [0.0, 1.0, 0.5])
def test_every_number_is_finite_in_0_to_1_and_carries_no_gradient(
    dtype: torch.dtype, masks: float
) -> None:
    proposed = torch.full((3, 4, 8, 8), masks, dtype=dtype, requires_grad=True)
    logs = diagnosis.described(proposed, exclusive=False)
    for value in logs.values():
        assert value.ndim == 0
        assert not value.requires_grad
        assert 0 <= float(value) <= 1
    whole = "softness dimming coverage overlap variation raggedness image_dependence"
    assert {n for n in logs if n[-1].isalpha()} == {f"masker/{n}" for n in whole.split()}


def test_drift_is_0_for_equal_statistics_and_counts_in_deviations() -> None:
    kept = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(4)).state_dict()
    assert [float(v) for v in diagnosis.drift(kept, kept)] == [0, 0]
    moved = {n: t.clone() for n, t in kept.items()}
    moved["0.running_mean"] += 3.0
    moved["1.running_var"] *= 4.0
    means, ratios = diagnosis.drift(moved, kept)
    assert float(means) == pytest.approx(3 * 2 / 6)
    assert float(ratios) == pytest.approx(math.log(2) * 4 / 6)
    with pytest.raises(ValueError, match="2 batch norms and 0"):
        diagnosis.drift(kept, {})


def test_a_histogram_counts_images_by_tenths_of_their_size() -> None:
    masks = torch.zeros(4, 2, 10, 10)
    masks[1, 0, 0, :5] = 1.0  # 5 %
    masks[2, 0, :3] = 1.0  # 30 %
    masks[3] = 1.0
    logs = diagnosis.detailed(masks, exclusive=False)
    shares = [[float(logs[f"masker/histogram/{k}/{t}"]) for t in range(10)] for k in (0, 1)]
    assert shares == [
        [0.5, 0, 0, 0.25, 0, 0, 0, 0, 0, 0.25],
        [0.75, 0, 0, 0, 0, 0, 0, 0, 0, 0.25],
    ]


def test_pairs_of_masks_are_logged_as_their_matrices_say() -> None:
    masks = soft(3, 3, 8, 8)
    logs = diagnosis.detailed(masks, exclusive=False)
    for name, matrix in (
        ("cosine", diagnosis.cosines(masks)),
        ("iou", diagnosis.soft_ious(masks)),
    ):
        pairs = {n: float(v) for n, v in logs.items() if n.startswith(f"masker/{name}/")}
        wanted = {(j, k): float(matrix[j, k]) for j in range(3) for k in range(j + 1, 3)}
        assert pairs == {f"masker/{name}/{j}_{k}": v for (j, k), v in wanted.items()}


def test_pieces_touch_by_their_sides_and_only_within_one_mask_of_one_image() -> None:
    hard = torch.zeros(2, 2, 9, 9, dtype=torch.bool)
    hard[0, 0] = disc(9, (2, 2), 1).bool() | disc(9, (6, 6), 2).bool()  # two
    hard[0, 1, 4:6, 4:6] = torch.eye(2, dtype=torch.bool)  # corners do not touch: two
    hard[1, 0] = True  # one, over the first image's
    assert diagnosis.pieces(hard).tolist() == [1.5, 1.0]


def test_hard_masks_are_the_strongest_of_a_pixel_or_those_above_one_half() -> None:
    masks = torch.tensor([0.4, 0.35, 0.25]).reshape(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert diagnosis.hardened(masks, True).float().mean((0, 2, 3)).tolist() == [1, 0, 0]
    assert not diagnosis.hardened(masks, False).any()
