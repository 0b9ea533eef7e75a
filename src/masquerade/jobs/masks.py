"""Masks: what a run's maskers hide, measured against exact object masks."""

from typing import Any

from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.evaluate import maskquality
from masquerade.jobs import finished
from masquerade.jobs.evaluate import Evaluate
from masquerade.jobs.settings import limited
from masquerade.jobs.watch import proposed
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


def run(folder: RunDir, evaluation: Evaluate) -> dict[str, Any]:
    """Which mask finds the objects, how well, beside a centred square; written to eval/masks.json.

    Mask, threshold and square are chosen on the training images. All masks together are measured
    as a segmentation (`NAME/ari` and others, see `maskquality.Report.metrics`).

    Raises:
        ValueError: The images have no exact masks, or the run no maskers.
    """
    trained = maskers(folder)
    if not trained:
        raise ValueError(f"{folder.path} was trained without maskers")
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
    """Whether there is something to measure: a masker, and exact masks to compare with."""
    config = finished.settings(folder)
    fit_on, _ = evaluation.splits()
    return bool(config.maskers) and "mask" in evaluation.data.load(fit_on, config.size).targets
