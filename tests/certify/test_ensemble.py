import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from masquerade.certify import ensemble, kept
from masquerade.certify.base import RuleConfig
from masquerade.certify.ensemble import Ensemble, Labelled, feature_digests, fit
from masquerade.certify.learners import centroid, logistic, ridge
from masquerade.certify.learners.base import Examples, HeadConfig, LearnerConfig
from masquerade.certify.partition import Parts
from masquerade.certify.whole import LIMIT, UNIT, fraction, scores, whole
from masquerade.core import plugins
from masquerade.core.errors import MissingData
from masquerade.core.seed import Seed

LEARNERS = [n for n in plugins.names("masquerade.certify.learners") if n != "networks"]
every_learner = pytest.mark.parametrize("learner", LEARNERS)
CLASSES = ("cat", "dog", "owl")


def drawn(seed, count, width=6, classes=3):
    """Random features with class means, and labels."""
    draw = Seed(seed).generator()
    labels = torch.randint(classes, (count,), generator=draw)
    means = 2 * torch.randn(classes, width, generator=Seed(0).generator())
    return means[labels] + torch.randn(count, width, generator=draw), labels


def training(features, labels, parts):
    digests = feature_digests(features)
    return Labelled(features, labels, digests, parts.named(digests).own)


def fitted(features, labels, parts, learner="ridge"):
    known = training(features, labels, parts)
    return fit(known, CLASSES, parts, head(learner))


def head(name: str) -> HeadConfig:
    config = LearnerConfig.called(name)()
    assert isinstance(config, HeadConfig)
    return config


def same(a: Ensemble, b: Ensemble):
    return all(
        torch.equal(x, y) if torch.is_tensor(x) and torch.is_tensor(y) else x == y
        for x, y in zip(a, b, strict=True)
    )


def test_whole_rows_have_one_length_and_follow_from_themselves():
    features = (
        torch.randn(50, 40, generator=Seed(0).generator()) * torch.logspace(-20, 20, 50)[:, None]
    )
    q = whole(features)
    assert (q[:, -1] == UNIT).all()
    size = q[:, :-1].double().square().mean(1).sqrt()
    assert torch.allclose(size, torch.full_like(size, UNIT), rtol=1e-3)
    for i in (0, 17, 49):
        assert torch.equal(whole(features[i : i + 1])[0], q[i])
        assert torch.equal(whole(4 * features[i : i + 1])[0], q[i])
    assert whole(torch.zeros(1, 5)).tolist() == [[0, 0, 0, 0, 0, UNIT]]
    spike = torch.zeros(1, 4000)
    spike[0, 7] = 1
    assert whole(spike)[0, 7] == LIMIT
    with pytest.raises(ValueError, match="features of image 1 are nan"):
        whole(torch.tensor([[1.0], [torch.nan]]))
    with pytest.raises(ValueError, match="at most 4096"):
        whole(torch.zeros(1, 4097))


def test_scores_are_exact_at_the_largest_numbers_there_are():
    for width in (2, 513, 4097):
        bits = fraction(width) + 4
        x = torch.full((2, width), LIMIT, dtype=torch.int16)
        w = torch.full((2, width, 3), (1 << bits) - 1, dtype=torch.int32)
        w[0, -1] -= 1
        found = scores(x, w)
        exact = [LIMIT * (((1 << bits) - 1) * width - 1), LIMIT * ((1 << bits) - 1) * width]
        assert max(exact) < 2**53
        assert found[1, 2].tolist() == exact


@pytest.mark.parametrize("count", [4, 30])
def test_ridge_is_that_of_scikit_learn(count):
    features, labels = drawn(1, count)
    x = whole(features)
    one = Examples(x, labels, 3)
    weights = ridge.Config(strength=0.5).fit(one, [torch.arange(count)])[:, :, 0]
    ours = weights.double() / 2.0 ** fraction(x.shape[1])
    known = Ridge(alpha=0.5 * 6, fit_intercept=False, solver="cholesky")
    known.fit(x.double().numpy() / UNIT, np.eye(3)[labels.numpy()])
    assert np.allclose(ours, known.coef_, atol=1e-5)


