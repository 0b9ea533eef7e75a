"""Judging a population in several processes, of which each rebuilds all candidates from a seed.

Every process asks the strategy for the same population, judges its own part of the rows, and
tells the others one number a candidate: Salimans et al., 2017, https://arxiv.org/abs/1703.03864.
"""

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from masquerade.core.errors import Diverged
from masquerade.core.seed import Seed
from masquerade.engine import gather
from masquerade.tickets.base import Judged, Problem, State


def judged(
    problem: Problem, population: Float[Tensor, "N P"], seed: Seed, memory: State, parts: int
) -> Judged:
    """What candidates are worth, equal in every process and for every number of processes.

    Args:
        problem: What they are tried on.
        population: All of them; alike in all processes.
        seed: Of the images or episodes that all of them see.
        memory: What the problem has learned.
        parts: Into how many parts the rows are cut. Each is judged as a whole by one process, so
            no bit depends on how many processes there are.

    Raises:
        ValueError: The processes cannot share the parts equally.
        Diverged: A fitness is nan or infinite.
    """
    shares, world = population.chunk(parts), gather.world()
    shared(len(population), parts, world)
    mine = range(gather.rank(), len(shares), world)
    found = {place: problem.fitness(shares[place], seed, memory) for place in mine}
    together = joined(found, [len(share) for share in shares])
    fitness, statistics = together[:, 0], together[:, 1:]
    wrong = int((~fitness.isfinite()).sum())
    if wrong:
        raise Diverged(
            f"{wrong} of {len(fitness)} candidates have a fitness that is nan or infinite. "
            "Lower the strategy's sigma or learning rate"
        )
    return Judged(fitness, statistics)


def shared(population: int, parts: int, processes: int) -> None:
    """Raises `ValueError` where processes cannot share the parts of a population equally."""
    if -(-population // -(-population // parts)) % processes:
        raise ValueError(
            f"parts={parts} of {population} candidates cannot be shared by {processes} processes; "
            f"choose a multiple of {processes}"
        )


def joined(found: dict[int, Judged], rows: list[int]) -> Float[Tensor, "N S1"]:
    """Fitness and statistics of all parts, in order, from those that each process has."""
    own = {i: torch.cat([j.fitness[:, None], j.statistics], dim=1) for i, j in found.items()}
    if len(own) == len(rows):
        return torch.cat([own[i] for i in range(len(rows))])
    one = next(iter(own.values()))
    table = [own.get(i, one.new_zeros(count, one.shape[1])) for i, count in enumerate(rows)]
    whole = torch.cat(table)
    dist.all_reduce(whole)  # a row is not 0 in one process only, so no sum rounds
    return whole
