"""A few certified images to look at: their voters, and the partitions a poison would have to reach.

From the most to the least robust of the rightly labelled ones, and the most robust mistake.
"""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from masquerade.certify.base import Certificate, Ties
from masquerade.certify.kept import Voters
from masquerade.certify.witness import attacks
from masquerade.core.rundir import RunDir
from masquerade.jobs.labelled import Tests
from masquerade.jobs.radii import FOLDER

FILE = f"{FOLDER}/examples.npz"
RIGHT = 5


def write(
    out: RunDir,
    fitted: Voters,
    certificate: Certificate,
    tests: Tests,
    ties: Ties,
) -> None:
    """Write examples.npz: what `dpa` says of a few images and the smallest attack on each.

    Args:
        out: The folder.
        fitted: Models without a spread.
        certificate: Of `dpa` on all test images.
        tests: The test images.
        ties: The policy of the certificate.
    """
    rows = chosen(certificate, tests.truth)
    found = attacks(fitted.ballots(tests.features[rows]), ties=ties)
    reached = np.zeros((len(rows), fitted.parts.models), bool)
    for place, attack in zip(reached, found, strict=True):
        place[list(attack.models)] = True
    arrays = {
        "row": rows.numpy(),
        "truth": tests.truth[rows].numpy(),
        "label": certificate.label[rows].numpy(),
        "radius": certificate.radius[rows].numpy(),
        "rival": np.array([attack.rival for attack in found], np.int64),
        "votes": np.array([attack.votes for attack in found], np.int64),
        "reached": reached,
    }
    if tests.images is not None:
        arrays["pictures"] = tests.images.subset(rows).pixels
    out.write(FILE, lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]  # arrays by name


def chosen(certificate: Certificate, truth: Int[Tensor, " T"]) -> Int[Tensor, " E"]:
    """Rows of the images that are shown."""
    right = torch.nonzero(certificate.label == truth)[:, 0]
    wrong = torch.nonzero(certificate.label != truth)[:, 0]
    radii = certificate.radius[right]
    each = radii.unique().flip(0)
    places = torch.linspace(0, max(0, len(each) - 1), min(RIGHT, len(each))).round().long()
    first = [right[radii == r][0] for r in each[places]] if len(each) else []
    worst = wrong[certificate.radius[wrong].argsort(descending=True, stable=True)][:1]
    return torch.cat([torch.tensor(first, dtype=torch.int64), worst])
