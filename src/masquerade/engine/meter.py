"""What a run tells while it runs: metrics.jsonl, a progress line, and a stop when a loss is nan."""

import json
import math
import sys
import time
from types import TracebackType
from typing import IO, Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from masquerade.core.errors import Diverged
from masquerade.core.rundir import RunDir
from masquerade.engine import gather
from masquerade.engine.task import Progress

METRICS = "metrics.jsonl"


@runtime_checkable
class Writer(Protocol):
    """What takes scalars besides metrics.jsonl; TensorBoard's SummaryWriter is one."""

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Take one number."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


class Meter:
    """Keeps and shows the numbers of a run; on other ranks than 0 it only checks them."""

    def __init__(self, run: RunDir, progress: Progress, lead: bool, quiet: bool = False) -> None:
        self.run = run
        self.lead = lead
        self.finite: dict[str, float] = {}
        self.cpu_before = cut_back(run, progress.step) if lead else 0.0
        self._cpu = time.process_time()
        self._file: IO[str] | None = run.file(METRICS).open("a", encoding="utf-8") if lead else None
        self._writer = tensorboard(run, progress.step) if lead else None
        self.display = Display(progress, shown=lead and not quiet)

    def cpu_seconds(self) -> float:
        """CPU-seconds that the run has cost in all processes, cut and resumed parts included.

        All processes must ask.
        """
        return self.cpu_before + sum(gather.everyone(time.process_time() - self._cpu))

    def write(self, progress: Progress, values: dict[str, float | str]) -> None:
        """Add one line to metrics.jsonl; all processes must ask, the first writes.

        The line of step 0 says how many steps there will be.
        """
        spent = self.cpu_seconds()
        if self._file is None:
            return
        row = {"step": progress.step, "epoch": progress.epoch, **values}
        if progress.step == 0:
            row["steps"] = progress.steps
        row["cpu_seconds"] = round(spent, 3)
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        for name, value in values.items():
            if self._writer and not isinstance(value, str):
                self._writer.add_scalar(name, value, progress.step)

    def check(self, player: str, loss: float, lr: float, progress: Progress) -> None:
        """Remember a finite loss; raises `Diverged` for any other."""
        if math.isfinite(loss):
            self.finite[player] = loss
            return
        last = f"; last finite {self.finite[player]:.4g}" if player in self.finite else ""
        raise Diverged(
            f"the {player}'s loss became {loss} at step {progress.step} (epoch {progress.epoch})"
            f"{last}. Its learning rate is {lr:.4g}: lower optimizers.{player}.lr or lengthen "
            "the warm-up. The last checkpoint is from before"
        )

    def check_all(
        self, terms: dict[str, float], rates: dict[str, float], progress: Progress
    ) -> None:
        """`check` the loss of every player that a round names one of."""
        for player, rate in rates.items():
            if f"{player}/loss" in terms:
                self.check(player, terms[f"{player}/loss"], rate, progress)

    def __enter__(self) -> "Meter":
        self.display.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.display.__exit__(kind, error, trace)
        if self._file:
            self._file.close()
        if self._writer:
            self._writer.close()


class Display:
    """A progress line with the time left on a terminal, plain lines anywhere else."""

    def __init__(self, progress: Progress, shown: bool) -> None:
        self.shown = shown
        self.console = Console(stderr=True)
        self._bar: Bar | None = None
        self._started = time.monotonic()
        self._first = progress.step
        self._spoken = 0.0
        if shown and self.console.is_terminal:
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total} steps"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self._job = self._bar.add_task("", total=progress.steps, completed=progress.step)

    def move(self, done: int, steps: int, text: str) -> None:
        """Show how far the run is."""
        if self._bar:
            self._bar.update(self._job, completed=done, description=text)
        elif self.shown and time.monotonic() - self._spoken > 30:
            self._spoken = time.monotonic()
            spent = self._spoken - self._started
            left = spent / max(done - self._first, 1) * (steps - done)
            self.say(f"step {done}/{steps}  {text}  about {duration(left)} left")

    def say(self, text: str) -> None:
        """One line above the progress line."""
        if self.shown:
            (self._bar.console if self._bar else self.console).print(
                text, highlight=False, markup=False, soft_wrap=True
            )

    def __enter__(self) -> "Display":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()
        sys.stderr.flush()


def duration(seconds: float) -> str:
    """A time span for people: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def cut_back(run: RunDir, step: int) -> float:
    """Drop the lines of metrics.jsonl from `step` on; returns the CPU-seconds the rest has cost."""
    kept = [row for row in run.lines(METRICS) if row["step"] < step]
    run.write_text(METRICS, "".join(json.dumps(row) + "\n" for row in kept))
    return float(kept[-1]["cpu_seconds"]) if kept else 0.0


def tensorboard(run: RunDir, step: int) -> Writer | None:
    """A TensorBoard writer where the package is installed, under `logs/` of the run.

    What an earlier part of the run has written from `step` on is not shown any more.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    writer: Writer = SummaryWriter(run.path / "logs", purge_step=step or None)
    return writer
