"""Where the time of a step goes: one clock that is always on exactly one name."""

import time
from collections import defaultdict

import torch


class Clock:
    """Adds wall seconds to the name that is current.

    On CUDA, kernels run behind the program: there only every 20th step is timed, with the
    device waited for at each change of name.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.cuda = device is not None and device.type == "cuda"
        self.seconds: dict[str, float] = defaultdict(float)
        self.timed = 0
        self._name: str | None = None
        self._since = 0.0
        self._on = True

    def step(self, number: int) -> None:
        """A step begins: from now on it is timed, if it is one of those that are."""
        self.stop()
        self._on = not self.cuda or number % 20 == 0
        self.timed += self._on

    def to(self, name: str) -> None:
        """From now on time counts for `name`."""
        if self._on:
            self._close()
            self._name = name

    def stop(self) -> None:
        """From now on time counts for nothing."""
        if self._on:
            self._close()
            self._name = None

    def _close(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._name is not None:
            self.seconds[self._name] += now - self._since
        self._since = now

    def shares(self) -> dict[str, float]:
        """Each name's share of the time since the last call, in 0..1; then starts again."""
        total = sum(self.seconds.values())
        shares = {n: s / total for n, s in self.seconds.items()} if total else {}
        self.seconds.clear()
        self.timed = 0
        return shares
