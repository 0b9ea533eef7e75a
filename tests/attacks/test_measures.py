import pytest
import torch

from masquerade.attacks import measures


def test_losses_are_those_of_the_papers_one_image_at_a_time():
    logits = torch.tensor([[2.0, 1.0, -1.0, 0.5], [0.0, 3.0, 3.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    labels = torch.tensor([0, 3, 2])
    entropy = measures.cross_entropy(logits, labels)
    for row, label in enumerate(labels.tolist()):
        share = logits[row].exp()[label] / logits[row].exp().sum()
        assert float(entropy[row]) == pytest.approx(-float(share.log()), rel=1e-6)
    assert measures.margin(logits, labels).tolist() == [-1.0, 2.0, 0.0]
    # (best other - own) / (first - third of all): -1 / (2 - 0.5), 2 / (3 - 1), 0 / 0
    assert measures.dlr(logits, labels).tolist() == pytest.approx([-2 / 3, 1.0, 0.0])


def test_dlr_does_not_change_with_scale_and_shift():
    logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 5
    want = measures.dlr(logits, labels)
    torch.testing.assert_close(measures.dlr(70 * logits - 3, labels), want, rtol=1e-4, atol=1e-5)


def test_margin_and_dlr_are_positive_exactly_where_the_answer_is_wrong():
    logits = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(200) % 4
    wrong = logits.argmax(1) != labels
    assert ((measures.margin(logits, labels) > 0) == wrong).all()
    assert ((measures.dlr(logits, labels) > 0) == wrong).all()


def test_dlr_of_two_classes_is_refused():
    with pytest.raises(ValueError, match=r"at least 3 classes, got 2; use measure=margin"):
        measures.dlr(torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64))
