"""Transfer: the tickets of a run, trained by another method or on another task.

Every ticket is trained afresh and nothing more is pruned. Beside them stand tickets that the
target finds by itself, and random masks with new weights.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from pydantic import Field

from masquerade.core.config import Settings
from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.engine.launch import launched
from masquerade.engine.loop import caught
from masquerade.engine.runtime import Runtime
from masquerade.jobs import tickets
from masquerade.jobs.tickets import CONTENT, Method, Say, Tickets
from masquerade.tickets.base import Problem, TrainerConfig
from masquerade.tickets.problems.base import ProblemConfig
from masquerade.tickets.scores import Named
from masquerade.tickets.search import Ticket, find
from masquerade.tickets.shelf import Folder
from masquerade.tickets.transfer import Embed, fitted

ROWS = ("transferred", "native", "random")


class Transfer(Settings):
    """Settings of a transfer.

    Attributes:
        source: The folder of a finished search.
        method: Whose tickets are taken.
        problem: What they are trained on.
        train: How they are trained.
        embed: Whether a wider target takes them into its first columns (`columns`), or shapes
            must be equal.
        score: What prunes where the target searches for tickets of its own (`native`); `auto` is
            the source's, or magnitude where the training leaves no deviations.
        rows: What is trained: `transferred`, and for comparison `native` and `random`.
        runtime: Device, processes, threads.
        checkpoint_seconds: The least time between two bookmarks inside a training.
    """

    source: str
    method: str
    problem: ProblemConfig
    train: TrainerConfig
    embed: Embed = "none"
    score: Named | Literal["auto"] = "auto"
    rows: tuple[str, ...] = ROWS
    runtime: Runtime = Runtime(precision="float32")
    checkpoint_seconds: float = Field(20.0, ge=0)

    @classmethod
    def of(cls, source: RunDir, method: str) -> "Transfer":
        """The settings that repeat a method on its own task: change one and it is a transfer.

        Raises:
            MissingData: The search is not there, or not finished.
            ValueError: It has no such method.
        """
        config = tickets.settings(source)
        if not source.has(CONTENT):
            raise MissingData(
                f"{source.path} is not finished; masquerade tickets {source.path} goes on with it"
            )
        name = method or next(iter(config.methods))
        if name not in config.methods:
            raise ValueError(
                f"{source.path} has no method {name!r}; it has: {', '.join(config.methods)}"
            )
        return cls(
            source=str(source.path),
            method=name,
            problem=config.problem,
            train=config.methods[name].train,
            runtime=config.runtime,
        )

    def native(self, source: Tickets) -> Tickets:
        """The searches of the target's own that tickets are compared with."""
        score = source.methods[self.method].score if self.score == "auto" else self.score
        if self.score == "auto" and score == "snr" and not self.train.spreads():
            score = "magnitude"
        known = {
            "native": Method(train=self.train, score=score),
            "random": Method(train=self.train, score="random", start="redraw"),
        }
        return Tickets(
            title="native",
            problem=self.problem,
            methods={name: known[name] for name in self.rows if name in known} or known,
            rounds=source.rounds,
            keep=source.keep,
            seeds=source.seeds,
            runtime=self.runtime,
        )


def run(config: Transfer, path: str | Path, say: Say = lambda text: None) -> RunDir:
    """Train the tickets of a run, or go on; returns the folder with tickets.json.

    Raises:
        CannotResume: The folder holds something else.
        MissingData: The source or the data is not there.
        ValueError: The tickets do not fit the target, or it cannot be trained so.
        Interrupted: A signal came; the run is saved.
    """
    folder = RunDir(path)
    with folder.locked():
        if not folder.has("config.json"):
            possible(config)
        known = folder.start(config.tree(), lambda old: Transfer.parse(old).tree())
        for part in folder.path.glob("**/.*.part"):
            part.unlink(missing_ok=True)
        if known and folder.has(CONTENT):
            say(f"{folder.path} is finished already")
            return folder
        runtime = tickets.settled(config.runtime, folder)
        say(runtime.said())
        launched(runtime, work, config.tree(), str(folder.path), say, two_players=False)
    return folder


def possible(config: Transfer) -> None:
    """Raises what a transfer with these settings would raise before its first generation."""
    strange = [row for row in config.rows if row not in ROWS]
    if strange or "transferred" not in config.rows:
        raise ValueError(f"rows are transferred and some of native, random; got {config.rows}")
    source = tickets.settings(RunDir(config.source))
    tickets.possible(config.native(source))
    target = config.problem.build(torch.device("cpu"))
    origin = source.problem.build(torch.device("cpu"))
    fresh = target.start(Seed(0))
    ticket = Ticket(origin.start(Seed(0)), torch.ones(origin.layout.size, dtype=torch.bool))
    fitted(ticket, origin.layout, target.layout, fresh, config.embed)


def work(fabric: Fabric, tree: dict[str, Any], path: str, say: Say) -> None:
    """The part of a transfer that every process does."""
    config, folder = Transfer.parse(tree), RunDir(path)
    torch.set_num_threads(Runtime.parse(folder.read_json("environment.json")["runtime"]).threads)
    source = tickets.settings(RunDir(config.source))
    native = config.native(source)
    problem = config.problem.build(fabric.device)
    origin = source.problem.build(fabric.device)
    scores: dict[str, dict[str, Any]] = {row: {} for row in config.rows}
    with caught() as stop:
        for seed in source.seeds:
            for row in config.rows:
                shelf = tickets.shelf(folder, row, seed, fabric, config.checkpoint_seconds, stop)
                if row == "transferred":
                    rows = trained(config, source, seed, problem, origin, shelf)
                else:
                    train = config.train.build()
                    rounds = find(problem, train, native.pruning(row), Seed(seed), shelf)
                    rows = [
                        {
                            "remaining": one.remaining,
                            "final": one.trained.final.test,
                            "best": one.trained.best.test,
                        }
                        for one in rounds
                    ]
                scores[row][str(seed)] = rows
                if fabric.is_global_zero:
                    told = ", ".join(f"{r['final']:.4g} at {r['remaining']:.1%}" for r in rows)
                    say(f"{row}, seed {seed}: {config.problem.measure} {told}")
    if fabric.is_global_zero:
        content = tickets.summed(native.replace(title="transfer"), problem, scores)
        folder.write_json(CONTENT, {**content, "source": config.source, "method": config.method})


def trained(
    config: Transfer, source: Tickets, seed: int, problem: Problem, origin: Problem, shelf: Folder
) -> list[dict[str, float]]:
    """Train the source's ticket of every round, each by itself."""
    place = RunDir(Path(config.source) / config.method / f"seed-{seed}")
    given = Folder(place, problem.start(Seed(seed)).device)
    train, rows = config.train.build(), []
    for number in range(1, source.rounds + 1):
        tensors = given.tensors(number)
        ticket = Ticket(tensors["start"], tensors["kept"])
        fresh = problem.start(Seed(seed).fold("start"))
        start, kept = fitted(ticket, origin.layout, problem.layout, fresh, config.embed)
        done = shelf.trained(number)
        if done is None:
            where = Seed(seed).fold("transfer", number)
            done = train(problem, start, kept, where, shelf.bookmark(number))
            shelf.keep(number, start, kept, done)
        share = float(kept[problem.layout.prunable().to(kept.device)].double().mean())
        rows.append({"remaining": share, "final": done.final.test, "best": done.best.test})
    return rows
