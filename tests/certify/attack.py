"""An attacker who tries everything: all sets of partitions, all rankings in their models' place.

Slow and obvious on purpose, and written from the rules' definitions alone. It is what the
certificates are tested against.
"""

from functools import cache
from itertools import combinations, combinations_with_replacement, permutations, product

import numpy as np


def vote(scores, ties):
    """The class a model votes for in the first round; None where it abstains."""
    best = [c for c, s in enumerate(scores) if s == max(scores)]
    return best[0] if ties == "index" or len(best) == 1 else None


def sign(scores, a, b, ties):
    """+1 where a model prefers class a to b, -1 where b to a, 0 where it stands between."""
    if scores[a] != scores[b]:
        return 1 if scores[a] > scores[b] else -1
    if ties == "abstain" or a == b:
        return 0
    return 1 if a < b else -1


def told(scores, ties):
    """What one model adds to a tally: first-round votes [C] and preferences [C, C], as one row."""
    classes = len(scores)
    first = [int(vote(scores, ties) == c) for c in range(classes)]
    second = [sign(scores, a, b, ties) for a, b in product(range(classes), repeat=2)]
    return np.array(first + second)


def majority(tallies, classes):
    """The winners of DPA and FA for rows of tallies: most votes, then the lower class."""
    return tallies[:, :classes].argmax(1)


def runoff(tallies, classes):
    """The winners of the run-off election for rows of tallies."""
    winners = []
    for row in tallies:
        votes, pairs = row[:classes], row[classes:].reshape(classes, classes)
        first, second = sorted(range(classes), key=lambda c: (-votes[c], c))[:2]
        low, high = min(first, second), max(first, second)
        winners.append(low if pairs[low, high] >= 0 else high)
    return np.array(winners)


@cache
def replacements(classes, models, ties, weak):
    """Every tally that so many models can be made to add, [M, C + C * C], each once."""
    orders = list(product(range(classes), repeat=classes)) if weak else []
    orders += list(permutations(range(classes)))
    rows = np.unique([told(scores, ties) for scores in orders], axis=0)
    ways = combinations_with_replacement(range(len(rows)), models)
    return np.unique([rows[list(way)].sum(0) for way in ways], axis=0)


def radius(logits, reach, winner, ties, budget, weak=False):
    """The label of one image and the most poisoned partitions it survives, `budget` at most.

    Args:
        logits: [K, C].
        reach: [P, d], the models each partition reaches.
        winner: `majority` or `runoff`.
        ties: The policy.
        budget: Tries up to so many partitions.
        weak: Whether poisoned models may have equal scores, too.
    """
    models, classes = logits.shape
    rows = np.array([told(scores, ties) for scores in logits.tolist()])
    label = winner(rows.sum(0)[None], classes)[0]
    for count in range(1, budget + 1):
        for chosen in combinations(range(len(reach)), count):
            hit = sorted({m for p in chosen for m in reach[p]})
            kept = rows[[m for m in range(models) if m not in hit]].sum(0)
            every = kept + replacements(classes, len(hit), ties, weak)
            if (winner(every, classes) != label).any():
                return label, count - 1
    return label, budget
