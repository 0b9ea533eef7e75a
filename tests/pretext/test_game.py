"""When the masker plays, how strong its wish is, and which plans are refused."""

import pytest
import torch
from tests.pretext.paths import BLOCKED, PATHS, gradient
from tests.pretext.test_siamese import ENCODER, batch, gradients

from masquerade.core.seed import Seed
from masquerade.engine.task import Carry, Progress
from masquerade.maskers import adios, erase
from masquerade.networks.heads import PredictorConfig, ProjectorConfig
from masquerade.objectives import byol, moco, simclr, simsiam
from masquerade.pretext.game import Game
from masquerade.pretext.siamese import Siamese

NOW = Progress(1, 100, 5)
HEAD = ProjectorConfig(hidden=16, out=8)
MASKS = adios.Config(masks=2, width=8, norm="gn")
OBJECTIVES = {
    "simclr": simclr.Config(projector=HEAD),
    "moco": moco.Config(projector=HEAD, queue=12),
    "byol": byol.Config(
        projector=HEAD.replace(norm="hidden", bias=True), predictor=PredictorConfig(hidden=16)
    ),
    "simsiam": simsiam.Config(
        projector=HEAD.replace(layers=3, norm="batch", last="plain"),
        predictor=PredictorConfig(hidden=16, bias=False),
        terms=("masked_query", "masked_key", "clean", "masked_both"),
    ),
}


def task(objective="simclr", masker=MASKS, step="reversal", **game):
    torch.manual_seed(0)
    built = OBJECTIVES[objective].build(ENCODER.build(32, 3, (0.5,) * 3, (0.2,) * 3))
    return Siamese(built, [masker.build(32, 3)], step, game=Game(**game)).double()


def masker_gradient(it, step=1):
    """What the masker's round, or the common one, leaves at the mask network's last layer."""
    now, carry = Progress(step, 100, 5), Carry()
    it(batch(), it.rounds(now)[0], Seed(0), now, carry).loss.backward()
    return it.masker_list()[0].head.weight.grad


def test_the_masker_plays_every_third_step_and_not_on_the_off_ramp():
    it = task(every=3, off_ramp=0.2)
    playing = [s for s in range(30) if "masker" in it.rounds(Progress(s, 30, 5))[-1]]
    assert playing == [0, 3, 6, 9, 12, 15, 18, 21]
    assert it.rounds(Progress(1, 30, 5)) == (("encoder",),)


@pytest.mark.parametrize("step", ["official", "shared", "reversal"])
def test_masks_of_a_step_without_the_masker_take_no_gradient(step):
    it, now = task(step=step, every=2), Progress(1, 30, 5)
    terms = it(batch(), ("encoder",), Seed(0), now, Carry())
    terms.loss.backward()
    assert all(p.grad is None for p in it.maskers.parameters())
    assert not any(name.startswith("masker/") for name in terms.logs)


@pytest.mark.parametrize(
    ("objective", "masker", "wasted"),
    [
        ("simclr", MASKS.replace(shown=1), True),
        ("simclr", MASKS, False),
        ("byol", MASKS.replace(shown=1), False),
    ],
)
def test_the_published_single_mask_of_simclr_wastes_a_backward_pass(objective, masker, wasted):
    it, carry, now = task(objective, masker, "official"), Carry(), Progress(1, 30, 5)
    first, second = it.rounds(now)
    assert second == ("masker",)
    it.maskers.requires_grad_(False)  # as the loop does before the encoder's round
    passes: list[str] = []
    head = it.masker_list()[0].head
    head.register_full_backward_hook(lambda *_: passes.append("backward"))
    it(batch(), first, Seed(0), now, carry).loss.backward()
    assert len(passes) == wasted
    assert all(p.grad is None for p in it.maskers.parameters())


def test_a_normalised_wish_is_the_gradient_divided_by_the_gain():
    plain, scaled = (
        task(masker=MASKS.replace(sparsity=0)),
        task(masker=MASKS.replace(sparsity=0), normalise_gain=True),
    )
    scaled.gain.fill_(0.25)
    torch.testing.assert_close(masker_gradient(scaled), 4 * masker_gradient(plain))


