"""mujoco: gymnasium's MuJoCo robots of version 5, simulated by a pool of processes.

Needs the extra `control`. Observations are normalised by what all candidates of earlier
generations saw. A simulation that becomes unstable ends its episode, as a fall does. The
published runs used Brax's older simulator: returns are not comparable.
"""

import importlib.util
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from masquerade.core.cores import cores
from masquerade.core.errors import MissingData
from masquerade.core.seed import Seed
from masquerade.tickets.base import Judged, Problem, State
from masquerade.tickets.network import Network, Shape
from masquerade.tickets.problems.base import ProblemConfig

Task = Literal["HalfCheetah", "Hopper", "Walker2d", "Ant", "Reacher"]
SIZES: dict[Task, tuple[int, int]] = {  # numbers of an observation and of an action
    "HalfCheetah": (17, 6),
    "Hopper": (11, 3),
    "Walker2d": (17, 6),
    "Ant": (105, 8),
    "Reacher": (10, 2),
}
CLIP = 5.0  # of normalised observations


class Config(ProblemConfig):
    """Settings of the MuJoCo tasks.

    Attributes:
        task: Which robot.
        mass: Factor of the torso's mass, for transfers to another body; Reacher has no torso.
        inertia: Whether the torso's inertia is multiplied, too.
        network: The policy; its output passes through tanh.
        episodes: That a candidate plays in a generation.
        test_episodes: That a score is the mean of; always the same.
        horizon: Steps after which an episode is cut off.
        processes: That simulate; 0 = one a core.
    """

    task: Task = "HalfCheetah"
    mass: float = Field(1.0, gt=0)
    inertia: bool = False
    network: Shape = Shape(hidden=(32, 32), activation="tanh")
    episodes: int = Field(8, ge=1)
    test_episodes: int = Field(64, ge=1)
    horizon: int = Field(500, ge=1)
    processes: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _bodied(self) -> "Config":
        if self.task == "Reacher" and self.mass != 1:
            raise ValueError("Reacher has no torso whose mass could change; leave mass=1")
        if self.inertia and self.mass == 1:
            raise ValueError("inertia=true changes nothing while mass=1")
        return self

    def build(self, device: torch.device) -> "Robots":
        if any(importlib.util.find_spec(name) is None for name in ("gymnasium", "mujoco")):
            raise MissingData(
                "mujoco needs gymnasium and MuJoCo, which are not installed: pip install "
                "'masquerade[control]'. Without them: problem=cartpole, pendulum, acrobot or "
                "mountain_car"
            )
        return Robots(self, device)

    @property
    def measure(self) -> str:
        return "return"


class Order(NamedTuple):
    """Work for one process: a policy's kernels and biases, its episodes, how it sees."""

    layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]]
    seeds: list[int]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    horizon: int


class Robots(Problem):
    """The problem; a pool of processes simulates."""

    def __init__(self, config: Config, device: torch.device) -> None:
        self.config = config
        observed, acted = SIZES[config.task]
        self.network = Network(config.network, (observed,), acted, last_bias=True)
        self.layout = self.network.layout
        self._device = device
        self._observed = observed
        self._pool: ProcessPoolExecutor | None = None

    def start(self, seed: Seed) -> Float[Tensor, " P"]:
        return self.network.start(seed).to(self._device)

    def memory(self) -> State:
        """How many observations were seen, their sum, and the sum of their squares: none."""
        zero = torch.zeros(self._observed, dtype=torch.float64)
        return {"count": torch.zeros((), dtype=torch.float64), "sum": zero, "squares": zero.clone()}

    def learned(self, memory: State, statistics: Float[Tensor, "N S"]) -> State:
        total = statistics.double().cpu().sum(dim=0)
        count, first, second = total[:1], total[1 : 1 + self._observed], total[1 + self._observed :]
        return {
            "count": memory["count"].cpu() + count[0],
            "sum": memory["sum"].cpu() + first,
            "squares": memory["squares"].cpu() + second,
        }

    def fitness(self, population: Float[Tensor, "N P"], seed: Seed, memory: State) -> Judged:
        seeds = [seed.fold(k).integer() % 2**31 for k in range(self.config.episodes)]
        rows = self._played(population, seeds, memory)
        return Judged(rows[:, 0], rows[:, 1:])

    def test(self, population: Float[Tensor, "N P"], memory: State) -> Float[Tensor, " N"]:
        where = Seed(0).fold("test episodes")
        seeds = [where.fold(k).integer() % 2**31 for k in range(self.config.test_episodes)]
        return self._played(population, seeds, memory)[:, 0]

    def _played(
        self, population: Float[Tensor, "N P"], seeds: list[int], memory: State
    ) -> Float[Tensor, "N S1"]:
        """Mean return of each candidate, then what it saw: count, sum, sum of squares."""
        mean, deviation = normaliser(memory)
        orders = []
        for weights in population.cpu():
            leaves = {name: leaf.numpy() for name, leaf in self.layout.tree(weights).items()}
            names = sorted({name.partition("/")[0] for name in leaves})
            layers = [(leaves[f"{name}/kernel"], leaves[f"{name}/bias"]) for name in names]
            orders.append(Order(layers, seeds, mean, deviation, self.config.horizon))
        if self._pool is None:
            config = self.config
            self._pool = ProcessPoolExecutor(
                config.processes or cores(),
                multiprocessing.get_context("spawn"),
                initializer=prepare,
                initargs=(config.task, config.mass, config.inertia),
            )
        found = list(self._pool.map(play, orders))
        return torch.from_numpy(np.stack(found)).float().to(self._device)

    def close(self) -> None:
        """End the processes; the next call starts new ones."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def normaliser(memory: State) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of observations; 0 and 1 before the first generation."""
    count, first, second = (memory[k].double().cpu().numpy() for k in ("count", "sum", "squares"))
    if not count:
        return np.zeros_like(first), np.ones_like(first)
    mean = first / count
    variance = (second - count * mean**2) / (count + 1)
    return mean, np.sqrt(np.clip(variance, 1e-6, 1e6))


WORLD: list[Any] = []  # of a process of the pool: its one environment
WARNED: list[str] = []  # what the simulator said since the episode began


def prepare(task: str, mass: float, inertia: bool) -> None:
    """Make the environment of a process of the pool."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import gymnasium
    import mujoco

    mujoco.set_mju_user_warning(WARNED.append)  # or it writes MUJOCO_LOG.TXT where one stands
    world = gymnasium.make(f"{task}-v5", max_episode_steps=10**9)
    if mass != 1:
        inner: Any = world.unwrapped
        torso = inner.model.body("torso").id
        inner.model.body_mass[torso] *= mass
        if inertia:
            inner.model.body_inertia[torso] *= mass
        mujoco.mj_setConst(inner.model, inner.data)
    WORLD[:] = [world]


def play(order: Order) -> NDArray[np.float64]:
    """One candidate's mean return, then count, sum and sum of squares of its observations."""
    (world,) = WORLD
    returned, seen = 0.0, []
    for seed in order.seeds:
        WARNED.clear()
        observation, _ = world.reset(seed=seed)
        for _ in range(order.horizon):
            seen.append(observation)
            x = np.clip((observation - order.mean) / order.deviation, -CLIP, CLIP)
            for kernel, bias in order.layers:
                x = np.tanh(x @ kernel + bias)
            observation, reward, over, _, _ = world.step(x)
            if WARNED:
                break
            returned += float(reward)
            if over:
                break
    table = np.array(seen, dtype=np.float64)
    head = [returned / len(order.seeds), len(table)]
    return np.concatenate([head, table.sum(axis=0), (table**2).sum(axis=0)])
