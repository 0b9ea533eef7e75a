"""One process or several: how they start, how they hear a signal, how their end reaches the user.

Processes on one machine end together: an error of one is raised in the parent as what it is, a
signal is passed on to all, and none outlives the parent.
"""

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from multiprocessing.queues import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from lightning_fabric import Fabric
from torch import nn
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from masquerade.core.errors import Interrupted, MasqueradeError
from masquerade.engine.runtime import Runtime
from masquerade.engine.signals import heard

Work = Callable[..., Any]


class Failure(NamedTuple):
    """An exception on its way to another process; pickle loses those with two arguments."""

    kind: type[Exception]
    values: tuple[Any, ...]
    state: dict[str, Any]

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """Pack an exception."""
        return cls(type(error), error.args, vars(error))

    def error(self) -> Exception:
        """The exception again."""
        error = self.kind.__new__(self.kind, *self.values)
        vars(error).update(self.state)
        return error


def launched(runtime: Runtime, work: Work, *values: Any, two_players: bool) -> Any:
    """Run `work(fabric, *values)` in every process; returns what rank 0 returned.

    Args:
        runtime: Resolved settings.
        work: A function that can be pickled.
        values: Its arguments, which can be pickled.
        two_players: Whether some parameters get no gradient in some rounds.

    Raises:
        Interrupted: A signal came.
        MasqueradeError: What `work` raised, or that a process was killed.
        ValueError: What `work` raised.
    """
    fabric = runtime.fabric(two_players)
    if runtime.devices == 1:
        return work(fabric, *values)
    # Rounds without unused parameters are no news: DDP would tell them once a process.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # we say it
    failures: SimpleQueue[Failure] = multiprocessing.get_context("spawn").SimpleQueue()
    with passed_on() as asked:
        try:
            result = fabric.launch(partial(member, failures=failures, work=work, values=values))
        except (ProcessRaisedException, ProcessExitedException) as error:
            if not failures.empty():  # the first; those after it are only what it led to
                raise failures.get().error() from None
            if asked:
                text = "stopped before the first step. Repeat the command to begin"
                raise Interrupted(text, asked[0]) from None
            if isinstance(error, ProcessRaisedException) or error.exit_code >= 0:
                raise
            raise MasqueradeError(
                f"{error} (one of {runtime.devices}), often for want of memory. The last "
                "checkpoint is untouched: repeat the command to go on from there"
            ) from None
    if not failures.empty():
        raise failures.get().error()
    return result


def member(
    fabric: Fabric, failures: "SimpleQueue[Failure]", work: Work, values: tuple[Any, ...]
) -> Any:
    """What one of several processes does."""
    Thread(target=follow_parent, daemon=True).start()
    try:
        return work(fabric, *apart(values))
    except (MasqueradeError, ValueError) as error:
        failures.put(Failure.of(error))
        return None


def apart(value: Any) -> Any:
    """The same with networks of this process's own, wherever they lie in tuples.

    What a process is sent lies in memory that it shares with the others: each would train all.
    """
    if isinstance(value, nn.Module):
        return deepcopy(value)
    if isinstance(value, tuple):
        parts = [apart(v) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


def follow_parent() -> None:
    """End this process with its parent, whose lock on the run's folder ends then, too."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def passed_on() -> Iterator[list[int]]:
    """Passes the first Ctrl-C or SIGTERM on to the processes started within.

    The second acts as always, and none of these processes outlives the context.

    Yields:
        The numbers of the signals that came.
    """
    asked: list[int] = []
    others = {child.pid for child in multiprocessing.active_children()}

    def wish(number: int) -> bool:
        asked.append(number)
        for pid in started():
            os.kill(pid, number)
        return True

    def started() -> list[int]:
        pids = [child.pid for child in multiprocessing.active_children()]
        return [pid for pid in pids if pid is not None and pid not in others]

    try:
        with heard(wish):
            yield asked
    finally:
        for pid in started():
            os.kill(pid, signal.SIGKILL)
