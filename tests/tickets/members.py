"""What two processes that judge a population together do; in a module that they can import."""

from pathlib import Path

import torch
from lightning_fabric import Fabric
from tests.tickets.toy import Toy

from masquerade.core.seed import Seed
from masquerade.engine import gather
from masquerade.tickets import evolve
from masquerade.tickets.base import Bookmark, Problem
from masquerade.tickets.problems import cartpole, images
from masquerade.tickets.strategies import pgpe, sep_cma_es, snes

CPU = torch.device("cpu")


def searches() -> dict[str, tuple[Problem, evolve.Config]]:
    """Problems that draw images, play episodes, and learn from statistics."""
    plain = evolve.Config(strategy=snes.Config(population=16), generations=5, test_every=5)
    return {
        "images": (images.Config(batch=100, network={"hidden": [8]}).build(CPU), plain),
        "cartpole": (
            cartpole.Config(horizon=60, network={"hidden": [16], "activation": "tanh"}).build(CPU),
            plain.replace(strategy=pgpe.Config(population=14), parts=4),
        ),
        "toy": (Toy(learns=True), plain.replace(strategy=sep_cma_es.Config(population=7))),
    }


def found() -> dict[str, torch.Tensor]:
    """The weights, deviations and learned numbers that each search ends with."""
    tensors: dict[str, torch.Tensor] = {}
    for name, (problem, config) in searches().items():
        kept = torch.arange(problem.layout.size) % 3 > 0
        start = problem.start(Seed(2))
        end = evolve.evolve(config, problem, start, kept, Seed(3), Bookmark()).final
        assert end.spread is not None
        tensors |= {f"{name}/weights": end.weights, f"{name}/spread": end.spread}
        tensors |= {f"{name}/{key}": value for key, value in end.memory.items()}
    return tensors


def work(fabric: Fabric, folder: str) -> None:
    """Searches in each process, what it ended with in a file of its own; then one too many."""
    torch.save(found(), Path(folder) / f"{fabric.global_rank}.pt")
    config = searches()["toy"][1].replace(parts=3)
    try:
        evolve.evolve(config, Toy(), torch.zeros(26), torch.ones(26).bool(), Seed(0), Bookmark())
    except ValueError as error:
        (Path(folder) / f"{fabric.global_rank}.txt").write_text(str(error), encoding="utf-8")
    gather.everyone(0)