def test_centroid_chooses_the_nearest_mean():
    features, labels = drawn(2, 60)
    model = fitted(features, labels, Parts(parts=1), "centroid")
    x = whole(features)[:, :-1].double()
    means = torch.stack([x[labels == c].mean(0) for c in range(3)])
    nearest = torch.cdist(x, means).argmin(1)
    assert torch.equal(model.logits(features)[:, 0].argmax(1), nearest)


def test_logistic_reaches_the_minimum():
    features, labels = drawn(3, 40)
    x = whole(features)
    learner = logistic.Config(strength=0.1, iterations=2000)
    weights = learner.fit(Examples(x, labels, 3), [torch.arange(40)])[:, :, 0]
    w = (weights.double() / 2.0 ** fraction(x.shape[1])).T.requires_grad_()
    loss = torch.nn.functional.cross_entropy(x.double() / UNIT @ w, labels)
    (slope,) = torch.autograd.grad(loss + 0.05 * w.square().sum(), w)
    assert slope.abs().max() < 1e-5


@every_learner
@pytest.mark.parametrize("parts", [Parts(parts=7), Parts(parts=3, spread=3)])
def test_the_order_of_the_training_set_changes_no_bit(learner, parts):
    features, labels = drawn(4, 60)
    features[7], features[8] = features[3], features[3]  # duplicates, of two labels
    labels[3], labels[7], labels[8] = 0, 1, 0
    there = fitted(features, labels, parts, learner)
    moved = torch.randperm(60, generator=Seed(1).generator())
    assert same(fitted(features[moved], labels[moved], parts, learner), there)


@every_learner
@pytest.mark.parametrize("parts", [Parts(parts=7), Parts(parts=3, spread=3)])
@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 1000),
    count=st.integers(1, 40),
    kind=st.sampled_from(["insert", "delete", "flip", "edit"]),
)
def test_one_poison_changes_no_model_that_its_partition_does_not_reach(
    learner, parts, seed, count, kind
):
    features, labels = drawn(seed, count)
    new, other = drawn(seed + 1, 1)
    before = fitted(features, labels, parts, learner)
    hit = parts.named(feature_digests(features[:1])).own.tolist()
    if kind == "insert":
        poisoned = torch.cat([features, new]), torch.cat([labels, other])
        hit = parts.named(feature_digests(new)).own.tolist()
    elif kind == "delete":
        poisoned = features[1:], labels[1:]
    elif kind == "flip":
        poisoned = features, torch.cat([(labels[:1] + 1) % 3, labels[1:]])
    else:
        poisoned = torch.cat([new, features[1:]]), labels
        hit += parts.named(feature_digests(new)).own.tolist()
    after = fitted(*poisoned, parts, learner)
    models = before.partition.reach[hit].unique().tolist()
    safe = [i for i in range(parts.models) if i not in models]
    assert len(models) <= len(hit) * parts.spread
    assert torch.equal(before.weights[:, :, safe], after.weights[:, :, safe])
    assert torch.equal(before.seen[safe], after.seen[safe])
    tests = drawn(99, 5)[0]
    assert torch.equal(before.logits(tests)[:, safe], after.logits(tests)[:, safe])


@every_learner
@pytest.mark.parametrize("parts", [Parts(parts=5), Parts(parts=2, spread=3)])
def test_adding_and_removing_equal_a_new_fit_bit_for_bit(learner, parts):
    features, labels = drawn(5, 40)
    whole_set = fitted(features, labels, parts, learner)
    first = fitted(features[:25], labels[:25], parts, learner)
    rest = training(features[25:], labels[25:], parts)
    assert same(ensemble.add(first, rest), whole_set)
    assert same(ensemble.remove(whole_set, rest.digests), first)
    nothing = ensemble.remove(first, first.digests)
    assert not nothing.seen.any()
    assert not nothing.weights.any()


