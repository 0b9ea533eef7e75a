"""What evolution costs: a generation of 10,345 weights, and steps of control tasks.

Ask and tell alone, and a whole generation: 256 candidates of an MLP 784-13-10 on 1,024 images,
beside evosax. Steps of CartPole and Pendulum for many episodes at once, beside gymnasium's single
and vector environments. CPU-seconds of one core; all take turns.

    python benchmarks/evolve.py
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks.machine import Goal, Spread, machine, table, write

from masquerade.core.seed import Seed
from masquerade.engine.runtime import Runtime
from masquerade.tickets.base import Strategy
from masquerade.tickets.network import Network, Shape
from masquerade.tickets.problems import cartpole, pendulum
from masquerade.tickets.problems.images import losses
from masquerade.tickets.problems.rollout import Environment
from masquerade.tickets.strategies import open_es, pgpe, sep_cma_es, snes

HERE = Path(__file__).resolve().parent
POPULATION, IMAGES = 256, 1024
STRATEGIES = {
    "SNES": snes.Config(population=POPULATION),
    "PGPE": pgpe.Config(population=POPULATION),
    "Sep-CMA-ES": sep_cma_es.Config(population=POPULATION),
    "OpenES": open_es.Config(population=POPULATION),
}
TASKS = {"CartPole": cartpole.CartPole(), "Pendulum": pendulum.Pendulum()}
EPISODES = 1024
TIMES = 10  # gymnasium's steps that ours should be worth at least

Figures = dict[str, float]  # milliseconds, or steps per CPU-second, by name


def milliseconds(do: Callable[[], object], repeats: int) -> float:
    """CPU-milliseconds of a piece of work, the mean of some after one that does not count."""
    do()
    start = time.process_time()
    for _ in range(repeats):
        do()
    return 1000 * (time.process_time() - start) / repeats


def generations(repeats: int) -> Figures:
    """Our strategies: ask and tell, and with the judging of all candidates between them."""
    network = Network(Shape(hidden=(13,)), (1, 28, 28), 10)
    assert network.layout.size == 10_345
    draw = Seed(0).fold("images").generator()
    images = torch.randn(IMAGES, 1, 28, 28, generator=draw)
    labels = torch.randint(10, (IMAGES,), generator=draw)
    found = {}
    for name, config in STRATEGIES.items():
        strategy = config.build()
        worth = torch.randn(POPULATION, generator=draw)
        start = network.start(Seed(0))
        found[f"{name}: ask and tell"] = milliseconds(once(strategy, start, worth), repeats)

        def judged(population: torch.Tensor) -> torch.Tensor:
            parts = population.chunk(2)
            return torch.cat([-losses(network.forward(p, images), labels) for p in parts])

        found[f"{name}: generation"] = milliseconds(once(strategy, start, judged), repeats)
    return found


def once(
    strategy: Strategy,
    start: torch.Tensor,
    worth: torch.Tensor | Callable[[torch.Tensor], torch.Tensor],
) -> Callable[[], object]:
    """One generation; `worth` judges candidates, or is what they are worth."""
    state, count = strategy.start(start), 0

    def generation() -> None:
        nonlocal state, count
        population = strategy.ask(state, Seed(1).fold(count))
        fitness = worth if isinstance(worth, torch.Tensor) else worth(population)
        state, count = strategy.tell(state, population, fitness), count + 1

    return generation


def steps(rules: Environment, length: int) -> float:
    """Steps per CPU-second of many episodes at once with random actions; ended ones begin anew."""
    draw = Seed(0).fold("actions").generator()
    begun = rules.begin(torch.rand(EPISODES, rules.drawn, generator=draw))
    if rules.choices:
        actions = torch.randint(rules.choices, (length, EPISODES, 1), generator=draw)
    else:
        actions = 4 * torch.rand(length, EPISODES, rules.numbers, generator=draw) - 2

    def play() -> None:
        state = begun
        for action in actions:
            state, _, over = rules.step(state, action)
            rules.observe(state)
            state = torch.where(over[:, None], begun, state)

    return 1000 * length * EPISODES / milliseconds(play, 1)


def ours(repeats: int) -> Figures:
    """One turn of ours."""
    with torch.no_grad():
        found = generations(repeats)
        return found | {name: steps(rules, 300) for name, rules in TASKS.items()}


def peer_python() -> Path | None:
    """The Python of an environment with evosax and gymnasium: EVO_PYTHON, or /opt/evo-env."""
    python = Path(os.environ.get("EVO_PYTHON", "/opt/evo-env/bin/python"))
    return python if python.is_file() else None


def theirs(python: Path, repeats: int) -> dict[str, Any]:
    """One turn of evosax and gymnasium."""
    words = [str(python), str(HERE / "evosax_generation.py"), f"--repeats={repeats}"]
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    there = {**os.environ, "XLA_FLAGS": flags, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True, env=there)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def spreads(turns: list[Figures]) -> dict[str, Spread]:
    """The figures of some turns."""
    return {name: Spread.of([turn[name] for turn in turns]) for name in turns[0]}


def page(us: dict[str, Spread], them: dict[str, Spread], versions: dict[str, str]) -> list[str]:
    """Paragraphs and tables."""
    peer = ", ".join(f"{name} {version}" for name, version in versions.items()) or "none found"
    rows = []
    for name in STRATEGIES:
        for what in ("ask and tell", "generation"):
            key = f"{name}: {what}"
            other = them.get(key)
            beside = (other.said(1), f"{us[key].median / other.median:.2f}") if other else "--"
            rows.append((f"{name}, {what}", us[key].said(1), *beside))
    body = [
        "## A generation",
        f"10,345 weights, population {POPULATION}, {IMAGES:,} images of 28 x 28, cross entropy. "
        "CPU-milliseconds of one core, the median of the turns with the lowest and highest. "
        "evosax is compiled by XLA before the clock starts; its noise is not rebuilt row by row.",
        table(("what", "masquerade", "evosax", "ours / theirs"), rows),
        "## Control tasks",
        f"Thousands of steps per CPU-second with random actions; ours {EPISODES:,} episodes at "
        "once, ended ones begin anew. Beside it one environment of gymnasium, and 64 of its "
        "vector environment (CartPole's own is arrays; Pendulum has none and runs one by one).",
    ]
    lines = []
    for name in TASKS:
        figures = [us.get(name), them.get(f"{name}: one"), them.get(f"{name}: vector")]
        lines.append((name, *(thousands(one) if one else "-" for one in figures)))
    body.append(table(("task", "masquerade", "gymnasium, one", "gymnasium, vector"), lines))
    body.append(f"Beside us: {peer}.")
    return body


def thousands(steps: Spread) -> str:
    """A rate in thousands."""
    middle, low, high = (v / 1000 for v in steps[:3])
    return Spread(middle, low, high, steps.repeats).said(0)


def goals(us: dict[str, Spread], them: dict[str, Spread]) -> list[Goal]:
    """What ought to hold where there is something to compare with."""
    made = []
    for name in TASKS:
        if f"{name}: one" in them:
            ratio = us[name].median / them[f"{name}: one"].median
            made.append(
                Goal(
                    f"{name}: at least {TIMES} times gymnasium's steps per CPU-second",
                    f"{ratio:.0f} times one environment, "
                    f"{us[name].median / them[f'{name}: vector'].median:.1f} times 64 of a vector",
                    ratio >= TIMES,
                )
            )
    return made


def main() -> None:
    """Measure and write docs/results/evolve.*."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5, help="generations of a turn")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    where = machine(Runtime(precision="float32", threads=1, accelerator="cpu").resolved())
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])  # one core for us and for XLA
    python = peer_python()
    own, other, versions = [], [], {}
    for _ in range(asked.turns):
        own.append(ours(asked.repeats))
        if python:
            turn = theirs(python, asked.repeats)
            versions = turn.pop("versions")
            other.append(turn)
    us, them = spreads(own), spreads(other) if other else {}
    figures = {
        "masquerade": {name: s._asdict() for name, s in us.items()},
        "others": {name: s._asdict() for name, s in them.items()},
        "versions": versions,
    }
    write(
        "evolve",
        "What evolution costs",
        page(us, them, versions),
        figures,
        goals(us, them),
        where,
    )


if __name__ == "__main__":
    main()
