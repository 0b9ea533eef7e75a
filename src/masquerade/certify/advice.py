"""Which rule, and how many partitions: what the sizes of the parts say about it.

Read off sizes alone. To choose by the certified accuracy of models that poisoned labels may have
trained would let these labels choose.
"""

from masquerade.certify.partition import Health

ENOUGH = 3.0  # images of a class per model from which on the run-off gains
FEW = 1.5  # below it, the run-off loses: most models have not seen both finalists


def advice(found: Health, classes: int) -> tuple[str, ...]:
    """Sentences about rule and number of partitions.

    Args:
        found: Of the ensemble without a spread.
        classes: C.
    """
    each = found.mean / classes
    seen = f"Each model sees {found.mean:,.1f} images, {each:,.1f} of each class"
    if each >= ENOUGH:
        told = [f"{seen}: enough for the run-off election, which usually certifies more."]
    elif each >= FEW:
        told = [f"{seen}: majority votes and the run-off election are about as good here."]
    else:
        fewer = round(found.models * each / ENOUGH)
        other = f"about parts={fewer}" if fewer >= 5 else "get more labelled images"
        told = [
            f"{seen}: too few for the run-off election, as most models cannot compare two "
            f"classes. Use dpa or fa, or {other}."
        ]
    if found.empty > 0:
        told.append(f"{found.empty:.0%} of the models see no image at all and abstain.")
    if found.absent > 0.1:
        told.append(
            f"In {found.absent:.0%} of the pairs of a model and a class the model never saw the "
            "class: fewer parts would certify smaller radii more often."
        )
    told.append(
        "Choose rule and parts before looking at certified accuracies of the labels that might be "
        "poisoned: a choice by them is not covered."
    )
    return tuple(told)