@every_learner
def test_a_model_does_not_depend_on_which_others_are_fitted_with_it(learner):
    features, labels = drawn(6, 90)
    examples = Examples(whole(features), labels, 3)
    members = [torch.arange(i, 90, 9)[: 3 + i] for i in range(9)] + [torch.arange(40)]
    config = head(learner)
    together = config.fit(examples, members)
    for i, rows in enumerate(members):
        assert torch.equal(config.fit(examples, [rows])[:, :, 0], together[:, :, i])
    torch.set_num_threads(2)
    try:
        assert torch.equal(config.fit(examples, members), together)
    finally:
        torch.set_num_threads(1)


def test_logits_do_not_depend_on_the_batch():
    features, labels = drawn(7, 50)
    model = fitted(features, labels, Parts(parts=4))
    tests = drawn(8, 33)[0]
    together = model.logits(tests)
    for i in (0, 13, 32):
        assert torch.equal(model.logits(tests[i : i + 1])[0], together[i])


def test_absent_classes_and_empty_partitions_never_get_a_vote():
    features, labels = drawn(9, 3)
    labels = torch.tensor([0, 0, 1])
    parts = Parts(parts=40)  # more partitions than images
    model = fitted(features, labels, parts)
    found = model.logits(features)
    own = parts.named(feature_digests(features)).own
    assert found.isfinite().sum() == 3 * model.seen.sum()
    assert (found[:, own[0], 1] == -torch.inf).all()
    certificate = RuleConfig.called("dpa")().certify(model.ballots(features))
    assert certificate.label.tolist() == [0, 0, 0]  # two votes to one, 37 abstentions
    assert certificate.radius.tolist() == [0, 0, 0]


def test_what_does_not_fit_together_is_refused():
    features, labels = drawn(10, 6)
    parts = Parts(parts=2)
    known = training(features, labels, parts)
    with pytest.raises(ValueError, match="needs two classes, got 1"):
        fit(known, ("cat",), parts, ridge.Config())
    with pytest.raises(ValueError, match=r"labels must be 0 to 1, got 0 to 2"):
        fit(known._replace(labels=torch.arange(6) % 3), CLASSES[:2], parts, ridge.Config())
    with pytest.raises(ValueError, match="6 features, 5 labels"):
        fit(known._replace(labels=labels[:5]), CLASSES, parts, ridge.Config())
    model = fit(known, CLASSES, parts, centroid.Config())
    with pytest.raises(ValueError, match="fitted on features of 6 numbers, got 5"):
        model.logits(features[:, :5])
    with pytest.raises(ValueError, match="have 6 numbers, got 5"):
        ensemble.add(model, training(features[:, :5], labels, parts))
    with pytest.raises(ValueError, match="1 of 1 images were not learnt"):
        ensemble.remove(model, ["00"])
    dealt = fitted(features, labels, Parts(parts=2, assign="dealt"))
    with pytest.raises(ValueError, match="assign=content"):
        ensemble.remove(dealt, known.digests[:1])


def test_an_ensemble_survives_its_file(tmp_path):
    features, labels = drawn(11, 20)
    model = fitted(features, labels, Parts(parts=3, spread=2), "centroid")
    place = tmp_path / "heads.safetensors"
    kept.save(model, place, {"encoder": "abc"})
    back, about = kept.load(place)
    assert isinstance(back, Ensemble) and same(back, model)
    assert about == {"encoder": "abc"}
    with pytest.raises(MissingData, match="masquerade certify makes one"):
        kept.load(tmp_path / "nothing.safetensors")
    place.write_bytes(b"nonsense")
    with pytest.raises(MissingData, match="no safetensors file"):
        kept.load(place)
