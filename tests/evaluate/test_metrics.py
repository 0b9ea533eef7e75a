import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from masquerade.core.seed import Seed
from masquerade.evaluate import metrics

TABLE = torch.tensor([[2, 1, 0], [0, 3, 1], [0, 0, 0]])


@given(st.integers(0, 100), st.integers(1, 6))
def test_top_k_is_the_place_in_a_stable_sort(root: int, k: int) -> None:
    scores = torch.randint(1, 4, (20, 6), generator=Seed(root).generator()).float()
    labels = torch.randint(6, (20,), generator=Seed(root).fold("labels").generator())
    got = metrics.top(scores, labels, k)
    for row, label, right in zip(scores.tolist(), labels.tolist(), got.tolist(), strict=True):
        order = sorted(range(6), key=lambda c: -row[c])  # stable: ties by class number
        assert right == (label in order[:k])


def test_a_class_without_any_score_is_never_found() -> None:
    scores = torch.tensor([[0.7, 0.3, 0.0, 0.0]])
    assert not metrics.top(scores, torch.tensor([2]), 4).any()
    assert metrics.top(scores, torch.tensor([1]), 2).all()


def test_confusion_counts_pairs() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    predicted = torch.tensor([0, 1, 0, 1, 1, 2, 1])
    assert torch.equal(metrics.confusion(labels, predicted, 3), TABLE)


def test_balanced_is_the_mean_over_classes_that_have_images() -> None:
    np.testing.assert_allclose(metrics.recall(TABLE).numpy(), [2 / 3, 3 / 4, np.nan])
    assert metrics.balanced(TABLE) == pytest.approx((2 / 3 + 3 / 4) / 2)


def test_top5_is_given_only_where_it_says_something() -> None:
    labels = torch.arange(5)
    assert set(metrics.classified(torch.eye(5), labels)[0]) == {"top1", "balanced"}
    numbers, arrays = metrics.classified(torch.eye(6)[:5], labels)
    assert numbers == {"top1": 1.0, "balanced": 1.0, "top5": 1.0}
    assert arrays["confusion"].shape == (6, 6)
    assert arrays["per_class"].shape == (6,)
