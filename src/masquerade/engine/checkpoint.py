"""The state of a run on disk: weights, buffers, optimizers and one integer.

Randomness is a function of the step, so nothing else is needed to go on bit for bit.
"""

import errno
import pickle
import shutil
import time
from typing import Any, NamedTuple

import torch

from masquerade.core.errors import CannotResume, Diverged, MasqueradeError
from masquerade.core.rundir import RunDir

NAME = "checkpoint.pt"


class State(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        step: Steps done.
        task: The task's state dict, persistent buffers included.
        optimizers: Each player's optimizer state dict.
    """

    step: int
    task: dict[str, Any]
    optimizers: dict[str, Any]


class Checkpoints:
    """Writes a run's checkpoint often enough, and seldom enough to cost under 2 % of the time.

    Attributes:
        seconds: The least time between two checkpoints; it grows to 60 times what one costs.
    """

    def __init__(self, run: RunDir, seconds: float) -> None:
        self.run = run
        self.seconds = seconds
        self.spent = 0.0
        self._cost = 0.0
        self._begun = self._last = time.monotonic()

    def share(self) -> float:
        """The share of the time since the beginning that writing took, in 0..1."""
        return self.spent / max(time.monotonic() - self._begun, 1e-9)

    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._last >= max(self.seconds, 60 * self._cost)

    def save(self, state: State) -> None:
        """Write a checkpoint whole or not at all.

        Raises:
            Diverged: A weight is nan or infinite; the last checkpoint is untouched.
            MasqueradeError: The disk is full; the last checkpoint is untouched.
        """
        begun = time.monotonic()
        broken = [name for name, t in state.task.items() if not t.isfinite().all()]
        if broken:
            raise Diverged(
                f"{broken[0]} (and {len(broken) - 1} more) became nan or infinite by step "
                f"{state.step}, though no loss did. Lower the learning rates or lengthen the "
                "warm-up. The last checkpoint is from before"
            )
        try:
            self.run.write(NAME, lambda out: torch.save(state._asdict(), out))
        except (OSError, RuntimeError) as error:
            if not full(error, self.run):
                raise
            raise MasqueradeError(
                f"the disk of {self.run.path} is full: the checkpoint of step {state.step} was not "
                "written, the last good one is untouched. Free some space and repeat the command "
                "to go on from there"
            ) from error
        self._last = time.monotonic()
        self._cost = self._last - begun
        self.spent += self._cost


def full(error: BaseException, run: RunDir) -> bool:
    """Whether an error while writing came from a full disk (torch hides the errno)."""
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        at = at.__cause__ or at.__context__
    codes = {e.errno for e in chain if isinstance(e, OSError)}
    return bool(codes & {errno.ENOSPC, errno.EDQUOT}) or shutil.disk_usage(run.path).free < 2**20


def load(run: RunDir) -> State | None:
    """The last checkpoint of a run, None where there is none yet; its tensors lie on the CPU.

    Raises:
        CannotResume: The file is damaged.
    """
    place = run.path / NAME
    if not place.exists():
        return None
    try:
        return State(**torch.load(place, map_location="cpu", weights_only=True))
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError) as error:
        raise CannotResume(
            f"{place} cannot be read ({error}). Delete it to start this run anew"
        ) from error
