"""The event loop as a resource: one thread, of which there is one core and no more."""

from __future__ import annotations

import asyncio
import time
from time import perf_counter

from perfmw.contracts.resources import PoolSample


class EventLoopPool:
    """The share of a core that the loop's thread uses, and how long what became ready waited for its turn.

    The loop is that of who samples; ``wait_seconds`` is that of one callback for each sample, known with the
    next. ``saturation`` is the share of a second that it waited.
    """

    name = "event-loop"

    def __init__(self) -> None:
        self._at: float | None = None
        self._busy = 0.0
        self._waited: float | None = None

    def sample(self, now: float) -> PoolSample:
        busy, at = time.thread_time(), perf_counter()
        used = 0.0
        if self._at is not None and at > self._at and busy >= self._busy:
            used = (busy - self._busy) / (at - self._at)
        self._at, self._busy = at, busy
        waited, self._waited = self._waited, None
        self._ask(at)
        return PoolSample(
            name=self.name,
            unit="cores",
            capacity=1.0,
            used=used,
            utilization=min(1.0, used),
            saturation=None if waited is None else min(1.0, waited),
            wait_seconds=waited,
            sampled_at=now,
        )

    def _ask(self, at: float) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        loop.call_soon(self._turn, at)

    def _turn(self, asked: float) -> None:
        self._waited = perf_counter() - asked
