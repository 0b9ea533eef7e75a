"""What lies around and between optima: connectivity along lines, sharpness along random directions.

Frankle et al., "Linear Mode Connectivity and the Lottery Ticket Hypothesis", 2020,
https://arxiv.org/abs/1912.05671; Li et al., "Visualizing the Loss Landscape of Neural Nets", 2018,
https://arxiv.org/abs/1712.09913. Everything works on any function from rows of weights to scores
that are maximised: `of_module` makes one of a network, whatever it was trained for.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from masquerade.core.seed import Seed
from masquerade.tickets.base import Problem, State
from masquerade.tickets.noise import normal

Scored = Callable[[Tensor], Tensor]  # rows of weights [N, P] to scores [N]; higher is better


class Line(NamedTuple):
    """Scores on the way between two optima.

    Attributes:
        share: Of the second one in each point's weights, from 0 to 1.
        score: Of each point.
        barrier: How far the lowest point lies below the straight line between the two ends; 0
            where no point lies below it.
    """

    share: Float[Tensor, " A"]
    score: Float[Tensor, " A"]
    barrier: float


def line(
    score: Scored, one: Float[Tensor, " P"], other: Float[Tensor, " P"], points: int = 11
) -> Line:
    """Scores of `points` equally far apart from `one` to `other`, both included."""
    if points < 3:
        raise ValueError(f"a line needs 3 points or more, got {points}")
    share = torch.linspace(0, 1, points, dtype=one.dtype, device=one.device)
    found = score(torch.lerp(one, other, share[:, None]))
    straight = torch.lerp(found[0], found[-1], share.to(found))
    return Line(share, found, max(0.0, float((straight - found).max())))


class Sharpness(NamedTuple):
    """How a score falls off along random directions.

    Attributes:
        step: Where scores were taken, as a share of the radius, from -1 to 1.
        score: Of each direction and step.
        drop: Mean loss of score at these shares of the radius, over directions and both sides.
        curvature: The mean over directions of c in score = centre + b step - c step^2, fitted.
    """

    step: Float[Tensor, " E"]
    score: Float[Tensor, "R E"]
    drop: dict[float, float]
    curvature: float


def sharpness(
    score: Scored,
    weights: Float[Tensor, " P"],
    kept: Bool[Tensor, " P"],
    seed: Seed,
    *,
    radius: float = 0.5,
    directions: int = 20,
    points: int = 21,
    at: Sequence[float] = (0.1, 0.5, 1.0),
) -> Sharpness:
    """Scores along Gaussian directions in the space of the kept weights.

    Args:
        score: What is looked at.
        weights: The optimum.
        kept: Where directions are not 0.
        seed: Of the directions.
        radius: Length of the longest step, in lengths of `weights`.
        directions: How many.
        points: Steps along each, an odd number, the middle one being the optimum itself.
        at: Where `drop` is taken; each must be a step.
    """
    if points < 3 or points % 2 == 0:
        raise ValueError(f"points must be an odd number from 3, got {points}")
    step = torch.linspace(-1, 1, points, dtype=weights.dtype, device=weights.device)
    table = []
    for k in range(directions):
        away = random_direction(weights, kept, seed, k)
        table.append(score(weights + radius * step[:, None] * away))
    found = torch.stack(table)
    centre = found[:, points // 2].mean()
    drop = {}
    for share in at:
        places = torch.nonzero((step.abs() - share).abs() < 1e-4)[:, 0]
        if not len(places):
            raise ValueError(f"{share:g} is none of the {points} steps from -1 to 1")
        drop[share] = float(centre - found[:, places].mean())
    design = torch.stack([torch.ones_like(step), step, step.square()], dim=1).to(found)
    solved = torch.linalg.lstsq(design, found.T).solution
    return Sharpness(step, found, drop, -float(solved[2].mean()))


def random_direction(
    weights: Float[Tensor, " P"], kept: Bool[Tensor, " P"], seed: Seed, number: int
) -> Float[Tensor, " P"]:
    """A Gaussian direction among the kept weights, as long as `weights`."""
    away = normal(seed.fold("direction"), [number], len(weights))[0].to(weights) * kept
    length: Tensor = weights.norm() / away.norm()
    return away * length


def plane(
    score: Scored,
    weights: Float[Tensor, " P"],
    kept: Bool[Tensor, " P"],
    seed: Seed,
    *,
    radius: float = 0.5,
    points: int = 11,
) -> Float[Tensor, "E E"]:
    """Scores on a square grid along two random directions, the optimum in the middle."""
    step = torch.linspace(-radius, radius, points, dtype=weights.dtype, device=weights.device)
    one, two = (random_direction(weights, kept, seed, k) for k in (0, 1))
    rows = [score(weights + a * one + step[:, None] * two) for a in step]
    return torch.stack(rows)


def of_problem(problem: Problem, memory: State) -> Scored:
    """The test score of a problem; what it learned is frozen as it is in `memory`."""
    return lambda population: problem.test(population, memory)


class Measured(NamedTuple):
    """A module as a point of a landscape.

    Attributes:
        weights: Its parameters, then what else of it is a floating number: the statistics of
            batch norm, without which another's weights score nothing like their own.
        learned: True for the parameters: along them directions are drawn.
        score: How good the module is with other numbers in their place.
    """

    weights: Float[Tensor, " P"]
    learned: Bool[Tensor, " P"]
    score: Scored


def of_module(module: nn.Module, measure: Callable[[nn.Module], float]) -> Measured:
    """A landscape of any network; of two checkpoints, `line(a.score, a.weights, b.weights)`.

    Args:
        module: Such as the encoder of a run. It has its own weights again afterwards.
        measure: Gives a score that is maximised: an accuracy, or minus a loss. It may estimate
            the statistics of batch norm anew before it looks.
    """
    learned = list(module.parameters())
    places = [*learned, *(b for b in module.buffers() if b.is_floating_point())]
    own = parameters_to_vector(places).detach().clone()

    def score(population: Tensor) -> Tensor:
        values = []
        try:
            for weights in population:
                vector_to_parameters(weights.to(own), places)
                values.append(float(measure(module)))
        finally:
            vector_to_parameters(own, places)
        return torch.tensor(values)

    mask = torch.arange(len(own), device=own.device) < sum(p.numel() for p in learned)
    return Measured(own.clone(), mask, score)
