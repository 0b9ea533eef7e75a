"""Ctrl-C and SIGTERM as wishes: somebody is told, and what runs decides where it stops."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def heard(wish: Callable[[int], bool]) -> Iterator[None]:
    """Tells `wish` the number of a signal, here and until the context ends.

    Where `wish` returns True, the next signal of that kind acts as it did before. In another
    thread than the main one nothing is heard: signals belong to whoever is there.
    """
    old: dict[signal.Signals, Any] = {}

    def told(number: int, frame: object) -> None:
        if wish(number):
            signal.signal(number, old[signal.Signals(number)])

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            old[number] = signal.signal(number, told)
    except ValueError:  # not the main thread
        old.clear()
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
