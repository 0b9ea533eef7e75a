"""SimSiam: predict the other view's embedding, which is held still; no negatives, no copy.

Chen and He, "Exploring Simple Siamese Representation Learning", 2020.
https://arxiv.org/abs/2011.10566. With masks as ADIOS does it, both views are masked, each by its
own masks, and the loss is the mean over the chosen terms (papers/adversarial_masking.md, section
2.3): the more of them do not reach the masks, the weaker the adversary.
"""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor

from masquerade.engine import gather
from masquerade.engine.task import Group
from masquerade.networks.backbone import Backbone
from masquerade.networks.heads import PredictorConfig, ProjectorConfig
from masquerade.objectives.base import Branch, Meets, Objective, ObjectiveConfig, Pair, cosine

Term = Literal["masked_query", "masked_key", "clean", "masked_both"]


class SimSiam(Objective):
    """One backbone, a projector and a predictor; gradients flow through the predicting side."""

    def __init__(self, config: "Config", backbone: Backbone) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.projector = config.projector.build(backbone.dim)
        self.predictor = config.predictor.build(config.projector.length(backbone.dim))

    def plan(self, masked: bool) -> list[Pair]:
        terms: Sequence[Term] = self.config.terms if masked else ("clean",)
        pairs: list[Pair] = []
        for term in terms:
            found = [p for one in (0, 1) if (p := self._pair(term, one))]
            share = 1 / (len(found) * len(terms))
            pairs += [p._replace(weight=share) for p in found]
        return pairs

    def _pair(self, term: Term, one: int) -> Pair | None:
        """What view `one` predicts in a term; None where it would need the mask of the first."""
        hides = one if term == "masked_query" else 1 - one
        if term not in ("clean", "masked_both"):
            if self.config.masked_views == "one" and hides == 0:
                return None
            clean = Branch(hides if self.config.meets == "same" else 1 - hides)
            copy = Branch(hides, 0)
            return Pair(copy, clean) if term == "masked_query" else Pair(clean, copy)
        number = 0 if term == "masked_both" else None
        return Pair(Branch(one, number), Branch(1 - one, number))

    def predict(self, embedding: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        predicted: Tensor = self.predictor(embedding)
        return predicted

    def compare(
        self,
        query: Float[Tensor, "B D"],
        key: Float[Tensor, "B D"],
        positive: Int[Tensor, "B M"],
        weight: Float[Tensor, "B M"],
    ) -> Float[Tensor, " B"]:
        return -(weight * cosine(query, gather.gathered(key), positive)).sum(1)

    def groups(self) -> list[Group]:
        still = not self.config.predictor_scheduled
        return [
            Group("backbone", list(self.backbone.parameters())),
            Group("projector", list(self.projector.parameters())),
            Group("predictor", list(self.predictor.parameters()), scheduled=not still),
        ]


class Config(ObjectiveConfig):
    """Settings of SimSiam.

    Attributes:
        projector: The head between features and embeddings; its defaults are ADIOS's.
        predictor: The head between embeddings and predictions.
        predictor_scheduled: Whether the predictor's learning rate follows the schedule; in the
            papers it stays.
        terms: What is compared where views are masked: a masked view predicts the clean other
            one (`masked_query`, always on in ADIOS), a clean view predicts the masked other one
            (`masked_key`, ADIOS's use_symmetry_mask), clean predicts clean (`clean`,
            use_no_mask), masked predicts masked (`masked_both`, use_both_mask). A learned masker
            needs the first or the last.
        masked_views: Whether both views are masked, each by its own masks, or only the second,
            as in MixMask.
        meets: Which clean view a masked one is compared with, the other one or its own.
    """

    projector: ProjectorConfig = ProjectorConfig(
        hidden=2048, out=2048, layers=3, norm="batch", last="plain"
    )
    predictor: PredictorConfig = PredictorConfig(hidden=512, bias=False)
    predictor_scheduled: bool = False
    terms: tuple[Term, ...] = Field(("masked_query",), min_length=1)
    masked_views: Literal["both", "one"] = "both"
    meets: Meets = "other"

    @model_validator(mode="after")
    def _masked(self) -> "Config":
        if self.masked_views == "one" and "masked_both" in self.terms:
            raise ValueError(
                "terms has masked_both, for which both views are masked, but masked_views=one"
            )
        return self

    def build(self, backbone: Backbone) -> SimSiam:
        return SimSiam(self, backbone)
