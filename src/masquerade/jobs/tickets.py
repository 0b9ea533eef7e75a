"""Tickets: sparse networks that can still be trained, searched for by one or more methods.

The folder of a run holds METHOD/seed-S/NN.safetensors and NN.json for every round, and
tickets.json with all scores.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch
from lightning_fabric import Fabric
from pydantic import Field, model_validator

from masquerade.core.config import Settings
from masquerade.core.errors import CannotResume, Interrupted
from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.engine import gather
from masquerade.engine.launch import launched
from masquerade.engine.loop import Stop, caught
from masquerade.engine.runtime import Runtime, environment
from masquerade.tickets import evolve
from masquerade.tickets.base import Problem, TrainerConfig
from masquerade.tickets.problems import images
from masquerade.tickets.problems.base import ProblemConfig
from masquerade.tickets.scores import NO_SPREAD
from masquerade.tickets.search import Choice, Pruning, find
from masquerade.tickets.shelf import Folder

CONTENT = "tickets.json"
Say = Callable[[str], None]


class Method(Choice):
    """How one kind of tickets is found.

    Attributes:
        train: Evolution or descent.
    """

    train: TrainerConfig = evolve.Config()


class Tickets(Settings):
    """Settings of a search for tickets.

    Attributes:
        title: What the run is called in reports.
        problem: What the network is for.
        methods: By name: how tickets are found. Names are folders.
        rounds: Trainings of each search; the first is dense.
        keep: Share of the surviving prunable weights that a round leaves.
        seeds: Each method searches once with each; methods with one seed start at equal weights.
        runtime: Device, processes, threads. Everything is computed in float32.
        checkpoint_seconds: The least time between two bookmarks inside a round.
    """

    title: str = "tickets"
    problem: ProblemConfig = images.Config()
    methods: dict[str, Method] = {"snr": Method()}  # noqa: RUF012  (copied by pydantic)
    rounds: int = Field(20, ge=1)
    keep: float = Field(0.8, gt=0, lt=1)
    seeds: tuple[int, ...] = (0,)
    runtime: Runtime = Runtime(precision="float32")
    checkpoint_seconds: float = Field(20.0, ge=0)

    @model_validator(mode="after")
    def _named(self) -> "Tickets":
        if not self.methods or not self.seeds:
            raise ValueError("at least one method and one seed are needed")
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"seeds must be different whole numbers from 0, got {self.seeds}")
        wrong = [n for n in self.methods if not n.replace("_", "a").replace("-", "a").isalnum()]
        if wrong:
            raise ValueError(f"methods are named by letters, digits, - and _; got {wrong[0]!r}")
        if self.runtime.precision not in ("float32", "auto"):
            raise ValueError(f"tickets are float32, got runtime.precision={self.runtime.precision}")
        return self

    def pruning(self, method: str) -> Pruning:
        """How a method prunes."""
        chosen = self.methods[method].model_dump(exclude={"train"})
        return Pruning(rounds=self.rounds, keep=self.keep, **chosen)


def run(config: Tickets, path: str | Path, say: Say = lambda text: None) -> RunDir:
    """Search for tickets, or go on with a search that was cut; returns its folder.

    Args:
        config: The settings. A folder that holds a run goes on only if they agree.
        path: The run's folder.
        say: Takes lines for the user; with several processes, a function of a module.

    Raises:
        CannotResume: The folder holds something else.
        MissingData: What the problem needs is not there.
        ValueError: A method cannot solve the problem.
        Interrupted: A signal came; the run is saved.
    """
    folder = RunDir(path)
    with folder.locked():
        if not folder.has("config.json"):
            possible(config)  # before the folder is claimed: a mistake leaves no run behind
        known = folder.start(config.tree(), lambda old: Tickets.parse(old).tree())
        for part in folder.path.glob("**/.*.part"):  # what a kill in the middle of a write left
            part.unlink(missing_ok=True)
        if known and folder.has(CONTENT):
            say(f"{folder.path} is finished already")
            return folder
        if known:
            say(f"going on with {folder.path}")
        runtime = settled(config.runtime, folder)
        say(runtime.said())
        launched(runtime, work, config.tree(), str(folder.path), say, two_players=False)
    return folder


def possible(config: Tickets) -> None:
    """Raises what a run with these settings would raise before its first generation."""
    runtime = config.runtime.resolved()
    problem = config.problem.build(torch.device("cpu"))
    for name, method in config.methods.items():
        try:
            method.train.check(problem, runtime.devices)
            config.pruning(name).check(problem)
            if method.score == "snr" and not method.train.spreads():
                raise ValueError(NO_SPREAD)
        except ValueError as error:
            raise ValueError(f"methods.{name}: {error}") from None


def settled(wanted: Runtime, folder: RunDir) -> Runtime:
    """The machine settings of a run: those it began with if it goes on, so that bits agree."""
    runtime = wanted.replace(precision="float32").resolved()
    if folder.has("environment.json"):
        begun = Runtime.parse(folder.read_json("environment.json")["runtime"])
        if begun.accelerator != runtime.accelerator:
            raise CannotResume(
                f"{folder.path} was begun on {begun.accelerator}, this is {runtime.accelerator}: "
                "it would not end in the same tickets. Start a new run"
            )
        return begun
    folder.write_json("environment.json", environment(runtime))
    return runtime


def work(fabric: Fabric, tree: dict[str, Any], path: str, say: Say) -> None:
    """The part of a run that every process does."""
    config, folder = Tickets.parse(tree), RunDir(path)
    torch.set_num_threads(Runtime.parse(folder.read_json("environment.json")["runtime"]).threads)
    problem = config.problem.build(fabric.device)
    first = fabric.is_global_zero
    scores: dict[str, dict[str, Any]] = {}
    with caught() as stop:
        for seed in config.seeds:
            for name, method in config.methods.items():
                rounds = find(
                    problem,
                    method.train.build(),
                    config.pruning(name),
                    Seed(seed),
                    shelf(folder, name, seed, fabric, config.checkpoint_seconds, stop),
                )
                rows = []
                for one in rounds:
                    final, best = one.trained.final.test, one.trained.best.test
                    rows.append({"remaining": one.remaining, "final": final, "best": best})
                    if first:
                        say(
                            f"{name}, seed {seed}, round {one.number} of {config.rounds}: "
                            f"{one.remaining:.1%} left, {config.problem.measure} {final:.4g}"
                        )
                scores.setdefault(name, {})[str(seed)] = rows
    if first:
        folder.write_json(CONTENT, summed(config, problem, scores))


def shelf(
    folder: RunDir, name: str, seed: int, fabric: Fabric, seconds: float, stop: Stop
) -> Folder:
    """Where a search keeps its rounds, and how it hears a wish to stop."""

    def stopped(where: str) -> NoReturn:
        raise Interrupted(
            f"stopped in {where} of {name}, seed {seed}; the run is saved. "
            "Repeat the command to go on",
            max(gather.everyone(stop.received)),
        )

    return Folder(
        RunDir(folder.path / name / f"seed-{seed}"),
        fabric.device,
        writes=fabric.is_global_zero,
        seconds=seconds,
        wish=lambda: bool(max(gather.everyone(stop.received))),
        stopped=stopped,
    )


def summed(config: Tickets, problem: Problem, scores: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What a finished run says of itself: sizes, levels, and every score."""
    beside = problem.baseline()
    return {
        "title": config.title,
        "problem": config.problem.kind,
        "measure": config.problem.measure,
        "weights": problem.layout.size,
        "prunable": int(problem.layout.prunable().sum()),
        "layout": [[leaf.name, list(leaf.shape), leaf.prunable] for leaf in problem.layout.leaves],
        "scores": scores,
        "baseline": beside and beside._asdict(),
    }


def settings(folder: RunDir) -> Tickets:
    """What a run was made with.

    Raises:
        MissingData: It is no run.
        ValueError: It is a run of another kind.
    """
    tree = folder.read_json("config.json")
    try:
        return Tickets.parse(tree)
    except ValueError as error:
        raise ValueError(
            f"{folder.path} holds no tickets, but another kind of run: {error}"
        ) from None
