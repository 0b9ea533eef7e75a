"""AutoAttack, the standard ensemble: APGD-CE, APGD-T, FAB-T and Square, from pyautoattack.

Croce & Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse
Parameter-free Attacks", 2020. https://arxiv.org/abs/2003.01690. The package is an extra:
pip install masquerade[robust].
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from masquerade.attacks.budget import Budget
from masquerade.core.errors import MasqueradeError
from masquerade.core.seed import Seed

TARGETS = 9  # classes that the targeted attacks aim at, where there are as many wrong ones
FEWEST = 4  # classes the targeted DLR loss needs


def attacked(
    network: Callable[[Float[Tensor, "B C H W"]], Float[Tensor, "B K"]],
    images: Float[Tensor, "N C H W"],
    labels: Int[Tensor, " N"],
    budget: Budget,
    seed: Seed,
    batch: int = 250,
) -> Float[Tensor, "N C H W"]:
    """What is left after four attacks: a misclassified image within the budget, or the image.

    An image that one attack succeeds on is spared the later ones.

    Args:
        network: Logits of images in [0, 1], a deterministic function.
        images: In [0, 1], where the network lies.
        labels: The right classes.
        budget: How far the attacks may go; above 0.
        seed: Of all draws.
        batch: Images at a time.

    Raises:
        MasqueradeError: The package is not installed.
        ValueError: There are fewer than 4 classes.
    """
    try:
        from pyautoattack import AutoAttack
    except ImportError:
        raise MasqueradeError(
            "AutoAttack needs the package pyautoattack: pip install masquerade[robust], or leave "
            "autoattack=false"
        ) from None
    with torch.no_grad():
        classes = network(images[:1]).shape[1]
    if classes < FEWEST:
        raise ValueError(
            f"AutoAttack's targeted attacks need at least {FEWEST} classes, got {classes}; "
            "leave autoattack=false and use PGD with measure=margin"
        )
    ensemble = AutoAttack(
        Called(network),
        device=images.device,
        eps=budget.checked().epsilon,
        norm="Linf" if budget.norm == "linf" else "L2",
        seed=seed.integer() % 2**31,
    )
    # As published where there are 10 classes or more; with fewer it would ask for a tenth.
    ensemble.apgd_targeted.n_target_classes = min(TARGETS, classes - 1)
    ensemble.fab.n_target_classes = min(TARGETS, classes - 1)
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        found, _ = ensemble.run_standard_evaluation(images, labels, batch_size=batch)
    result: Tensor = found
    return result


class Called(nn.Module):
    """A function as the module that the package expects."""

    def __init__(self, network: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """The logits."""
        return self.network(images)
