"""Masks: what a run's learned maskers hide, measured against exact object masks."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.engine.extract import evaluating
from masquerade.evaluate import maskquality
from masquerade.jobs import finished
from masquerade.jobs.evaluate import Evaluate
from masquerade.jobs.settings import limited
from masquerade.maskers.base import Masker
from masquerade.networks import encoder_file


def maskers(folder: RunDir) -> list[Masker]:
    """The trained maskers of a run, in evaluation mode, on the CPU."""
    config = finished.settings(folder)
    card = encoder_file.card(folder.path)
    heads = finished.heads(folder)
    found = []
    for place, settings in enumerate(config.maskers):
        masker = settings.build(card.size, card.channels)
        start = f"maskers.{place}."
        masker.load_state_dict(
            {n.removeprefix(start): t for n, t in heads.items() if n.startswith(start)}
        )
        found.append(masker.eval())
    return found


def learned(folder: RunDir) -> list[Masker]:
    """Those of them that have learned: masks of chance say nothing of what is in an image."""
    return [masker for masker in maskers(folder) if any(True for _ in masker.parameters())]


def by_chance(folder: RunDir) -> str:
    """`erase hides by chance`, of a run without a learned masker; `it hides nothing`."""
    names = [masker.kind for masker in finished.settings(folder).maskers]
    if not names:
        return "it hides nothing"
    return f"{' and '.join(names)} {'hide' if len(names) > 1 else 'hides'} by chance"


def run(folder: RunDir, evaluation: Evaluate) -> dict[str, Any]:
    """Which mask finds the objects, how well, beside a centred square; written to eval/masks.json.

    Mask, threshold and square are chosen on the training images. All masks together are measured
    as a segmentation (`NAME/ari` and others, see `maskquality.Report.metrics`). Maskers that draw
    by chance are left out.

    Raises:
        ValueError: The images have no exact masks, or the run no learned maskers.
    """
    trained = learned(folder)
    if not trained:
        raise ValueError(
            f"{folder.path} has no learned masks that could be measured: {by_chance(folder)}"
        )
    card = encoder_file.card(folder.path)
    fit_on, measure_on = evaluation.splits()
    found = maskquality.measure(
        lambda images: proposed(trained, images, Seed(evaluation.seed)),
        limited(evaluation.data.load(fit_on, card.size), evaluation.limit),
        {
            name: limited(evaluation.data.load(name, card.size), evaluation.limit)
            for name in measure_on
        },
        size=card.size,
        mean=card.mean,
        std=card.std,
        compat=evaluation.compat,
    )
    content = {
        "slot": found.choice.slot,
        "hard": found.choice.hard,
        "square_side": found.side,
        "chosen_on": fit_on,
        **found.metrics,
    }
    folder.write_json("eval/masks.json", content)
    return content


def has_masks(folder: RunDir, evaluation: Evaluate) -> bool:
    """Whether there is something to measure: a learned masker, and exact masks to compare with."""
    config = finished.settings(folder)
    if not (config.maskers and learned(folder)):
        return False
    fit_on, _ = evaluation.splits()
    return maskquality.measurable(evaluation.data.load(fit_on, config.size))


@torch.no_grad()
def proposed(
    maskers: Sequence[Masker], images: Float[Tensor, "B C H W"], seed: Seed
) -> Float[Tensor, "B N H W"]:
    """All masks of all maskers for standardised images, in evaluation mode."""
    masks = []
    for masker in maskers:
        like = next(masker.parameters(), images)
        with evaluating(masker):
            masks.append(masker.propose(images.to(like), seed).float())
    return torch.cat(masks, 1)
