"""Has the encoder collapsed? Four numbers from a batch of embeddings, and a verdict in words.

- std: deviation of each coordinate of the normalised embeddings, times sqrt(D). 1 where embeddings
  fill the sphere, 0 where all are equal. Chen & He, "Exploring Simple Siamese Representation
  Learning", 2021, Figure 2. https://arxiv.org/abs/2011.10566
- RankMe: the number of directions in use, 1 to min(B, D). Garrido et al., "RankMe", 2023,
  eq. 1. https://arxiv.org/abs/2210.02885
- alignment and uniformity: how far apart two views of an image lie (0 is best), and how evenly
  images cover the sphere (0 where all are equal, about -4 at best). Wang & Isola, 2020.
  https://arxiv.org/abs/2005.10242
"""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

State = Literal["healthy", "collapsed", "few directions", "no invariance", "broken", "too few"]

FEWEST = 16  # images; below it the numbers say more about the batch than about the encoder
COLLAPSED = 0.1  # std**2 is about 1 - cosine of two images: two images agree to 0.99 on average
# Share of min(B, D) that RankMe must reach. Contrastive projectors of 128 outputs end between a
# tenth and a half of it; the low-rank solutions of Jing et al. (arXiv 2110.09348) far below.
FEW = 0.05
# Squared distance of two views over that of two images. At 1 the views are strangers.
STRANGERS = 0.95


class Numbers(NamedTuple):
    """What a batch of embeddings says about its encoder.

    Attributes:
        std: Spread of the embeddings: 1 is healthy, 0 collapsed.
        rankme: Directions in use.
        directions: The most there can be, min(B, D).
        alignment: Mean squared distance of two views of an image, 0 to 4; 0 for a single view.
        strangers: Mean squared distance of two different images, 0 to 4.
        uniformity: 0 collapsed, about -4 spread evenly.
        images: How many images these numbers come from.
    """

    std: float
    rankme: float
    directions: float
    alignment: float
    strangers: float
    uniformity: float
    images: float


class Verdict(NamedTuple):
    """What the numbers mean.

    Attributes:
        state: One or two words.
        text: A sentence for the user: what is wrong, the numbers, what to try.
    """

    state: State
    text: str

    @property
    def healthy(self) -> bool:
        """Whether nothing is known to be wrong."""
        return self.state in ("healthy", "too few")


def health(a: Float[Tensor, "B D"], b: Float[Tensor, "B D"] | None = None) -> Numbers:
    """The numbers of a batch; nan where embeddings are not finite.

    Args:
        a: Embeddings of different images, of any length and precision; normalised here.
        b: Embeddings of other views of the same images, row by row.

    Raises:
        ValueError: Fewer than two images.
    """
    if len(a) < 2:
        raise ValueError(f"the health of embeddings shows in 2 or more of them, got {len(a)}")
    directions, images = float(min(a.shape)), float(len(a))
    if not (a.isfinite().all() and (b is None or b.isfinite().all())):
        nan = math.nan
        return Numbers(nan, nan, directions, nan, nan, nan, images)
    a = normalize(a.detach().float(), dim=1)
    return Numbers(
        std=float(std(a)),
        rankme=float(rankme(a)),
        directions=directions,
        alignment=0.0 if b is None else float(alignment(a, normalize(b.detach().float(), dim=1))),
        strangers=float(2 * a.var(dim=0, correction=1).sum()),
        uniformity=float(uniformity(a)),
        images=images,
    )


def verdict(numbers: Numbers) -> Verdict:
    """The numbers in words. The worst trouble is named; thresholds are at the top of this file."""
    std, rank, directions = numbers.std, numbers.rankme, numbers.directions
    if not (math.isfinite(std) and math.isfinite(rank) and math.isfinite(numbers.alignment)):
        return Verdict("broken", "broken: embeddings contain nan or infinite numbers")
    shown = f"std {std:.2g} where 1 is healthy, RankMe {rank:.3g} of {directions:.0f}"
    if numbers.images < FEWEST:
        few = f"{numbers.images:.0f} where {FEWEST} are needed"
        return Verdict("too few", f"too few images to tell, {few} ({shown})")
    if std < COLLAPSED:
        return Verdict(
            "collapsed",
            f"collapsed: every image gets nearly the same embedding ({shown}). A lower learning "
            "rate, a larger batch or weaker masks usually help",
        )
    if rank < max(2.0, FEW * directions):
        return Verdict(
            "few directions",
            f"dimensional collapse: embeddings differ along a few directions only ({shown}). "
            "Stronger augmentation, a larger batch or a higher temperature usually helps",
        )
    if numbers.alignment > STRANGERS * numbers.strangers:
        return Verdict(
            "no invariance",
            f"no invariance: two views of one image lie as far apart (squared distance "
            f"{numbers.alignment:.2g}) as two different images ({numbers.strangers:.2g}). Early "
            "in training this is normal; later, augmentation and masks leave the views too little "
            "in common, or the learning rate is wrong",
        )
    return Verdict(
        "healthy",
        f"healthy: different images get different embeddings ({shown}, "
        f"uniformity {numbers.uniformity:.2g})",
    )


def std(z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """Mean over coordinates of their deviation over rows, times sqrt(D); rows are unit vectors."""
    return z.std(dim=0, correction=0).mean() * math.sqrt(z.shape[1])


def rankme(z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """The exponential of the entropy of the singular values, which are divided by their sum.

    Rows are not centred, as published. 1 for one direction, min(B, D) for equally used ones.
    """
    # Singular values from the smaller Gram matrix, in float64: the SVD is ten times as slow.
    z = z.double()
    gram = z @ z.T if z.shape[0] < z.shape[1] else z.T @ z
    values = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    share = values / values.sum().clamp(min=1e-12) + 1e-7  # 1e-7: as published
    return torch.exp(-(share * share.log()).sum())


def alignment(a: Float[Tensor, "B D"], b: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """Mean squared distance of paired unit vectors; 0 where all pairs agree."""
    return (a - b).square().sum(dim=1).mean()


def uniformity(z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """Log of the mean over pairs of different rows of exp(-2 * squared distance); unit vectors."""
    return torch.log(torch.exp(-2 * torch.pdist(z).square()).mean())
