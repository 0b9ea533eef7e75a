import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from masquerade.certify.partition import Partition, Parts, dealt, hashed, health, offsets, summed
from masquerade.data.images import ImageSet

images = st.lists(st.integers(0, 2**24 - 1), min_size=1, max_size=30)
assigns = st.sampled_from(["content", "pixel_sum"])


def pictured(numbers):
    """One 2 x 2 image for each number."""
    pixels = np.array(numbers, "<u4").view(np.uint8).reshape(-1, 2, 2, 1)
    return ImageSet("numbers", pixels)


@settings(deadline=None)
@given(images, st.integers(0, 2**24 - 1), st.integers(1, 40), st.integers(1, 3), assigns)
def test_a_new_image_moves_no_other(numbers, new, parts, spread, assign):
    how = Parts(parts=parts, spread=min(spread, parts), assign=assign)
    before, after = how.of(pictured(numbers)), how.of(pictured([new, *numbers]))
    assert torch.equal(after.own[1:], before.own)
    assert torch.equal(after.reach, before.reach)
    alone = how.of(pictured([new]))
    assert after.own[0] == alone.own[0]


@settings(deadline=None)
@given(st.data(), images, st.integers(1, 40), st.sampled_from(["content", "pixel_sum", "dealt"]))
def test_the_order_of_the_images_does_not_matter(data, numbers, parts, assign):
    moved = data.draw(st.permutations(range(len(numbers))))
    how = Parts(parts=parts, assign=assign)
    there = how.of(pictured(numbers)).own
    shuffled = how.of(pictured([numbers[i] for i in moved])).own
    assert torch.equal(shuffled, there[moved])


@given(images, st.integers(1, 12))
def test_dealt_partitions_are_balanced_and_keep_equal_images_together(numbers, parts):
    digests = pictured(numbers).digests()
    own = dealt(digests, parts)
    first = {d: i for i, d in enumerate(digests)}
    assert all(own[i] == own[first[d]] for i, d in enumerate(digests))
    sizes = torch.bincount(own[list(first.values())], minlength=parts)
    assert sizes.max() - sizes.min() <= 1


def test_a_hash_is_the_digest_modulo_the_partitions():
    assert hashed(["ff", "0a", "100"], 7).tolist() == [255 % 7, 10 % 7, 256 % 7]
    assert torch.bincount(hashed(pictured(range(4000)).digests(), 20)).min() > 140


def test_a_pixel_sum_is_that_of_the_pixels_inside_the_extent():
    pixels = np.full((2, 3, 3, 1), 200, np.uint8)
    whole = ImageSet("whole", pixels)
    assert summed(whole, 1000).tolist() == [800, 800]
    part = ImageSet("part", pixels, extent=np.array([[3, 3], [1, 2]]))
    assert summed(part, 1000).tolist() == [800, 400]


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 8))
def test_every_model_sees_as_many_partitions_as_see_a_model(parts, spread):
    how = Parts(parts=parts, spread=spread)
    partition = how.joined(torch.arange(how.models))
    assert partition.reach.shape == (how.models, spread)
    seen = [rows.tolist() for rows in partition.members()]
    assert [len(rows) for rows in seen] == [spread] * how.models
    for p, models in enumerate(partition.reach.tolist()):
        assert len(set(models)) == spread
        assert all(p in seen[model] for model in models)


def test_offsets_are_constants():
    assert offsets(50, 1).tolist() == [0]
    assert offsets(400, 8).tolist() == offsets(400, 8).tolist()
    assert len(set(offsets(400, 8).tolist())) == 8
    with pytest.raises(ValueError, match="cannot reach 3 of 2"):
        offsets(2, 3)


def test_digests_alone_cannot_be_summed():
    with pytest.raises(ValueError, match="assign=content"):
        Parts(assign="pixel_sum").named(["00"])


def test_health_by_hand():
    # Partitions 0 and 1 are seen by models {0, 1} and {1, 2}; model 3 sees nothing.
    reach = torch.tensor([[0, 1], [1, 2]])
    partition = Partition(torch.tensor([0, 0, 1]), reach, 4)
    found = health(partition, torch.tensor([0, 1, 1]), 2)
    assert found.models == 4
    assert (found.least, found.median, found.most, found.mean) == (0, 1.5, 3, 1.5)
    assert found.empty == 0.25
    assert found.absent == 3 / 8  # model 2 lacks class 0, model 3 both
    assert [rows.tolist() for rows in partition.members()] == [[0, 1], [0, 1, 2], [2], []]
