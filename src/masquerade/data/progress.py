"""How far a long preparation is: a bar on a terminal, a few plain lines elsewhere, on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 10.0  # seconds between plain lines
PATIENCE = 5.0  # seconds of silence that need no explanation


@contextmanager
def shown(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Gives a function to call with the number of items just done.

    Args:
        what: The work, as in "reading 5,000 images".
        total: Items in all.
    """
    if sys.stderr.isatty():
        from rich.console import Console  # heavy: only once there is something to show
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = "{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.advance(task, count)
        return
    lines = Lines(what, total)
    yield lines.advance


class Lines:
    """Plain progress: nothing for short work, a line every ten seconds for long work."""

    def __init__(self, what: str, total: int) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self.start = time.monotonic()
        self.due = self.start + PATIENCE

    def advance(self, count: int) -> None:
        """Counts, and prints if a line is due."""
        self.done += count
        now = time.monotonic()
        if now < self.due or self.done == self.total:
            return
        self.due = now + EVERY
        left = (now - self.start) / self.done * (self.total - self.done)
        print(
            f"{self.what}: {self.done:,} of {self.total:,}, about {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )
