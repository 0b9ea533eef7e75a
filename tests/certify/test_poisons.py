"""Real poisons: change the training set, fit everything again, look at the predictions."""

import pytest
import torch

from masquerade.certify.base import RuleConfig
from masquerade.certify.ensemble import Labelled, feature_digests, fit
from masquerade.certify.learners import ridge
from masquerade.certify.partition import Parts
from masquerade.certify.witness import attacks
from masquerade.core.seed import Seed

CLASSES = ("cat", "dog", "owl", "fox")


def drawn(seed, count, spread=1.5):
    draw = Seed(seed).generator()
    labels = torch.randint(4, (count,), generator=draw)
    means = spread * torch.randn(4, 5, generator=Seed(0).generator())
    return means[labels] + torch.randn(count, 5, generator=draw), labels


def fitted(features, labels, parts):
    digests = feature_digests(features)
    known = Labelled(features, labels, digests, parts.named(digests).own)
    return fit(known, CLASSES, parts, ridge.Config())


def flipped(labels, own, partitions, to):
    """All labels of some partitions changed: every one of these counts as many poisons."""
    hit = torch.isin(own, torch.tensor(partitions))
    return torch.where(hit, torch.full_like(labels, to), labels)


RULES = [("dpa", 1), ("roe_dpa", 1), ("fa", 2), ("roe_fa", 2)]


@pytest.mark.parametrize(("rule", "spread"), RULES)
def test_no_retrained_ensemble_changes_a_certified_prediction(rule, spread):
    parts = Parts(parts=9, spread=spread)
    features, labels = drawn(1, 150)
    tests, _ = drawn(2, 60)
    model = fitted(features, labels, parts)
    clean = RuleConfig.called(rule)().certify(model.ballots(tests))
    own = parts.named(feature_digests(features)).own
    draw = Seed(3).generator()
    changed = 0
    for trial in range(12):
        count = 1 + trial % 3
        hit = torch.randperm(parts.models, generator=draw)[:count].tolist()
        if trial % 2:  # whole partitions relabelled: stronger than any poisons in them
            new = features, flipped(labels, own, hit, trial % 4)
        else:  # far outliers put in, one in each partition at most `count` of them
            odd = 30 * torch.randn(count, 5, generator=draw)
            wrong = torch.randint(4, (count,), generator=draw)
            new = torch.cat([features, odd]), torch.cat([labels, wrong])
        after = RuleConfig.called(rule)().certify(fitted(*new, parts).ballots(tests))
        safe = clean.radius >= count
        assert torch.equal(after.label[safe], clean.label[safe])
        changed += int((after.label != clean.label).sum())
    assert safe.any()
    assert changed  # or the poisons were too weak to test anything


def test_poisons_in_the_dearest_partitions_change_a_label_at_one_more_than_its_radius():
    """R of the partitions that a smallest attack names are not enough; all of them are."""
    parts = Parts(parts=9)
    features, labels = drawn(7, 150)
    tests, _ = drawn(8, 12)
    model = fitted(features, labels, parts)
    own = parts.named(feature_digests(features)).own
    rule = RuleConfig.called("dpa")()
    clean = rule.certify(model.ballots(tests))
    found = attacks(model.ballots(tests), ties=rule.ties)
    assert clean.radius.unique().numel() > 2
    for i, attack in enumerate(found):
        assert len(attack.models) == clean.radius[i] + 1
        for partitions, same in ((attack.models[:-1], True), (attack.models, False)):
            poisoned = flipped(labels, own, list(partitions), attack.rival)
            after = rule.certify(fitted(features, poisoned, parts).ballots(tests[i : i + 1]))
            assert (after.label[0] == clean.label[i]) == same
            if not same:
                assert after.label[0] == attack.rival


def test_a_backdoor_is_covered_on_the_image_with_its_trigger():
    """R is that of the input it is computed on: with the trigger, not without."""
    parts = Parts(parts=11)
    features, labels = drawn(4, 200)
    tests, _ = drawn(5, 40)
    trigger = torch.tensor([0.0, 0, 0, 0, 12])
    bad = features[:3] + trigger  # three poisons: the trigger means class 3
    poisoned = fitted(torch.cat([features, bad]), torch.cat([labels, torch.full((3,), 3)]), parts)
    rule = RuleConfig.called("dpa")()
    shown = rule.certify(poisoned.ballots(tests + trigger))
    without = rule.certify(fitted(features, labels, parts).ballots(tests + trigger))
    safe = shown.radius >= 3
    assert safe.any()
    assert torch.equal(shown.label[safe], without.label[safe])
