"""Turns of the event loop: what became ready together counts as having begun together.

Handlers that compute hide their queue. Requests that became ready in one turn of the loop run one after
another, each over before the next begins: never are two under way, and each looks fast. So a request begins
when its turn does, a slot is free again only when the turn is over, and how long the turn before held the
loop counts as waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

Ended = Callable[[float, float], None]


class Turns:
    """The turns of the loop that the requests run in. Costs one callback in each turn that has any."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open = False
        self._begun = self._ended = self._busy = 0.0
        self._ending: list[Ended] = []
        self.lag = 0.0
        """Seconds that what came in this turn has been waiting for it, on average."""

    def begun(self, now: float) -> float:
        """When the present turn began, as far as it had to do with requests."""
        loop = asyncio.get_running_loop()
        if not self._open or loop is not self._loop:
            self._loop, self._open, self._begun = loop, True, now
            self.lag = max(0.0, self._busy / 2.0 - (now - self._ended))
            loop.call_soon(self._close)
        return self._begun

    def at_end(self, now: float, ended: Ended) -> None:
        """Have ``ended(begin, end)`` called once the turn is over."""
        self.begun(now)
        self._ending.append(ended)

    def _close(self) -> None:
        self._open = False
        self._ended = perf_counter()
        self._busy = self._ended - self._begun
        ending, self._ending = self._ending, []
        for ended in ending:
            ended(self._begun, self._ended)
