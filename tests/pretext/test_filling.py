"""Whole steps with filled and erased copies against the arrays of MixMask and Un-Mix.

What frameworks.py leaves out: permutations that are not their own inverse, the other view,
mixtures that only predict, two maskers at once, the erase baseline, three steps on end.
"""

import pytest
import torch
from tests.pretext.frameworks import (
    BUILT,
    NOW,
    PLACES,
    TINY,
    gradients,
    load,
    off,
    oracle,
    simclr_of,
    simsiam_of,
    tiny,
)

from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.engine.task import Carry
from masquerade.maskers.base import Masker, Occluded
from masquerade.networks.heads import ProjectorConfig
from masquerade.objectives import moco, simsiam
from masquerade.pretext.siamese import Siamese


class Given(Masker):
    """Copies that are given: images, partners, shares and weights."""

    wants_clean = True
    fills = True

    def __init__(self, *copies):
        super().__init__()
        self.copies = copies

    def propose(self, images, seed):
        return torch.zeros_like(images[:, :1])

    def occlude(self, images, hidden, seed):
        made = []
        for mixed, share, partner, weight in self.copies:
            one = torch.ones(len(images), dtype=torch.float64)
            rows = None if partner is None else torch.as_tensor(partner)
            made.append(Occluded(mixed, hidden, rows, one * float(share), one * float(weight)))
        return made


REVERSED = range(7, -1, -1)


def run(objective, maskers, views, **settings):
    """One round of the encoder: its loss, with gradients left on the objective."""
    task = Siamese(objective, maskers, **settings).double()
    task.before_step(NOW)
    loss = task(Views(views, None), ("encoder",), Seed(0), NOW, Carry()).loss
    loss.backward()
    task.after_step(NOW)
    return float(loss.detach())


every_framework = pytest.mark.parametrize("name", BUILT)


@every_framework
@pytest.mark.parametrize("meets", ["other", "same"])
def test_the_mixture_meets_the_other_view_or_its_own(name, meets):
    o = oracle(f"{name}_mixmask")
    masker = Given((o["mixed"], o["lam"], REVERSED, 1))
    loss = run(BUILT[name](o, meets=meets), [masker], (o["x2"], o["x1"]))
    assert loss == pytest.approx(float(o["loss" if meets == "other" else "loss_x1"]), abs=1e-9)


@every_framework
def test_a_permutation_that_is_not_its_own_inverse_gives_the_official_loss(name):
    o = oracle(f"{name}_mixmask")
    mask, perm = o["mask"], o["perm"].long()
    assert (perm != perm.argsort()).any()
    mixed = mask * o["x1"] + (1 - mask) * o["x1"][perm]
    loss = run(BUILT[name](o), [Given((mixed, o["lam"], perm, 1))], (o["x2"], o["x1"]))
    assert loss == pytest.approx(float(o["loss_perm"]), abs=1e-9)


@pytest.mark.parametrize("name", ["byol", "simsiam"])
def test_mixtures_that_only_predict_leave_the_other_direction_out(name):
    o = oracle(f"{name}_mixmask")
    changes = {"masked": "query"} if name == "byol" else {"terms": ("masked_query",)}
    masker = Given((o["mixed"], o["lam"], REVERSED, 1))
    loss = run(BUILT[name](o, **changes), [masker], (o["x2"], o["x1"]))
    expected = o["loss_o"] + o["lam"] * o["oneway_up"] + (1 - o["lam"]) * o["oneway_dn"]
    assert loss == pytest.approx(float(expected), abs=1e-9)


def test_simsiam_with_one_masked_view_has_patrick_huas_gradients():
    o = oracle("simsiam_mixmask")
    it = simsiam_of(o)
    loss = run(it, [Given((o["mixed"], o["lam"], REVERSED, 1))], (o["x2"], o["x1"]))
    assert loss == pytest.approx(float(o["loss"]), abs=1e-9)
    assert max(gradients(it, o, PLACES["simsiam"]).values()) < 1e-9


def moco_of(o, momentum):
    head = ProjectorConfig(hidden=16, out=16)
    config = moco.Config(temperature=float(o["T"]), projector=head, momentum=momentum, queue=32)
    it = config.build(tiny()).double()
    for part, start in (("", "q/"), ("key_", "k/")):
        load(getattr(it, f"{part}backbone"), o, start, TINY)
        load(getattr(it, f"{part}projector"), o, start, {"fc.": ""})
    it.queue.copy_(o["queue"].T)
    return it


MOCO = {k: v.replace("body", "backbone.body") for k, v in TINY.items()} | {"fc.": "projector."}


def test_unmix_and_mixmask_together_count_one_each_and_the_clean_pair_once():
    o = oracle("moco_v2_both")
    unmix = Given((o["im_unmix"], o["lam_unmix"], REVERSED, 1))
    mixmask = Given((o["im_mask"], o["lam_mask"], o["perm"].long(), 1))
    it = moco_of(o, float(o["m"]))
    assert run(it, [unmix, mixmask], (o["x2"], o["x1"])) == pytest.approx(
        float(o["loss"]), abs=1e-9
    )
    assert max(gradients(it, o, MOCO).values()) < 1e-9
    assert off(it.queue, o["queue_after"].T) < 1e-9


