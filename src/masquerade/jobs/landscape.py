"""What lies between and around the optima of a search: landscape.json in its folder."""

from typing import Any

import torch

from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.jobs import tickets
from masquerade.jobs.tickets import CONTENT, Say
from masquerade.tickets.base import Problem, Trained
from masquerade.tickets.landscape import line, of_problem, sharpness
from masquerade.tickets.shelf import Folder

LANDSCAPE = "landscape.json"
DIRECTIONS = 10


def run(folder: RunDir, points: int = 11, say: Say = lambda text: None) -> dict[str, Any]:
    """Barriers between neighbouring levels and sharpness of every level, of a finished search.

    Of each method and seed: the line from the final weights of a round to those of the next, and
    scores along random directions on the kept weights. What a problem learned is frozen as the
    first of two optima had it.

    Args:
        folder: The search's.
        points: On each line, and along each direction (one more where that is even).
        say: Takes lines for the user.

    Raises:
        MissingData: The search is not finished.
    """
    config = tickets.settings(folder)
    if not folder.has(CONTENT):
        raise MissingData(
            f"{folder.path} is not finished; masquerade tickets {folder.path} goes on"
        )
    torch.set_num_threads(config.runtime.resolved().threads)
    problem = config.problem.build(torch.device("cpu"))
    found: dict[str, Any] = {}
    for method in config.methods:
        found[method] = {}
        for seed in config.seeds:
            rows = looked(problem, shelf(folder, method, seed), config.rounds, seed, points)
            found[method][str(seed)] = rows
            barriers = [row["barrier"] for row in rows if "barrier" in row]
            if barriers:
                say(f"{method}, seed {seed}: largest barrier {max(barriers):.3g}")
    content = {"measure": config.problem.measure, "found": found}
    folder.write_json(LANDSCAPE, content)
    return content


def shelf(folder: RunDir, method: str, seed: int) -> Folder:
    """The rounds of a search, to be read."""
    return Folder(RunDir(folder.path / method / f"seed-{seed}"), torch.device("cpu"), writes=False)


def looked(
    problem: Problem, rounds: Folder, count: int, seed: int, points: int
) -> list[dict[str, Any]]:
    """One row a round: sharpness there, and the line to the next."""
    rows = []
    for number in range(1, count + 1):
        here, following = done(rounds, number), rounds.trained(number + 1)
        kept = rounds.tensors(number)["kept"]
        score = of_problem(problem, here.final.memory)
        where = Seed(seed).fold("landscape", number)
        around = sharpness(
            score,
            here.final.weights,
            kept,
            where,
            directions=DIRECTIONS,
            points=points + (points + 1) % 2,
            at=(1.0,),
        )
        row: dict[str, Any] = {
            "round": number,
            "remaining": float(kept[problem.layout.prunable()].double().mean()),
            "drop": around.drop[1.0],
            "curvature": around.curvature,
        }
        if following is not None and number < count:
            between = line(score, here.final.weights, following.final.weights, points)
            row |= {"line": between.score.tolist(), "barrier": between.barrier}
        rows.append(row)
    return rows


def done(rounds: Folder, number: int) -> Trained:
    """A round that must be there."""
    found = rounds.trained(number)
    if found is None:
        raise MissingData(f"{rounds.folder.path} holds no round {number}; it was lost")
    return found
