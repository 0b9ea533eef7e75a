"""How much a weight is worth keeping; those with the highest scores are.

Magnitude and signal-to-noise: Lange and Sprekeler, 2023, https://arxiv.org/abs/2306.00045.
Movement: Sanh et al., 2020, as the distance travelled. SNIP: Lee et al., 2019,
https://arxiv.org/abs/1810.02340. GraSP: Wang et al., 2020, https://arxiv.org/abs/2002.07376.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.tickets.base import Evidence, Score
from masquerade.tickets.descend import differentiable
from masquerade.tickets.layout import Layout

Named = Literal[
    "magnitude", "snr", "random", "permuted", "permuted_rows", "movement", "snip", "grasp"
]
NO_SPREAD = (
    "score=snr needs a standard deviation for each weight, which open_es and descend do not have: "
    "use score=magnitude, or another strategy"
)


def magnitude(evidence: Evidence) -> Float[Tensor, " P"]:
    """|w| after training."""
    return evidence.trained.weights.abs()


def snr(evidence: Evidence) -> Float[Tensor, " P"]:
    """|mean| / standard deviation of the search; 0 where a weight is pruned.

    Raises:
        ValueError: The training leaves no deviation for each weight.
    """
    spread = evidence.trained.spread
    if spread is None:
        raise ValueError(NO_SPREAD)
    return evidence.trained.weights.abs() / spread


def random(evidence: Evidence) -> Float[Tensor, " P"]:
    """Uniform numbers: a mask that owes nothing to training, and is nested in none before."""
    drawn = torch.rand(len(evidence.start), generator=evidence.seed.fold("random").generator())
    return drawn.to(evidence.start)


def permuted(evidence: Evidence) -> Float[Tensor, " P"]:
    """Magnitudes shuffled inside each leaf: a mask with the same count in every layer."""
    return shuffled(magnitude(evidence), evidence.problem.layout, evidence.seed, "all")


def permuted_rows(evidence: Evidence) -> Float[Tensor, " P"]:
    """Magnitudes with the rows of each leaf shuffled, as published: columns keep their sums."""
    return shuffled(magnitude(evidence), evidence.problem.layout, evidence.seed, "rows")


def movement(evidence: Evidence) -> Float[Tensor, " P"]:
    """How far a weight travelled; 0 where it is pruned."""
    return (evidence.trained.weights - evidence.start).abs() * evidence.kept


def snip(evidence: Evidence) -> Float[Tensor, " P"]:
    """|w * gradient| of the dense start on all training examples; training plays no part."""
    weights = evidence.start.clone().requires_grad_()
    loss = differentiable(evidence.problem).loss(weights, None)
    (gradient,) = torch.autograd.grad(loss, weights)
    return (evidence.start * gradient).abs()


def grasp(evidence: Evidence) -> Float[Tensor, " P"]:
    """Start * (H g): without the weight the length of the dense gradient would shrink most.

    The paper's score is the negative of this, and prunes where it is highest. The Hessian meets
    the gradient in a product only.

    Note:
        The official code of the tickets cannot run this score as committed, and would keep the
        wrong side.
    """
    weights = evidence.start.clone().requires_grad_()
    loss = differentiable(evidence.problem).loss(weights, None)
    (gradient,) = torch.autograd.grad(loss, weights, create_graph=True)
    (product,) = torch.autograd.grad((gradient * gradient.detach()).sum(), weights)
    return evidence.start * product


def shuffled(
    values: Float[Tensor, " P"], layout: Layout, seed: Seed, what: Literal["all", "rows"]
) -> Float[Tensor, " P"]:
    """The values of each leaf in another order: all of them, or whole rows of its first axis."""
    found = {}
    for name, leaf in layout.tree(values).items():
        rows = leaf.reshape(-1) if what == "all" else leaf
        order = torch.randperm(len(rows), generator=seed.fold("permuted", name).generator())
        found[name] = rows[order.to(rows.device)].reshape(leaf.shape)
    return layout.flat(found)


SCORES: dict[Named, Score] = {
    "magnitude": magnitude,
    "snr": snr,
    "random": random,
    "permuted": permuted,
    "permuted_rows": permuted_rows,
    "movement": movement,
    "snip": snip,
    "grasp": grasp,
}
