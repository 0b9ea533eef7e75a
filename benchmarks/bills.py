"""Which passes a step makes, from first principles, for each way of alternating.

The rules are those of papers/adversarial_masking.md, sections 2, 4 and 14, and of
papers/mixmask.md, sections 5 and 8; nothing here looks at the code that is measured.
"""

from typing import NamedTuple

from masquerade.pretext.game import Step


class Bill(NamedTuple):
    """How often a step does what; a count may be a mean over steps.

    Attributes:
        learn: An encoder pass that is trained: forward, gradients of weights and of inputs, but
            not of the image.
        both: The same with the gradient of the image.
        attack: Forward, and gradients of inputs down to the image.
        still: Forward alone.
        probed: Forward alone and without the projector.
        heads: Passes through the projector alone: a forward, or either kind of gradient.
        predictor: Passes through the predictor: a forward, or either kind of gradient.
        masks: Forward of the mask network.
        taught: Backward of the mask network, which stops at the image.
        fed: Backward of the mask network down to its input, which contains earlier masks.
    """

    learn: float = 0
    both: float = 0
    attack: float = 0
    still: float = 0
    probed: float = 0
    heads: float = 0
    predictor: float = 0
    masks: float = 0
    taught: float = 0
    fed: float = 0

    def f(self) -> float:
        """Encoder passes as the table counts them: a backward pass is two."""
        return 3 * (self.learn + self.both) + 2 * self.attack + self.still + self.probed

    def u(self) -> float:
        """Passes of the mask network, counted likewise."""
        return self.masks + 2 * (self.taught + self.fed)

    def said(self) -> str:
        """`8 learn + 4 still`: the counts in words."""
        return " + ".join(f"{n:g} {name}" for name, n in self._asdict().items() if n)


def simclr(step: Step, n: int) -> Bill:
    """One clean branch and n masked ones; gradients through both sides."""
    if step == "official":  # each mask's loss encodes the clean branch anew, in both rounds
        return Bill(learn=2 * n, still=n, attack=n, probed=2, masks=2, taught=1)
    if step == "shared":
        return Bill(learn=1 + n, still=1, attack=n, masks=1, taught=1)
    return Bill(learn=1, both=n, masks=1, taught=1)


def simclr_single(step: Step) -> Bill:
    """One masked branch; the official code's encoder round goes on into the mask network."""
    if step == "official":  # its gradients are zeroed before they are used
        return simclr(step, 1)._replace(learn=1, both=1, taught=2)
    return simclr(step, 1)


def every(steps: int, n: int) -> Bill:
    """SimCLR, `shared`, the masker trained in every so many-th step: the mean over them."""
    plays = 1 / steps
    return Bill(learn=1 + n, still=plays, attack=n * plays, masks=1, taught=plays)


def byol(step: Step, n: int) -> Bill:
    """Both directions; keys by the copy, through which no gradient reaches the masks."""
    if step == "official":  # of each mask 2 queries and 2 keys, in both rounds; 2 + 2 for the probe
        alternating = simclr(step, n)
        return alternating._replace(still=n + 4 * n, probed=4, predictor=(6 + 1 + 2) * n)
    keys, predicted = 1 + n, 3 * (1 + n)
    if step == "shared":  # the copy has not moved between the rounds: its clean key is still good
        return simclr(step, n)._replace(still=keys, predictor=predicted + 2 * n)
    return simclr(step, n)._replace(still=keys, predictor=predicted)


def simsiam(step: Step, n: int) -> Bill:
    """Both views clean and masked, every term; the masker's round needs clean branches as keys."""
    if step == "official":
        return Bill(
            learn=4 * n,
            still=2 * n,
            attack=2 * n,
            probed=2,
            predictor=(12 + 2 + 4) * n,
            masks=4,
            taught=2,
        )
    predicted = 3 * (2 + 2 * n)
    if step == "shared":
        return Bill(
            learn=2 + 2 * n, still=2, attack=2 * n, predictor=predicted + 4 * n, masks=2, taught=2
        )
    return Bill(learn=2, both=2 * n, predictor=predicted, masks=2, taught=2)


def fed(step: Step, n: int) -> Bill:
    """SimCLR with a mask network that runs once per mask and sees the masks before it."""
    once = simclr(step, n)
    return once._replace(masks=n * once.masks, fed=(n - 1) * once.taught)