def test_the_erase_baseline_is_its_two_readings():
    o = oracle("moco_v2_erase_derived")
    kept, hidden = o["mask"] * o["x1"], (1 - o["mask"]) * o["x1"]
    pair = Given((kept, 1, None, o["lam"]), (hidden, 1, None, 1 - o["lam"]))
    single = Given((kept, 1, None, 1))
    for masker, name in ((pair, "A_complement"), (single, "B_single")):
        for combine in ("mean", "sum"):
            loss = run(moco_of(o, float(o["m"])), [masker], (o["x2"], o["x1"]), combine=combine)
            assert loss == pytest.approx(float(o[f"loss_{name}"]), abs=1e-9)


def test_three_steps_end_in_the_official_weights_copy_and_queue():
    o = oracle("moco_v2_mixmask_3steps")
    it = moco_of(o, float(o["m"]))
    groups = [p for group in it.groups() for p in group.params]
    rate, momentum, decay = (float(o[key]) for key in ("lr", "momentum", "wd"))
    optimizer = torch.optim.SGD(groups, lr=rate, momentum=momentum, weight_decay=decay)
    for step in range(3):
        (x1, x2), mask = o["x"][step], o["masks"][step]
        masker = Given((mask * x1 + (1 - mask) * x1.flip(0), mask.mean(), REVERSED, 1))
        optimizer.zero_grad()
        assert run(it, [masker], (x2, x1)) == pytest.approx(float(o["losses"][step]), abs=1e-9)
        optimizer.step()
    for start, part in (("q_end/", ""), ("k_end/", "key_")):
        for key, value in o.items():
            if key.startswith(start) and "num_batches" not in key:
                theirs = key.removeprefix(start)
                prefix = next(p for p in MOCO if theirs.startswith(p))
                ours = part + MOCO[prefix] + theirs.removeprefix(prefix)
                assert off(it.state_dict()[ours], value) < 1e-9, key
    assert off(it.queue, o["queue_end"].T) < 1e-9


@every_framework
def test_swapping_own_and_partner_with_the_mask_changes_nothing(name):
    o = oracle(f"{name}_mixmask")
    mask, lam, views = o["mask"], o["lam"], (o["x2"], o["x1"])
    perm = o["perm"].long()
    one = mask * o["x1"] + (1 - mask) * o["x1"][perm]
    other = (1 - mask) * o["x1"] + mask * o["x1"][perm.argsort()]
    first = run(BUILT[name](o), [Given((one, lam, perm, 1))], views)
    second = run(BUILT[name](o), [Given((other, 1 - lam, perm.argsort(), 1))], views)
    assert first == pytest.approx(second, abs=1e-12)


@every_framework
def test_an_empty_mask_gives_the_base_loss_twice(name):
    o = oracle(f"{name}_mixmask")
    perm = o["perm"].long()
    loss = run(BUILT[name](o), [Given((o["x1"], 1, perm, 1))], (o["x2"], o["x1"]))
    assert loss == pytest.approx(2 * float(o["loss_o"]), abs=1e-9)


def statistics_of(module):
    buffers = list(module.named_buffers())
    means = [buffer.clone() for name, buffer in buffers if name.endswith("running_mean")]
    return means, [int(b) for name, b in buffers if name.endswith("num_batches_tracked")]


@every_framework
@pytest.mark.parametrize("bn_stats", ["reference", "clean_only"])
def test_mixtures_leave_running_statistics_alone_if_they_are_told_to(name, bn_stats):
    o = oracle(f"{name}_mixmask")
    mixed, views = o["mixed"], (o["x2"], o["x1"])
    with_mix, without = BUILT[name](o), BUILT[name](o)
    loss = run(with_mix, [Given((mixed, o["lam"], REVERSED, 1))], views, bn_stats=bn_stats)
    run(without, [], views)
    assert loss == pytest.approx(float(o["loss"]), abs=1e-9)
    means, counts = statistics_of(with_mix)
    clean_means, clean_counts = statistics_of(without)
    if bn_stats == "clean_only":
        assert counts == clean_counts
        assert all(torch.equal(a, b) for a, b in zip(means, clean_means, strict=True))
    else:
        assert all(a > b for a, b in zip(counts[:2], clean_counts[:2], strict=True))


def test_statistics_that_no_clean_image_would_update_are_refused():
    o = oracle("moco_v2_both")
    masker = Given((o["im_mask"], o["lam_mask"], REVERSED, 1))
    masker.wants_clean = False
    with pytest.raises(ValueError, match="bn_stats=clean_only"):
        Siamese(moco_of(o, 0.9), [masker], bn_stats="clean_only")


def test_mixtures_are_not_compared_with_mixtures():
    config = simsiam.Config(terms=("masked_query", "masked_both"))
    with pytest.raises(ValueError, match="masked_both"):
        Siamese(config.build(tiny()), [Given()])


def test_one_masked_view_and_terms_that_mask_both_do_not_go_together():
    with pytest.raises(ValueError, match="masked_views=one"):
        simsiam.Config(terms=("masked_both",), masked_views="one")


@pytest.mark.parametrize("combine", ["mean", "sum"])
def test_two_copies_of_a_masker_count_as_one_or_as_two(combine):
    o = oracle("simclr_mixmask")
    copy = (o["mixed"], o["lam"], REVERSED, 1)
    loss = run(simclr_of(o), [Given(copy, copy)], (o["x2"], o["x1"]), combine=combine)
    mixture = float(o["loss"] - o["loss_o"])
    expected = float(o["loss_o"]) + mixture * (2 if combine == "sum" else 1)
    assert loss == pytest.approx(expected, abs=1e-9)
