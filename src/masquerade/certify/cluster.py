"""Units of training shared among processes, on this machine or on a cluster of Ray.

The only file that imports Ray; it comes with the extra `cluster`. Without RAY_ADDRESS in the
environment processes of this machine do the work; with it those of that cluster, on whose
machines masquerade must be installed, too.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from masquerade.certify.school import Unit, Weights, learn
from masquerade.core.errors import MissingData


def shared(units: Sequence[Unit], workers: int) -> Iterator[tuple[int, list[Weights]]]:
    """Train units, so many at a time; yields the place of each and its weights as it ends.

    Raises:
        MissingData: Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise MissingData(
            f"workers={workers} needs Ray, which is not installed: "
            "pip install 'masquerade[cluster]'"
        ) from None
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or it warns of its future
    quiet = {"configure_logging": False, "log_to_driver": False}
    if "RAY_ADDRESS" in os.environ:
        ray.init(**quiet)
    else:
        ray.init(num_cpus=workers, include_dashboard=False, **quiet)
    try:
        gpus = 1 if units[0].machine.accelerator == "cuda" else 0
        remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=2)(learn)
        waiting = list(enumerate(units))[::-1]
        running: dict[Any, int] = {}
        while waiting or running:
            while waiting and len(running) < workers:
                place, unit = waiting.pop()
                running[remote.remote(unit)] = place
            (ended, *_), _ = ray.wait(list(running))
            yield running.pop(ended), ray.get(ended)
    finally:
        ray.shutdown()
