"""evosax's generations and gymnasium's steps, timed in an environment of their own.

Prints one JSON line: CPU-milliseconds of ask and tell, of a whole generation, and steps per
CPU-second. The same network, population and images as `benchmarks/evolve.py`, which runs it.
"""

import argparse
import json
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
from evosax.algorithms import PGPE, SNES, Open_ES, Sep_CMA_ES

POPULATION, IMAGES, SIZES = 256, 1024, (784, 13, 10)
STRATEGIES = {"SNES": SNES, "PGPE": PGPE, "Sep-CMA-ES": Sep_CMA_ES, "OpenES": Open_ES}
TASKS = {"CartPole": "CartPole-v1", "Pendulum": "Pendulum-v1"}


def milliseconds(do: Callable[[], object], repeats: int) -> float:
    """CPU-milliseconds of a piece of work, the mean of some after two that do not count."""
    do()
    do()
    start = time.process_time()
    for _ in range(repeats):
        do()
    return 1000 * (time.process_time() - start) / repeats


def loss(weights: jax.Array, images: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean cross entropy of one candidate."""
    d, h, c = SIZES
    one, weights = weights[: d * h].reshape(d, h), weights[d * h :]
    bias, weights = weights[:h], weights[h:]
    two, last = weights[: h * c].reshape(h, c), weights[h * c :]
    logits = jax.nn.relu(images @ one + bias) @ two + last
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
    return -picked.mean()


def generations(repeats: int) -> dict[str, float]:
    """Ask and tell, and a whole generation, of each strategy."""
    d, h, c = SIZES
    start = 0.1 * jax.random.normal(jax.random.key(0), (d * h + h + h * c + c,))
    images = jax.random.normal(jax.random.key(1), (IMAGES, d))
    labels = jax.random.randint(jax.random.key(2), (IMAGES,), 0, c)
    worth = jax.random.normal(jax.random.key(3), (POPULATION,))
    found = {}
    for name, algorithm in STRATEGIES.items():
        strategy = algorithm(population_size=POPULATION, solution=start)
        params = strategy.default_params

        def once(key: Any, state: Any, judges: bool, s: Any = strategy, p: Any = params) -> Any:
            asked, told = jax.random.split(key)
            population, state = s.ask(asked, state, p)
            fitness = jax.vmap(loss, (0, None, None))(population, images, labels)
            state, _ = s.tell(told, population, fitness if judges else worth, state, p)
            return state

        for what, judges in (("ask and tell", False), ("generation", True)):
            compiled = jax.jit(once, static_argnums=2)
            state = strategy.init(jax.random.key(4), start, params)
            keys = iter(jax.random.split(jax.random.key(5), repeats + 2))

            def do(run: Any = compiled, keys: Any = keys, judges: bool = judges) -> None:
                nonlocal state
                state = jax.block_until_ready(run(next(keys), state, judges))

            found[f"{name}: {what}"] = milliseconds(do, repeats)
    return found


def steps(env: Any, actions: list[Any], many: int) -> float:
    """Steps per CPU-second; ended episodes begin anew."""
    env.reset(seed=0)
    start = time.process_time()
    for action in actions:
        ended = env.step(action)[2:4]
        if many == 1 and any(ended):
            env.reset()
    return len(actions) * many / (time.process_time() - start)


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, required=True)
    found: dict[str, Any] = generations(parser.parse_args().repeats)
    for name, task in TASKS.items():
        one, many = gymnasium.make(task), gymnasium.make_vec(task, num_envs=64)
        for what, env, count, width in (("one", one, 8000, 1), ("vector", many, 400, 64)):
            actions = [env.action_space.sample() for _ in range(count)]
            found[f"{name}: {what}"] = steps(env, actions, width)
    found["versions"] = {n: version(n) for n in ("evosax", "jax", "gymnasium", "numpy")}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
