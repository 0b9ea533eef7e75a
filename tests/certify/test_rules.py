import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.certify.attack import majority, radius, runoff, vote

from masquerade.certify import dpa, fa, roe_dpa, roe_fa
from masquerade.certify.base import Ballots, RuleConfig, identity, ring
from masquerade.core import plugins
from masquerade.core.seed import Seed

ORACLES = sorted((Path(__file__).parents[1] / "oracles" / "certify").glob("*.npz"))
TIES = ("index", "abstain")
every_policy = pytest.mark.parametrize("ties", TIES)


def of_kind(kind):
    return [pytest.param(f, id=f.stem) for f in ORACLES if str(np.load(f)["kind"]) == kind]


def told(certificate):
    return certificate.label.tolist(), certificate.radius.tolist()


def scores(seed, *shape, levels=0):
    """Random scores; with `levels`, whole numbers below it, so that many are equal."""
    draw = Seed(seed).generator()
    if levels:
        return torch.randint(levels, shape, generator=draw).float()
    return torch.randn(shape, generator=draw)


def by_hand(votes, classes):
    """Ballots of one image whose models vote as told, and rank the others by number."""
    logits = -torch.arange(classes).float().expand(1, len(votes), classes).clone()
    logits[0, range(len(votes)), votes] = 1
    return Ballots(logits, identity(len(votes)))


@pytest.mark.parametrize("file", of_kind("dpa"))
@every_policy
def test_dpa_and_its_run_off_agree_with_the_official_scripts(file, ties):
    known = np.load(file)
    logits = torch.from_numpy(known["logits"])
    ballots = Ballots(logits, identity(logits.shape[1]))
    plain = dpa.certify(ballots, ties=ties)
    assert told(plain) == (known["dpa_pred"].tolist(), known["dpa_radius"].tolist())
    official = roe_dpa.certify(ballots, ties=ties, tight=False)
    assert told(official) == (known["roe_pred"].tolist(), known["roe_radius"].tolist())
    exact = roe_dpa.certify(ballots, ties=ties)
    assert told(exact) == (known["roe_pred"].tolist(), known["roe_radius_tight"].tolist())


@pytest.mark.parametrize("file", of_kind("ties"))
@every_policy
def test_tied_scores_follow_the_chosen_policy(file, ties):
    known = np.load(file)
    logits = torch.from_numpy(known["logits"])
    ballots = Ballots(logits, identity(logits.shape[1]))
    for found, name in (
        (dpa.certify(ballots, ties=ties), "dpa_radius"),
        (roe_dpa.certify(ballots, ties=ties, tight=False), "roe_radius"),
        (roe_dpa.certify(ballots, ties=ties), "roe_radius_tight"),
    ):
        labels = known[f"{ties}_{name[:3]}_pred"]
        assert told(found) == (labels.tolist(), known[f"{ties}_{name}"].tolist())


@pytest.mark.parametrize("file", of_kind("fa"))
@every_policy
@pytest.mark.parametrize("shuffled", [False, True])
def test_fa_and_its_run_off_agree_with_the_official_scripts(file, ties, shuffled):
    known = np.load(file)
    logits = torch.from_numpy(known["logits"])
    reach = ring(logits.shape[1], torch.from_numpy(known["shifts"]))
    if shuffled:  # the order of partitions means nothing, and a general reach is no ring
        reach = reach[torch.randperm(len(reach), generator=Seed(0).generator())]
    ballots = Ballots(logits, reach)
    plain = fa.certify(ballots, ties=ties)
    assert told(plain) == (known["fa_pred"].tolist(), known["fa_radius"].tolist())
    official = roe_fa.certify(ballots, ties=ties, tight=False)
    assert told(official) == (known["fa_roe_pred"].tolist(), known["fa_roe_radius"].tolist())
    most = roe_fa.certify(ballots, ties=ties)
    assert told(most) == (known["fa_roe_pred"].tolist(), known["fa_roe_radius_lambda"].tolist())
    if "exact_fa_radius" in known:
        for found, name in ((plain, "exact_fa_radius"), (most, "exact_fa_roe_radius")):
            limit = known[name]
            assert (found.radius.numpy()[limit >= 0] <= limit[limit >= 0]).all()


