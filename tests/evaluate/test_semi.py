"""Few labels: what is drawn, by whom it is fitted, and that a frozen network stays frozen."""

import numpy as np
import pytest
import torch
from tests.evaluate.test_finetune import encoder, state

from masquerade.core.seed import Seed
from masquerade.data.sources import toybox
from masquerade.data.subsets import fraction
from masquerade.engine.optimizers import sgd
from masquerade.engine.schedule import Schedule
from masquerade.evaluate import finetune, finetune_sgd, linear, semi, semi10
from masquerade.evaluate.base import Unlabelled
from masquerade.evaluate.mixing import Mixing
from masquerade.evaluate.tuning import Job
from masquerade.jobs.evaluate import Evaluate

LABELS = torch.arange(60) % 3
GROUPS = np.arange(60) // 3 % 5 * 10 + np.arange(60) % 3  # five objects of each class, four views
QUICK = finetune_sgd.Config(
    epochs=2, batch=16, mixing=Mixing(), optimizer=sgd.Config(lr=0.1, schedule=Schedule(warmup=0))
)


def test_whole_objects_are_drawn_and_one_is_among_three():
    one = semi.by_group(LABELS, GROUPS, 1, Seed(0))
    three = semi.by_group(LABELS, GROUPS, 3, Seed(0))
    for rows, count in ((one, 1), (three, 3)):
        for label in range(3):
            mine = rows[LABELS[rows].numpy() == label]
            assert len(np.unique(GROUPS[mine])) == count
            assert sorted(mine) == sorted(np.flatnonzero(np.isin(GROUPS, GROUPS[mine])))
    assert set(one) < set(three)
    assert semi.by_group(LABELS, GROUPS, 9, Seed(0)).tolist() == list(range(60))
    assert len(semi.by_group(LABELS, None, 2, Seed(0))) == 6
    assert set(semi.by_group(LABELS, GROUPS, 1, Seed(1))) != set(one)


def test_it_is_the_head_s_own_protocol_on_the_images_that_were_drawn(tinted, pixels):
    train, test = tinted(group=GROUPS), tinted(30, name="new")
    config = semi.Config(ratio=0.2, head=linear.Config())
    found = config.build().run(pixels, train, {"test": test}, Seed(0))
    rows = fraction(LABELS, 0.2, Seed(0).fold("few labels"), GROUPS)
    own = linear.Config().build().run(pixels, train.subset(rows), {"test": test}, Seed(0))
    assert found.metrics == {"labels": 12.0, **own.metrics}
    assert found.notes[0].startswith(
        "0.2 of the labels, class by class and whole objects at a time"
    )


def test_the_published_settings_differ_in_their_rates_only():
    one, ten = semi.Config().head, semi10.Config().head
    assert isinstance(one, finetune_sgd.Config)
    assert isinstance(ten, finetune_sgd.Config)
    rates = [(c.optimizer.lr, round(c.optimizer.lr * c.head_scale, 9)) for c in (one, ten)]
    assert rates == [(0.02, 5.0), (0.01, 0.2)]
    assert one.replace(optimizer=ten.optimizer, head_scale=ten.head_scale) == ten
    assert (semi.Config().ratio, semi10.Config().ratio) == (0.01, 0.1)
    assert semi10.Config().build().config.kind == "semi10"


def test_a_frozen_network_is_not_moved_by_its_classifier(tinted):
    frozen = encoder()
    before = state(frozen)
    head = QUICK.replace(frozen=True).build().run(frozen, tinted(), {}, Seed(0)).head
    assert isinstance(head, finetune.Tuned)
    assert all(torch.equal(t, before[f"body.{n}"]) for n, t in head.weights.items())
    assert head.tensors()["weight"].abs().max() > 0.05
    tuned = QUICK.build().run(frozen, tinted(), {}, Seed(0)).head
    assert isinstance(tuned, finetune.Tuned)
    assert any(not torch.equal(t, before[f"body.{n}"]) for n, t in tuned.weights.items())


def test_the_classifier_s_rate_is_scaled():
    job = Job(QUICK.replace(head_scale=20.0), encoder().encoder, None, 3)  # type: ignore[arg-type]
    groups = job.task(Seed(0)).players()["encoder"]
    assert [g.lr_scale for g in groups] == [1.0] * (len(groups) - 1) + [20.0]


def test_what_cannot_be_drawn_or_is_set_twice_is_refused(tinted, pixels):
    with pytest.raises(ValueError, match="set crop of semi itself"):
        semi.Config(head=linear.Config(crop=0.5))
    with pytest.raises(ValueError, match="inside of itself"):
        semi.Config(head=semi10.Config())
    with pytest.raises(ValueError, match="drop_path=0"):
        finetune.Config(frozen=True)
    bare = tinted().labelled(np.full(60, -1), ())
    with pytest.raises(Unlabelled, match="semi needs labels"):
        semi.Config().build().run(pixels, bare, {}, Seed(0))


def test_settings_can_be_typed_as_the_documentation_prints_them():
    plain = Evaluate(data=toybox.Config(), protocols={"semi": semi.Config()})
    told = plain.with_words(["semi.groups=3", "semi.head.frozen=true"]).protocols["semi"]
    assert isinstance(told, semi.Config)
    assert told.head == semi.Config().head.replace(frozen=True)
    probe = plain.with_words(["semi.head=linear", "semi.ratio=0.05"]).protocols["semi"]
    assert probe == semi.Config(ratio=0.05, head=linear.Config())
