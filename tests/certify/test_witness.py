import pytest
import torch
from tests.certify.attack import vote

from masquerade.certify import dpa
from masquerade.certify.base import Ballots, identity
from masquerade.certify.witness import attacks
from masquerade.core.seed import Seed


@pytest.mark.parametrize("ties", ["index", "abstain"])
@pytest.mark.parametrize("levels", [0, 3])
def test_a_witness_changes_the_label_with_one_poison_more_than_the_radius(ties, levels):
    draw = Seed(1).generator()
    logits = torch.randn(40, 9, 4, generator=draw)
    if levels:
        logits = torch.randint(levels, (40, 9, 4), generator=draw).float()
    logits[::3, :, 2] += 2
    ballots = Ballots(logits, identity(9))
    certificate = dpa.certify(ballots, ties=ties)
    for i, found in enumerate(attacks(ballots, ties=ties)):
        votes = [vote(scores, ties) for scores in logits[i].tolist()]
        assert [None if v == 4 else v for v in found.votes.tolist()] == votes
        assert found.label == certificate.label[i]
        assert len(found.models) == certificate.radius[i] + 1
        for model in found.models:
            votes[model] = found.rival
        counts = [votes.count(c) for c in range(4)]
        assert counts.index(max(counts)) == found.rival
