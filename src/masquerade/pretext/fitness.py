"""Fitness: whether an objective can learn from masks as it is set, said before the first step."""

from collections.abc import Sequence

from masquerade.maskers.base import Masker
from masquerade.objectives.base import Objective
from masquerade.pretext.branches import copy_of, reaches


def check(
    objective: Objective, maskers: Sequence[Masker], adversary: bool, keeps_statistics: bool
) -> None:
    """Raises ValueError where these maskers, if any, cannot be trained against.

    Args:
        objective: Has the plan.
        maskers: What hides.
        adversary: Whether one of them is learned.
        keeps_statistics: Whether something updates batch norm's running statistics anyway.
    """
    if not maskers:
        return
    refuse_without_masks(objective)
    if adversary:
        refuse_without_gradient(objective)
    if any(masker.fills for masker in maskers):
        refuse_mixtures_of_both(objective)
    if not keeps_statistics:
        refuse_without_clean(objective)


def refuse_without_masks(objective: Objective) -> None:
    """Raises ValueError where no pair has a masked branch."""
    if not any(copy_of(p) for p in objective.plan(masked=True)):
        raise ValueError(
            f"{type(objective).__name__} as it is set masks nothing: none of its terms has a "
            "masked branch. Choose another objective.terms, or maskers=[]"
        )


def refuse_without_gradient(objective: Objective) -> None:
    """Raises ValueError where the loss does not depend on the masks in a way that trains them."""
    if not any(reaches(pair, objective) for pair in objective.plan(masked=True)):
        raise ValueError(
            f"a learned masker gets no gradient from {type(objective).__name__} as it is set: no "
            "masked copy is a query there, and keys are held still. Let masked copies be queries "
            "(objective.masked=query, or objective.terms with masked_query), or choose a masker "
            "that is not learned"
        )


def refuse_mixtures_of_both(objective: Objective) -> None:
    """Raises ValueError where mixtures would be compared with mixtures."""
    if any(p.query.copy is not None and p.key.copy is not None for p in objective.plan(True)):
        raise ValueError(
            f"{type(objective).__name__} as it is set compares masked copies with masked copies; "
            "where they are filled from partners, nobody says what belongs to what. Leave out "
            "masked_both from objective.terms, or choose a masker that erases"
        )


def refuse_without_clean(objective: Objective) -> None:
    """Raises ValueError where the network sees no clean image whose statistics it could keep."""
    pairs = objective.plan(masked=True)
    seen = {p.query for p in pairs} | (set() if objective.follows else {p.key for p in pairs})
    if all(branch.copy is not None for branch in seen):
        raise ValueError(
            f"with bn_stats=clean_only {type(objective).__name__} would keep no batch-norm "
            "statistics at all: it sees masked images only. Use bn_stats=reference, or "
            "bn=recalibrate when you evaluate"
        )
