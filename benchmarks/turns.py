"""Programs that take turns on one machine, so that noise meets all of them alike.

Each program adds a line to a file after every epoch. It runs until its next line, is stopped
where it stands (SIGSTOP), and another one goes on. What a turn costs is read from the kernel:
CPU-seconds of the program, of its threads and of the workers it has waited for.
"""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

POLL = 0.02  # seconds between two looks at a program; one epoch takes a thousand times as long
TICK = os.sysconf("SC_CLK_TCK")


class Turn(NamedTuple):
    """What a program took from one line to the next.

    Attributes:
        user: CPU-seconds of the program's own instructions.
        kernel: CPU-seconds of the kernel on its behalf: memory pages, files.
        wall: Seconds, without the time it was stopped.
    """

    user: float
    kernel: float
    wall: float

    @property
    def cpu(self) -> float:
        """CPU-seconds in all, of workers too where they ended within the turn."""
        return self.user + self.kernel


class Spent(NamedTuple):
    """CPU-seconds since a program began."""

    user: float
    kernel: float


class Contender:
    """A program in a process group of its own, stopped except in its turn.

    A context manager; leaving it ends the program, if it has not ended by itself.
    """

    def __init__(
        self, command: Sequence[str], lines: Path, mark: str, log: Path, variables: dict[str, str]
    ) -> None:
        """Names a program; it starts with its first turn.

        Args:
            command: The program and its words.
            lines: The file it writes to.
            mark: Text in those lines that end a turn.
            log: Takes what it prints.
            variables: Added to its environment.
        """
        self.command, self.lines, self.mark, self.log = list(command), lines, mark, log
        self.variables = variables
        self.turns: list[Turn] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._spent = Spent(0.0, 0.0)

    def turn(self) -> None:
        """Run to the next mark; adds to `turns`.

        Raises:
            RuntimeError: The program ended before; the text has the end of what it printed.
        """
        begun = time.perf_counter()
        process = self._woken()
        while self._marks() <= len(self.turns):
            if process.poll() is not None:
                tail = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{' '.join(self.command)} ended too early:\n{tail}")
            time.sleep(POLL)
        os.killpg(process.pid, signal.SIGSTOP)
        wall = time.perf_counter() - begun
        spent = cpu_seconds(process.pid)
        user, kernel = (now - before for now, before in zip(spent, self._spent, strict=True))
        self.turns.append(Turn(user, kernel, wall))
        self._spent = spent

    def finish(self) -> None:
        """Let it do what it does after its last turn, and wait for its end."""
        code = self._woken().wait()
        if code:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{' '.join(self.command)} failed with {code}:\n{tail}")

    def _woken(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            with self.log.open("wb") as out:
                self._process = subprocess.Popen(
                    self.command,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **self.variables},
                    start_new_session=True,
                )
        else:
            os.killpg(self._process.pid, signal.SIGCONT)
        return self._process

    def _marks(self) -> int:
        return self.lines.read_text().count(self.mark) if self.lines.exists() else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def cpu_seconds(process: int) -> Spent:
    """CPU-seconds of a process, all its threads, and its children that it has waited for."""
    text = Path(f"/proc/{process}/stat").read_text()
    fields = text.rpartition(")")[2].split()  # the name before may hold spaces
    user, kernel, user_children, kernel_children = (int(ticks) / TICK for ticks in fields[11:15])
    return Spent(user + user_children, kernel + kernel_children)
