"""What has to hold without training, whatever the weights are, and how far off it is.

papers/mixmask.md, sections 1 and 5: an encoder commutes with the order of its batch; a mask and
its complement are the same mixtures, named from the other end; a mask that hides nothing gives the
framework's own loss; one encoding of a mixture, compared twice, gives the loss and the gradient of
two.
"""

import copy

import torch
from benchmarks.black_box import BlackBox
from benchmarks.filled_table import VARIANTS, Variant
from tests.exact.steps import Made, run
from tests.pretext.frameworks import NOW, tiny

from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.engine.task import Carry
from masquerade.maskers import blocks, mixmask
from masquerade.maskers.base import Masker
from masquerade.maskers.partners import Order
from masquerade.pretext.siamese import Siamese

DRAWS = 20_000  # as many as papers/mixmask.md, section 2.1, counted


def narrow(config):
    """An objective with heads of a few numbers, and a queue of a few keys."""
    told = config.tree()
    told["projector"] |= {"hidden": 24, "out": 12}
    if "predictor" in told:
        told["predictor"] |= {"hidden": 8}
    if "queue" in told:
        told["queue"] = 32
    return type(config).parse(told)


BASES = {v.name: narrow(v.objective) for v in VARIANTS if not v.branches}
BOXED = [v._replace(objective=narrow(v.objective)) for v in VARIANTS if v.black_box]
TWICE = [n for n in BASES if n != "MoCo, symmetric"]  # there a mixture meets both keys


def views_of(batch=8):
    return tuple(torch.randn(2, batch, 3, 16, 16, generator=Seed(3).generator()).double())


def built(config, root=0):
    torch.manual_seed(root)
    return config.build(tiny()).double()


def gradients(objective):
    return {n: p.grad.clone() for n, p in objective.named_parameters() if p.grad is not None}


def worst(ours, theirs):
    """The largest difference of two sets of gradients, beside the largest number of theirs."""
    assert ours.keys() == theirs.keys() and ours
    top = max(float(g.abs().max()) for g in theirs.values())
    return max(float((ours[n] - g).abs().max()) for n, g in theirs.items()) / top


def order_of_the_batch(name: str) -> float:
    """What a query says in a batch turned round or shuffled, beside what it said before."""
    images, it = views_of()[1], built(BASES[name])

    def said(x):
        return it.predict(it.query(it.query_features(x))).detach()

    plain = said(images)
    orders = torch.arange(7, -1, -1), torch.randperm(8, generator=Seed(1).generator())
    return max(float((said(images[o]) - plain[o]).abs().max()) for o in orders)


def complement(name: str, order: Order) -> tuple[float, float]:
    """Loss and gradient of a mask, beside those of its complement with partners the other way."""
    first, second = views_of()
    masker = mixmask.Config(pattern="discrete", ratio=0.3, partners=order).build(16, 3)
    hidden = masker.propose(second, Seed(2))
    (one,) = masker.occlude(second, hidden, Seed(2))
    assert one.partner is not None and 0.05 < float(one.share[0]) < 0.95
    back = one.partner.argsort()
    turned = one._replace(
        images=second * hidden + second[back] * (1 - hidden),
        hidden=1 - hidden,
        partner=back,
        share=1 - one.share,
    )
    losses, grads = [], []
    for made in (one, turned):
        it = built(BASES[name])
        losses.append(run(it, (first, second), Made(made)))
        grads.append(gradients(it))
    return abs(losses[0] - losses[1]), worst(*grads)


def empty(name: str) -> float:
    """The loss with a mask that hides nothing, beside twice the framework's own loss."""
    views = views_of()
    masker = mixmask.Config(ratio=0.0).build(16, 3)
    plain = float(stepped(Siamese(built(BASES[name]), []), views))
    return abs(float(stepped(Siamese(built(BASES[name]), [masker]), views)) - 2 * plain)


class Steady(Masker):
    """A masker that makes the same copies whatever seed it is given."""

    def __init__(self, masker, seed):
        super().__init__()
        self.masker, self.seed = masker, seed
        self.wants_clean, self.fills = masker.wants_clean, masker.fills

    def propose(self, images, seed):
        return self.masker.propose(images, self.seed)

    def occlude(self, images, hidden, seed):
        return self.masker.occlude(images, hidden, self.seed)


def stepped(task, views):
    """The loss of a step, which ends in gradients and, of MoCo, a longer queue."""
    task = task.double()
    task.before_step(NOW)
    loss = task(Views(views, None), ("encoder",), Seed(0), NOW, Carry()).loss
    loss.backward()
    task.after_step(NOW)
    return loss.detach()


def black_box(variant: Variant, root: int = 0) -> tuple[float, float, bool]:
    """Loss, gradients and, of MoCo, the queue, beside the framework asked anew for each term."""
    ours = built(variant.objective, root)
    theirs = copy.deepcopy(ours)
    maskers: list[Masker] = [
        Steady(m.build(16, 3), Seed(root).fold("masker", k)) for k, m in enumerate(variant.maskers)
    ]
    views = views_of()
    loss = stepped(Siamese(ours, maskers), views)
    apart = abs(float(loss - stepped(BlackBox(theirs, maskers), views)))
    queues = [b for n, b in ours.named_buffers() if n == "queue"]
    same = all(torch.equal(q, theirs.get_buffer("queue")) for q in queues)
    return apart, worst(gradients(ours), gradients(theirs)), same


def kept_by_blocks() -> tuple[float, float]:
    """How often the centre cell and a corner of an 8 x 8 grid keep the main image."""
    targets = torch.full((DRAWS,), 32)
    kept = blocks.many(targets, 8, 4, Seed(0).fold("blocks").generator()).double().mean(0)
    return float(kept[4, 4]), float(kept[[0, 0, 7, 7], [0, 7, 0, 7]].mean())
