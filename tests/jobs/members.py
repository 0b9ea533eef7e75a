"""What the processes of a run on two devices do; in a module of its own, so that they find it."""

import json
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from masquerade.core.errors import Diverged
from masquerade.engine import gather
from masquerade.jobs import pretrain


def several(fabric: Fabric, runs: list[tuple[dict[str, Any], str]]) -> None:
    """Trains several runs: one start costs seconds."""
    for tree, folder in runs:
        pretrain.work(fabric, tree, folder, True)


def all_of_it(fabric: Fabric, runs: list[tuple[dict[str, Any], str]], found: str) -> None:
    """Trains several runs, then exchanges something, then fails."""
    several(fabric, runs)
    values = exchange(fabric)
    if fabric.is_global_zero:
        Path(found).write_text(json.dumps(values), encoding="utf-8")
    fail(fabric)


def exchange(fabric: Fabric) -> dict[str, Any]:
    """What this process gets from the functions of gather, gradients included."""
    rank = fabric.global_rank
    rows = (torch.arange(6.0).view(3, 2) + 10 * rank).requires_grad_()
    joined = gather.gathered(rows)
    weights = torch.arange(1.0, 13.0).view(6, 2) * (rank + 1)
    (joined * weights).sum().backward()
    assert rows.grad is not None
    logs = {"both": torch.tensor(1.0 + rank)} | ({"one": torch.tensor(7.0)} if rank else {})
    return {
        "world": gather.world(),
        "joined": joined.tolist(),
        "grad": rows.grad.tolist(),
        "own": gather.own(torch.arange(6.0)).tolist(),
        "everyone": gather.everyone(["rank", rank]),
        "averaged": gather.averaged(logs),
    }


def fail(fabric: Fabric) -> None:
    """One process fails while the other waits for it."""
    if fabric.global_rank == 1:
        raise Diverged("the loss of rank 1 became nan")
    gather.everyone(0)