@every_policy
@pytest.mark.parametrize(("models", "classes"), [(1, 3), (2, 2), (3, 3), (5, 3), (6, 3), (5, 4)])
def test_the_tight_radius_is_one_less_than_the_smallest_attack(ties, models, classes):
    weak = ties == "abstain" and classes == 3 and models < 6
    logits = torch.cat([scores(1, 12, models, classes), scores(2, 12, models, classes, levels=2)])
    logits[::2, :, 1] += 1.5  # large majorities, so that large radii occur
    logits[-3:, 0] = -torch.inf  # a model of an empty partition
    logits[-6:, -1, 0] = -torch.inf  # a class that a model never saw
    ballots = Ballots(logits, identity(models))
    both = ((dpa, majority), (roe_dpa, runoff))
    for rule, winner in both:
        found = rule.certify(ballots, ties=ties)
        official = rule.certify(ballots, ties=ties, tight=False)
        assert torch.equal(found.label, official.label)
        for i, image in enumerate(logits.numpy()):
            label, r = radius(image, ballots.reach.tolist(), winner, ties, 3, weak)
            assert found.label[i] == label
            assert min(int(found.radius[i]), 3) == r
            assert official.radius[i] <= found.radius[i]


def in_reach(file):
    """Whether every radius in an oracle is one that our attacker can find out by trying."""
    _, models, classes = np.load(file)["logits"].shape
    return models <= 6 and classes <= 4


REACHED = [
    pytest.param(
        file, limit, marks=pytest.mark.slow if limit > 10 else (), id=f"{file.stem}-{limit}"
    )
    for file in ORACLES
    if in_reach(file)
    for limit in (6, 1000)
]


@pytest.mark.parametrize(("file", "limit"), REACHED)
def test_our_attacker_finds_the_radii_of_the_oracles_that_are_small_enough(file, limit):
    known = np.load(file)
    logits = known["logits"][:limit]
    kind = str(known["kind"])
    shifts = torch.from_numpy(known["shifts"]) if kind == "fa" else torch.zeros(1).long()
    reach = ring(logits.shape[1], shifts).tolist()
    names = ("fa_pred", "exact_fa_radius"), ("fa_roe_pred", "exact_fa_roe_radius")
    if kind != "fa":
        names = ("dpa_pred", "dpa_radius"), ("roe_pred", "roe_radius_tight")
    for ties in TIES:
        front = f"{ties}_" if kind == "ties" else ""
        for winner, (labels, radii) in zip((majority, runoff), names, strict=True):
            for i, image in enumerate(logits):
                label, r = radius(image, reach, winner, ties, 3)
                assert label == known[front + labels][i]
                assert r == known[front + radii][i]


@every_policy
@pytest.mark.parametrize("levels", [0, 2])
def test_no_attack_on_overlapping_partitions_is_smaller_than_certified(ties, levels):
    logits = scores(3, 12, 6, 3, levels=levels)
    reach = ring(6, torch.tensor([0, 2]))
    ballots = Ballots(logits, reach)
    slack = 0
    for rule, winner in ((fa, majority), (roe_fa, runoff)):
        found = rule.certify(ballots, ties=ties)
        for i, image in enumerate(logits.numpy()):
            label, r = radius(image, reach.tolist(), winner, ties, 2)
            assert found.label[i] == label
            assert min(int(found.radius[i]), 2) <= r
            slack += r - min(int(found.radius[i]), 2)
    assert slack <= 1  # nearly exact where the worst case can be computed


@every_policy
def test_partitions_of_any_shape_can_reach_models(ties):
    logits = scores(4, 10, 5, 3)
    reach = torch.tensor([[0, 1], [1, 2], [2, 3]])  # nobody reaches model 4
    for rule, winner in ((fa, majority), (roe_fa, runoff)):
        found = rule.certify(Ballots(logits, reach), ties=ties)
        for i, image in enumerate(logits.numpy()):
            label, r = radius(image, reach.tolist(), winner, ties, 3)
            assert found.label[i] == label
            assert min(int(found.radius[i]), 3) <= r