@pytest.mark.parametrize("step", ["official", "shared", "reversal"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_gain_is_what_masks_cost_beside_the_clean_pair(objective, step):
    it, now = task(objective, step=step), Progress(10, 100, 5)
    kept = {n: b.clone() for n, b in it.objective.named_buffers() if "running" in n}
    logs = it(batch(), ("encoder",), Seed(0), now, Carry()).logs
    clean = Siamese(it.objective, []).double()
    for name, buffer in it.objective.named_buffers():
        if name in kept:
            buffer.copy_(kept[name])
    expected = clean(batch(), ("encoder",), Seed(0), now, Carry()).loss.detach()
    for k in range(2):
        cost = logs[f"masker/loss/{k}"] - logs[f"masker/gain/{k}"]
        torch.testing.assert_close(cost, expected)
    costs = torch.stack([logs[f"masker/gain/{k}"] for k in range(2)]).abs().mean()
    torch.testing.assert_close(it.gain, costs.to(it.gain))
    assert int(it.gains) == 1


def gradients_of_both(objective, step):
    """What each player gets in a step in which no weight moves."""
    it, carry, both = task(objective, step=step), Carry(), dict[str, torch.Tensor]()
    now = Progress(1, 100, 5)
    for together in it.rounds(now):
        it.zero_grad()
        it.objective.requires_grad_("encoder" in together)
        it.maskers.requires_grad_("masker" in together)
        it(batch(), together, Seed(0), now, carry).loss.backward()
        both |= {n: g for n, g in gradients(it).items() if g.abs().sum() > 0}
    return both


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_all_three_ways_of_a_step_give_equal_gradients_to_both_at_equal_weights(objective):
    expected = gradients_of_both(objective, "shared")
    assert any(n.startswith("maskers.") for n in expected)
    for step in ("official", "reversal"):
        found = gradients_of_both(objective, step)
        assert found.keys() == expected.keys()
        for name, grad in found.items():
            torch.testing.assert_close(grad, expected[name])


REFUSED = [
    byol.Config(masked="key"),
    moco.Config(masked="key"),
    simsiam.Config(terms=("masked_key",)),
]


@pytest.mark.parametrize("config", REFUSED)
def test_a_plan_that_gives_the_masker_no_gradient_is_refused(config):
    objective = config.build(ENCODER.build(32, 3, (0.5,) * 3, (0.2,) * 3))
    with pytest.raises(ValueError, match="a learned masker gets no gradient"):
        Siamese(objective, [MASKS.build(32, 3)])
    Siamese(objective, [erase.Config().build(32, 3)])  # chance needs none


@pytest.mark.parametrize("name", PATHS)
def test_masks_get_a_gradient_exactly_where_a_masked_copy_is_a_query(name):
    assert (gradient(PATHS[name]) == 0) == (name in BLOCKED)


def test_a_queue_that_does_not_fit_the_batch_names_one_that_does():
    with pytest.raises(ValueError, match=r"queue=1000 .* multiple of batch=64; .*queue=1024"):
        moco.Config(queue=1000).check(64, 1)
    with pytest.raises(
        ValueError, match=r"batch=64 on 1 devices cannot be split into objective.groups=7"
    ):
        moco.Config(queue=640, groups=7).check(64, 1)


def test_terms_without_a_masked_branch_are_refused_for_any_masker():
    objective = simsiam.Config(terms=("clean",)).build(ENCODER.build(32, 3, (0.5,) * 3, (0.2,) * 3))
    with pytest.raises(ValueError, match="masks nothing"):
        Siamese(objective, [erase.Config().build(32, 3)])


def test_a_probe_without_clean_branches_gets_a_clean_view():
    config = OBJECTIVES["simsiam"].replace(terms=("masked_both",))
    objective = config.build(ENCODER.build(32, 3, (0.5,) * 3, (0.2,) * 3))
    it = Siamese(objective, [MASKS.build(32, 3)], classes=2).double()
    labels = torch.tensor([0, 1, 0, 1, -1, 1])
    logs = it(batch(labels), ("encoder", "probe", "masker"), Seed(0), NOW, Carry()).logs
    assert logs["probe/loss"].isfinite()


def test_a_normalised_gain_without_an_adversary_changes_nothing():
    objective = OBJECTIVES["simclr"].build(ENCODER.build(32, 3, (0.5,) * 3, (0.2,) * 3))
    it = Siamese(objective, [], game=Game(normalise_gain=True)).double()
    assert it(batch(), ("encoder",), Seed(0), NOW, Carry()).loss.isfinite()


def test_gains_count_learned_copies_alone_and_as_if_plans_weighed_the_same():
    config = OBJECTIVES["byol"].replace(masked="query")
    objective = config.build(ENCODER.build(32, 3, (0.5,) * 3, (0.2,) * 3))
    it = Siamese(objective, [erase.Config(masks=3).build(32, 3), MASKS.build(32, 3)]).double()
    logs = it(batch(), ("encoder", "masker"), Seed(0), Progress(10, 100, 5), Carry()).logs
    assert {n for n in logs if "/gain/" in n} == {"masker/gain/0", "masker/gain/1"}
    whole = Siamese(objective, []).double()
    with torch.no_grad():
        clean = whole(batch(), ("encoder",), Seed(0), NOW, Carry()).loss / 2
    torch.testing.assert_close(logs["masker/loss/0"] - logs["masker/gain/0"], clean)
