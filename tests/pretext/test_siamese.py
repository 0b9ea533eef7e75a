import copy

import pytest
import torch

from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.engine.task import Carry, Progress
from masquerade.maskers import adios, erase, sequential
from masquerade.networks import backbone
from masquerade.networks.heads import ProjectorConfig
from masquerade.objectives import simclr
from masquerade.objectives.simclr import ntxent
from masquerade.pretext.siamese import Siamese

NOW = Progress(0, 10, 5)
ENCODER = backbone.Config(options={"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]})
MASKS = sequential.Config(masks=3, width=8, norm="gn", budget_weight=10)


def task(*maskers, step="reversal", combine="mean", classes=0):
    torch.manual_seed(0)
    objective = simclr.Config(projector=ProjectorConfig(hidden=16, out=8)).build(
        ENCODER.build(32, 3, (0.5,) * 3, (0.2,) * 3)
    )
    built = [m.build(32, 3) for m in maskers]
    return Siamese(objective, built, step, combine, classes).double()


def batch(labels=None):
    g = Seed(5).generator()
    views = torch.randn(2, 6, 3, 32, 32, generator=g, dtype=torch.float64)
    return Views((views[0], views[1]), labels)


def gradients(module):
    return {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}


def by_hand(it, combine="mean"):
    """Loss and masker's loss as in the paper: every branch encoded anew, one line each."""
    x1, x2 = batch().views
    masks = it.masker_list()[0].propose(x2, Seed(0))
    losses = []
    for k in range(masks.shape[1]):
        z1 = it.objective.projector(it.objective.backbone(x1))
        z2 = it.objective.projector(it.objective.backbone(x2 * (1 - masks[:, k : k + 1])))
        losses.append(ntxent(z1, z2, torch.arange(6)[:, None], 0.2).mean())
    total = torch.stack(losses).sum() if combine == "sum" else torch.stack(losses).mean()
    price = it.masker_list()[0].price([masks], [x2], NOW) * (3 if combine == "sum" else 1)
    return total, price - total


@pytest.mark.parametrize("combine", ["mean", "sum"])
def test_shared_gives_each_player_the_gradients_of_its_own_loss(combine):
    it = task(MASKS, step="shared", combine=combine)
    reference = copy.deepcopy(it)
    encoder_loss, masker_loss = by_hand(reference, combine)
    encoder = torch.autograd.grad(encoder_loss, reference.objective.parameters(), retain_graph=True)
    masker = torch.autograd.grad(masker_loss, reference.maskers.parameters(), allow_unused=True)

    carry = Carry()
    assert it.rounds(NOW) == (("encoder",), ("masker",))
    it.maskers.requires_grad_(False)
    first = it(batch(), ("encoder",), Seed(0), NOW, carry)
    first.loss.backward()
    torch.testing.assert_close(first.loss.detach(), encoder_loss.detach())
    for p, expected in zip(it.objective.parameters(), encoder, strict=True):
        torch.testing.assert_close(p.grad, expected)
    assert all(p.grad is None for p in it.maskers.parameters())

    it.maskers.requires_grad_(True)
    it.objective.requires_grad_(False)
    it.zero_grad()
    second = it(batch(), ("masker",), Seed(0), NOW, carry)
    second.loss.backward()
    torch.testing.assert_close(second.loss.detach(), masker_loss.detach())
    for p, expected in zip(it.maskers.parameters(), masker, strict=True):
        if expected is not None:
            torch.testing.assert_close(p.grad, expected)
    assert all(p.grad is None for p in it.objective.parameters())


def test_reversal_gives_both_gradients_of_shared_at_equal_weights_in_one_backward():
    one, two = task(MASKS, step="reversal"), task(MASKS, step="shared")
    assert one.rounds(NOW) == (("encoder", "masker"),)
    one(batch(), ("encoder", "masker"), Seed(0), NOW, Carry()).loss.backward()
    both = gradients(one)

    carry = Carry()
    two.maskers.requires_grad_(False)
    two(batch(), ("encoder",), Seed(0), NOW, carry).loss.backward()
    encoder = gradients(two)
    two.maskers.requires_grad_(True)
    two.objective.requires_grad_(False)
    two.zero_grad()
    two(batch(), ("masker",), Seed(0), NOW, carry).loss.backward()
    for name, grad in {**encoder, **gradients(two)}.items():
        torch.testing.assert_close(both[name], grad)


def test_the_masker_ascends_what_the_encoder_descends():
    it = task(MASKS.replace(budget_weight=0, overlap=0, consistency=0))
    before, _ = by_hand(it)
    it(batch(), ("encoder", "masker"), Seed(0), NOW, Carry()).loss.backward()
    with torch.no_grad():
        for p in it.maskers.parameters():
            p -= 1e-2 * (p.grad if p.grad is not None else 0)
    after, _ = by_hand(it)
    assert after > before


def test_the_maskers_round_leaves_batch_norm_statistics_alone():
    it = task(MASKS, step="shared")
    carry = Carry()
    it(batch(), ("encoder",), Seed(0), NOW, carry)
    kept = {n: b.clone() for n, b in it.named_buffers()}
    it(batch(), ("masker",), Seed(0), NOW, carry)
    for name, buffer in it.named_buffers():
        assert torch.equal(buffer, kept[name]), name


def test_without_maskers_it_is_simclr():
    it = task()
    loss = it(batch(), ("encoder",), Seed(0), NOW, Carry()).loss
    x1, x2 = batch().views
    z1, z2 = (it.objective.projector(it.objective.backbone(x)) for x in (x1, x2))
    torch.testing.assert_close(loss, ntxent(z1, z2, torch.arange(6)[:, None], 0.2).mean())


def test_a_masker_that_wants_the_clean_pair_gets_it_once():
    masked = task(erase.Config(masks=2))(batch(), ("encoder",), Seed(0), NOW, Carry()).loss
    plain = task()(batch(), ("encoder",), Seed(0), NOW, Carry()).loss
    both = task(erase.Config(masks=2, clean=True))(batch(), ("encoder",), Seed(0), NOW, Carry())
    torch.testing.assert_close(both.loss, masked + plain)


def test_the_online_probe_reads_labels_without_a_gradient_to_the_encoder():
    labels = torch.tensor([0, 1, -1, 0, 1, 2])
    alone, watched = task(), task(classes=3)
    alone(batch(), ("encoder",), Seed(0), NOW, Carry()).loss.backward()
    terms = watched(batch(labels), ("encoder", "probe"), Seed(0), NOW, Carry())
    terms.loss.backward()
    assert {"probe/loss", "probe/top1"} <= set(terms.logs)
    for name, grad in gradients(alone.objective).items():
        torch.testing.assert_close(watched.objective.get_parameter(name).grad, grad)
    assert watched.probe.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("combine", ["mean", "sum"])
@pytest.mark.parametrize(
    ("masker", "names"),
    [
        (MASKS, {"budget", "overlap", "consistency"}),
        (adios.Config(masks=3, width=8, norm="gn", entropy=0.7), {"sparsity", "entropy"}),
        (adios.Config(width=8, norm="gn", budget="held"), {"sparsity", "budget"}),
    ],
    ids=["sequential", "entropy", "held"],
)
def test_the_parts_of_the_price_are_logged_and_add_up(masker, names, combine):
    it = task(masker, combine=combine)
    logs = it(batch(), ("encoder", "masker"), Seed(0), NOW, Carry()).logs
    parts = {n.rpartition("/")[2]: v for n, v in logs.items() if n.startswith("masker/price/")}
    assert parts.keys() == names
    torch.testing.assert_close(torch.stack(list(parts.values())).sum(), logs["masker/price"])


def test_masks_are_looked_at_closely_in_notable_steps_alone():
    it = task(MASKS)
    seen = [
        "masker/pieces/0"
        in it(batch(), ("encoder", "masker"), Seed(0), Progress(s, 1000, 5), Carry()).logs
        for s in (9, 10, 11, 100, 110)
    ]
    assert seen == [False, True, False, True, False]