@every_policy
@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    models=st.integers(1, 30),
    classes=st.integers(2, 7),
    levels=st.sampled_from([0, 2, 4]),
)
def test_laws_of_the_radii(ties, seed, models, classes, levels):
    logits = scores(seed, 6, models, classes, levels=levels)
    one = Ballots(logits, identity(models))
    plain = dpa.certify(one, ties=ties)
    loose = roe_dpa.certify(one, ties=ties, tight=False)
    exact = roe_dpa.certify(one, ties=ties)
    for found in (plain, loose, exact):
        assert (found.radius >= 0).all()
        assert (found.radius <= models // 2).all()
    assert (loose.radius <= exact.radius).all()
    # Finite Aggregation with d = 1 is DPA, whatever model a partition belongs to.
    turned = Ballots(logits, ring(models, torch.tensor([seed % models])))
    assert told(fa.certify(turned, ties=ties)) == told(plain)
    between = roe_fa.certify(turned, ties=ties, tight=False)
    if ties == "index":
        assert told(between) == told(loose)
    else:  # it sees which models abstain; the published price for two against one does not
        assert (loose.radius <= between.radius).all()
        assert (between.radius <= exact.radius).all()
    assert told(roe_fa.certify(turned, ties=ties)) == told(exact)
    if classes == 2 and ties == "index":  # then the run-off asks the same question again
        assert told(exact) == told(plain)


@every_policy
@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    models=st.integers(3, 20),
    classes=st.integers(2, 5),
    d=st.integers(1, 3),
    levels=st.sampled_from([0, 3]),
)
def test_laws_of_overlapping_partitions(ties, seed, models, classes, d, levels):
    logits = scores(seed, 5, models, classes, levels=levels)
    offsets = torch.randperm(models, generator=Seed(seed).generator())[:d]
    ballots = Ballots(logits, ring(models, offsets))
    plain = fa.certify(ballots, ties=ties)
    loose = roe_fa.certify(ballots, ties=ties, tight=False)
    exact = roe_fa.certify(ballots, ties=ties)
    assert torch.equal(plain.label, dpa.certify(Ballots(logits, identity(models)), ties=ties).label)
    assert torch.equal(loose.label, exact.label)
    assert (loose.radius <= exact.radius).all()
    votes = [[vote(s, ties) for s in image] for image in logits.tolist()]
    for row, winner, r in zip(votes, *told(plain), strict=True):
        gaps = [row.count(winner) - row.count(c) - (c < winner) for c in range(classes)]
        gaps.pop(winner)
        assert min(gaps) // (2 * d) <= r  # the bound that does not look at who reaches whom
    # What one partition does with d models, d attackers of one model each can do, too.
    each = dpa.certify(Ballots(logits, identity(models)), ties=ties)
    assert (plain.radius >= each.radius // d).all()
    many = roe_dpa.certify(Ballots(logits, identity(models)), ties=ties, tight=False)
    assert (loose.radius >= many.radius // d).all()
    for found in (plain, exact):
        assert (found.radius >= 0).all()


def test_radii_worked_out_by_hand():
    # 5 : 2. Two changed votes make it 3 : 4; one leaves 4 : 3.
    assert told(dpa.certify(by_hand([0] * 5 + [1] * 2, 2), ties="index")) == ([0], [1])
    # 4 : 3 in favour of class 1. One vote moved gives 3 : 4, and class 0 wins.
    assert told(dpa.certify(by_hand([1] * 4 + [0] * 3, 2), ties="index")) == ([1], [0])
    # An equal count goes to the lower class, but then a single vote turns it over.
    assert told(dpa.certify(by_hand([1, 1, 0, 0], 2), ties="index")) == ([0], [0])
    # 9 unanimous models: the attacker needs 5.
    assert told(dpa.certify(by_hand([2] * 9, 3), ties="index")) == ([2], [4])


def test_an_order_of_magnitude_more_models_than_the_official_table_allows():
    logits = scores(7, 2, 3000, 3)
    logits[:, :, 1] += 3
    found = roe_dpa.certify(Ballots(logits, identity(3000)), ties="index")
    assert found.label.tolist() == [1, 1]
    assert (found.radius > 1000).all()


def test_the_table_of_two_against_one_has_a_closed_form():
    """The official table, by its recursion, against the formula in the run-off's code."""
    size = 60
    table = np.zeros((size, size), int)
    for i in range(size):
        for j in range(size):
            if i + j == 0:
                continue
            if i <= 1 or j <= 1:
                table[i, j] = max((max(i, j) + 1) // 2, 1)
            else:
                table[i, j] = 1 + min(table[max(i - 2, 0), j - 1], table[i - 1, max(j - 2, 0)])
    # Three classes, the winner with many votes, the others behind by i and j.
    own = 2 * size
    first, second = np.indices((size, size)).reshape(2, -1)
    counts = np.stack([np.full(size**2, own), own + 1 - first, own + 1 - second], 1)
    label = np.zeros(size**2, np.int64)
    found = roe_dpa.Election(counts, label, label, counts, np.empty((0, 0), np.uint8))
    assert (roe_dpa.two_outrank(found, exact=False) == table.ravel()).all()


@every_policy
def test_nothing_depends_on_how_many_images_are_looked_at_together(ties):
    logits = scores(9, 300, 70, 12, levels=40)
    ballots = Ballots(logits, ring(70, torch.tensor([3, 11, 64])))
    for rule, reach in ((dpa, identity(70)), (roe_dpa, identity(70)), (fa, None), (roe_fa, None)):
        whole = Ballots(logits, ballots.reach if reach is None else reach)
        together = rule.certify(whole, ties=ties)
        for i in (0, 17, 299):
            alone = rule.certify(whole._replace(logits=logits[i : i + 1]), ties=ties)
            assert told(alone) == ([together.label[i]], [together.radius[i]])
        class_major = logits.permute(2, 0, 1).contiguous().permute(1, 2, 0)
        assert told(rule.certify(whole._replace(logits=class_major), ties=ties)) == told(together)


@pytest.mark.parametrize("name", plugins.names("masquerade.certify"))
def test_every_rule_refuses_what_is_no_ballot(name):
    rule = RuleConfig.called(name)()
    fine = scores(0, 4, 3, 3)
    wrong = fine.clone()
    wrong[2, 1, 0] = torch.nan
    with pytest.raises(ValueError, match=r"model 1 gives test image 2 a score that is nan"):
        rule.certify(Ballots(wrong, identity(3)))
    wrong[2, 1, 0] = torch.inf
    with pytest.raises(
        ValueError, match=r"model 1 gives test image 2 a score that is nan or \+inf"
    ):
        rule.certify(Ballots(wrong, identity(3)))
    with pytest.raises(ValueError, match=r"floats \[T, K, C\], got torch.int64"):
        rule.certify(Ballots(fine.long(), identity(3)))
    with pytest.raises(ValueError, match=r"a model and two classes, got 3 and 1"):
        rule.certify(Ballots(fine[:, :, :1], identity(3)))
    with pytest.raises(ValueError, match=r"models that are not there"):
        rule.certify(Ballots(fine, identity(4)))
    with pytest.raises(ValueError, match=r"a model twice"):
        rule.certify(Ballots(fine, torch.tensor([[1, 1]])))


@pytest.mark.parametrize("name", plugins.names("masquerade.certify"))
def test_every_rule_takes_no_image_half_precision_and_models_that_know_nothing(name):
    rule = RuleConfig.called(name)()
    nobody = rule.certify(Ballots(torch.empty(0, 5, 3), identity(5)))
    assert told(nobody) == ([], [])
    logits = scores(0, 4, 5, 3)
    for kind in (torch.float16, torch.bfloat16):
        with pytest.warns(UserWarning, match="many models will be tied"):
            found = rule.certify(Ballots(logits.to(kind), identity(5)))
        same = rule.certify(Ballots(logits.to(kind).double(), identity(5)))
        assert told(found) == told(same)
    silent = rule.certify(Ballots(torch.full((1, 5, 3), -torch.inf), identity(5)))
    assert told(silent) == ([0], [0])  # nobody votes: class 0, and one poison may change it


@pytest.mark.parametrize("name", ["dpa", "roe_dpa"])
def test_a_rule_for_one_model_per_partition_refuses_a_spread(name):
    ballots = Ballots(scores(0, 2, 4, 3), ring(4, torch.tensor([0, 1])))
    with pytest.raises(ValueError, match=r"each partition reaches 2 models"):
        RuleConfig.called(name)().certify(ballots)


@pytest.mark.parametrize(("name", "spread"), [("dpa", 1), ("roe_dpa", 1), ("fa", 4), ("roe_fa", 4)])
def test_memory_does_not_grow_with_the_number_of_images(name, spread):
    rule = RuleConfig.called(name)(ties="index")
    reach = ring(400, torch.arange(spread))
    most = []
    for images in (1000, 3000):
        ballots = Ballots(scores(0, images, 400, 5), reach)
        tracemalloc.start()
        rule.certify(ballots)
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert most[1] < most[0] + 4e6  # the scores themselves grow by 16 MB
    assert most[1] < 40e6
