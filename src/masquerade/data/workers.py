"""Work on many files spread over processes that never import torch.

Not `multiprocessing`: its fresh processes import the user's script again, its forks inherit the
threads of torch. These are plain Python processes fed through pipes. They end when their parent
does, however it does, and one that crashes on a hostile file costs that file, not the run.
"""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO

from masquerade.core.cores import cores

FEW = 64  # below this many items, starting processes costs more than it saves

Job = Callable[..., list[Any]]
RAISED = (
    *(ArithmeticError, AttributeError, LookupError, MemoryError),
    *(OSError, RuntimeError, TypeError, ValueError, AssertionError),
)


def spread(
    job: Job,
    common: Any,
    items: Sequence[Any],
    *,
    chunk: int = 32,
    lost: Callable[[Any], Any] | None = None,
) -> Iterator[list[tuple[int, Any]]]:
    """Results of `job(common, some items)` for all items, chunk by chunk as they are done.

    Args:
        job: A function of a module (not of `__main__`), one result per item.
        common: First argument of every call; pickled.
        items: What to work on; pickled.
        chunk: Items per call.
        lost: The result of an item on which a process died; without it that is an error.

    Yields:
        Pairs (place in `items`, result).
    """
    starts = range(0, len(items), chunk)
    processes = min(cores(), len(starts))
    if processes < 2 or len(items) < FEW:
        for start in starts:
            yield list(enumerate(job(common, items[start : start + chunk]), start))
        return
    idle: SimpleQueue[Process] = SimpleQueue()
    team = [Process() for _ in range(processes)]
    for process in team:
        idle.put(process)

    def work(start: int) -> list[tuple[int, Any]]:
        process = idle.get()
        try:
            return list(
                enumerate(process.careful(job, common, items[start : start + chunk], lost), start)
            )
        finally:
            idle.put(process)

    with ThreadPoolExecutor(processes) as threads:
        futures = [threads.submit(work, start) for start in starts]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
            for process in team:
                process.end()


class Process:
    """One Python process that runs jobs sent to it; started when first needed."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._ended = False

    def careful(
        self, job: Job, common: Any, items: Sequence[Any], lost: Callable[[Any], Any] | None
    ) -> list[Any]:
        """Results of a chunk; if the process dies of it, of each item in a process of its own."""
        try:
            return self.call(job, common, items)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            if self._ended:
                return []
            self._stop()
        if len(items) > 1:
            return [r for item in items for r in self.careful(job, common, [item], lost)]
        if lost is None:
            raise RuntimeError(f"a worker process died on {items[0]!r}") from None
        return [lost(items[0])]

    def call(self, job: Job, common: Any, items: Sequence[Any]) -> list[Any]:
        """Results of a chunk."""
        if self._child is None:
            self._child = started()
        assert self._child.stdin and self._child.stdout
        pickle.dump((job, common, items), self._child.stdin)
        self._child.stdin.flush()
        results, error = pickle.load(self._child.stdout)  # our own process wrote it
        if error is not None:
            raise error
        found: list[Any] = results
        return found

    def end(self) -> None:
        """Ends the process for good, whatever it is doing."""
        self._ended = True
        self._stop()

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None and not pipe.closed:
                    with_broken_pipe_closed(pipe)


def with_broken_pipe_closed(pipe: Any) -> None:
    """Closes a pipe whose other end is gone; what was not sent is not missed."""
    try:
        pipe.close()
    except BrokenPipeError:
        return


def started() -> "subprocess.Popen[bytes]":
    """A process that answers jobs; it finds modules where this one does."""
    paths = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
    return subprocess.Popen(
        [sys.executable, "-P", "-c", "from masquerade.data.workers import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )


def serve() -> None:
    """Answers jobs from stdin until it closes; what a job prints goes to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        try:
            while True:
                answer(sys.stdin.buffer, answers)
        except (EOFError, BrokenPipeError):
            return  # the parent is gone


def answer(jobs: BinaryIO, answers: BinaryIO) -> None:
    """Runs one job; its error travels back to be raised in the parent."""
    job, common, items = pickle.load(jobs)  # the parent wrote it
    results: list[Any] = []
    error: BaseException | None = None
    try:
        results = job(common, items)
    except RAISED as raised:
        error = raised
    pickle.dump((results, error), answers)
    answers.flush()
