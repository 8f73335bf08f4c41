"""How many wait for a connection, and how long it took those who did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from time import perf_counter


class Waits:
    """Counts waits. Threads and tasks may use it at once; only those who have to wait pay for it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.waiting = 0
        """At the moment."""
        self.ended = 0
        """Waits that are over, since the start."""
        self.seconds = 0.0
        """That these took together."""
        self.gave_up = 0
        """Of them, how many ended without a connection."""

    @contextmanager
    def one(self) -> Iterator[None]:
        """Around one wait; whatever is raised within ends it without a connection."""
        with self._lock:
            self.waiting += 1
        begun, gave_up = perf_counter(), 1
        try:
            yield
            gave_up = 0
        finally:
            with self._lock:
                self.waiting -= 1
                self.ended += 1
                self.seconds += perf_counter() - begun
                self.gave_up += gave_up
