"""The order of images, and label fractions: laws that hold for every length and seed."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from masquerade.core.seed import Seed
from masquerade.data import order, subsets

SIZES = st.tuples(st.integers(1, 60), st.integers(1, 60)).filter(lambda t: t[0] >= t[1])


@given(SIZES, st.integers(0, 1000), st.integers(0, 3))
def test_an_epoch_shows_no_image_twice(sizes: tuple[int, int], root: int, epoch: int) -> None:
    length, batch = sizes
    steps = order.steps_per_epoch(length, batch)
    shown = [
        order.indices(s, length=length, batch=batch, seed=Seed(root))
        for s in range(epoch * steps, (epoch + 1) * steps)
    ]
    seen = np.concatenate(shown)
    assert len(set(seen.tolist())) == len(seen) == steps * batch
    assert seen.min() >= 0 and seen.max() < length


def test_an_epoch_that_divides_shows_every_image_and_the_next_in_another_order() -> None:
    epochs = [
        np.concatenate(
            [order.indices(4 * e + s, length=40, batch=10, seed=Seed(3)) for s in range(4)]
        )
        for e in range(2)
    ]
    assert [sorted(e.tolist()) for e in epochs] == [list(range(40))] * 2
    assert (epochs[0] != epochs[1]).any()


def test_a_step_is_the_same_whatever_was_asked_before() -> None:
    straight = [order.indices(s, length=50, batch=8, seed=Seed(1)) for s in range(20)]
    order.permutation.cache_clear()
    for s in reversed(range(20)):
        assert (order.indices(s, length=50, batch=8, seed=Seed(1)) == straight[s]).all()
    assert (order.indices(0, length=50, batch=8, seed=Seed(2)) != straight[0]).any()


@pytest.mark.parametrize(("length", "batch"), [(5, 6), (0, 1), (5, 0)])
def test_a_batch_that_does_not_fit_is_refused(length: int, batch: int) -> None:
    with pytest.raises(ValueError, match=f"batch={batch} does not fit {length} images"):
        order.indices(0, length=length, batch=batch, seed=Seed(0))


LABELS = st.lists(st.integers(-1, 4), min_size=1, max_size=80)


@given(LABELS, st.floats(0.01, 1), st.integers(0, 9))
def test_a_fraction_takes_its_share_of_each_class(
    labels: list[int], ratio: float, root: int
) -> None:
    drawn = subsets.fraction(torch.tensor(labels), ratio, Seed(root))
    assert (np.diff(drawn) > 0).all()
    for label in range(5):
        count = sum(labels[i] == label for i in drawn)
        total = labels.count(label)
        assert count == (max(1, round(ratio * total)) if total else 0)
    assert all(labels[i] >= 0 for i in drawn)


@given(LABELS, st.integers(0, 9))
def test_a_smaller_fraction_lies_within_a_larger_one(labels: list[int], root: int) -> None:
    small, large = (subsets.fraction(torch.tensor(labels), r, Seed(root)) for r in (0.1, 0.5))
    assert set(small.tolist()) <= set(large.tolist())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=2, max_size=60))
def test_groups_are_never_torn_apart(pairs: list[tuple[int, int]]) -> None:
    labels = torch.tensor([label for label, _ in pairs])
    groups = np.array([label * 10 + group for label, group in pairs])
    rest, held = subsets.split(labels, 0.3, Seed(0), groups)
    assert not set(groups[rest].tolist()) & set(groups[held].tolist())
    assert sorted([*rest.tolist(), *held.tolist()]) == list(range(len(pairs)))


@pytest.mark.parametrize("ratio", [0.0, -0.1, 1.1])
def test_a_fraction_outside_0_to_1_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        subsets.fraction(torch.zeros(3, dtype=torch.long), ratio, Seed(0))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(1, 4), st.integers(0, 9))
def test_pieces_are_gone_through_a_few_at_a_time(number: list[int], mix: int, root: int) -> None:
    pieces = order.Pieces(np.array(number), mix)
    drawn = order.permutation(len(number), Seed(root), 0, pieces)
    assert sorted(drawn.tolist()) == list(range(len(number)))
    turns = [number[i] for i in drawn]
    while turns:
        now = set(list(dict.fromkeys(turns))[:mix])
        count = sum(n in now for n in turns)
        assert set(turns[:count]) == now  # all images of these before any of the others
        turns = turns[count:]


def test_pieces_of_a_subset_are_those_of_its_images() -> None:
    some = order.Pieces(np.array([0, 0, 1, 1, 2]), 2).subset(np.array([4, 1, 2]))
    assert some.number.tolist() == [2, 0, 1] and some.mix == 2
