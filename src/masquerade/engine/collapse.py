"""Has the encoder collapsed? Four numbers from a batch of embeddings, and a verdict in words.

- spread: std of each coordinate of the normalised embeddings, times sqrt(D). 1 where embeddings
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
COLLAPSED = 0.1  # spread**2 is about 1 - cosine of two images: two images above 0.99 on average
# Share of min(B, D) that RankMe must reach. Contrastive projectors with 128 outputs sit between a
# tenth and a half; the rank-one-like solutions of Jing et al. (arXiv 2110.09348) far below a
# twentieth.
FEW = 0.05
# Squared distance of two views over that of two images. 1: the views of an image are as far
# apart as strangers.
STRANGERS = 0.95


class Health(NamedTuple):
    """What a batch of embeddings says about its encoder.

    Attributes:
        spread: 1 is healthy, 0 collapsed.
        rankme: Directions in use.
        most: The most there can be: min(B, D).
        alignment: Mean squared distance of two views of an image, 0 to 4; nan for one view.
        uniformity: 0 collapsed, about -4 spread evenly.
        state: One or two words; "healthy" where nothing is wrong.
        verdict: One sentence for the user.
    """

    spread: float
    rankme: float
    most: int
    alignment: float
    uniformity: float
    state: State
    verdict: str

    @property
    def logs(self) -> dict[str, float]:
        """The numbers by the names they have in metrics.jsonl."""
        numbers = {"spread": self.spread, "rankme": self.rankme, "uniformity": self.uniformity}
        return numbers if math.isnan(self.alignment) else {**numbers, "alignment": self.alignment}


def health(a: Float[Tensor, "B D"], b: Float[Tensor, "B D"] | None = None) -> Health:
    """The numbers and the verdict for a batch.

    Args:
        a: Embeddings of different images, of any length and precision; normalised here.
        b: Embeddings of other views of the same images, row by row.

    Raises:
        ValueError: Fewer than two images.
    """
    if len(a) < 2:
        raise ValueError(f"a verdict needs at least 2 embeddings, got {len(a)}")
    most = min(a.shape)
    both = a if b is None else torch.cat([a, b])
    if not both.isfinite().all():
        nan = math.nan
        text = "broken: embeddings contain nan or infinite numbers"
        return Health(nan, nan, most, nan, nan, "broken", text)
    a = normalize(a.detach().float(), dim=1)
    numbers = (
        float(spread(a)),
        float(rankme(a)),
        most,
        math.nan if b is None else float(alignment(a, normalize(b.detach().float(), dim=1))),
        float(uniformity(a)),
    )
    return Health(*numbers, *judged(len(a), *numbers, strangers=float(2 * spread_total(a))))


def judged(
    images: int,
    spread: float,
    rankme: float,
    most: int,
    alignment: float,
    uniformity: float,
    *,
    strangers: float,
) -> tuple[State, str]:
    """The state and the sentence for the numbers of `health`.

    Args:
        images: How many images they come from.
        spread: As in `Health`, like the four after it.
        rankme: Directions in use.
        most: The most there can be.
        alignment: nan for one view.
        uniformity: For the sentence.
        strangers: Mean squared distance of two different images.
    """
    numbers = f"std {spread:.2g} where 1 is healthy, RankMe {rankme:.3g} of {most}"
    if images < FEWEST:
        return "too few", f"too few images to tell ({images} where {FEWEST} are needed): {numbers}"
    if spread < COLLAPSED:
        return "collapsed", (
            f"collapsed: every image gets nearly the same embedding ({numbers}). A lower learning "
            "rate, a larger batch or weaker masks usually help"
        )
    if rankme < max(2.0, FEW * most):
        return "few directions", (
            f"dimensional collapse: embeddings differ along a few directions only ({numbers}). "
            "Stronger augmentation, a larger batch or a higher temperature usually helps"
        )
    if alignment > STRANGERS * strangers:
        return "no invariance", (
            f"no invariance: two views of one image lie as far apart (squared distance "
            f"{alignment:.2g}) as two different images ({strangers:.2g}). Early in training this "
            "is normal; later, the views share too little or the learning rate is too high"
        )
    return "healthy", (
        f"healthy: different images get different embeddings ({numbers}, "
        f"uniformity {uniformity:.2g})"
    )


def spread(z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """Mean over coordinates of the std over rows, times sqrt(D); rows are unit vectors."""
    return z.std(dim=0, correction=0).mean() * math.sqrt(z.shape[1])


def spread_total(z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """Half the mean squared distance of two different rows."""
    return z.var(dim=0, correction=1).sum()


def rankme(z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """exp of the entropy of the singular values, which are divided by their sum.

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
