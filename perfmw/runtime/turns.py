"""Turns of the event loop: what became ready together counts as having begun together.

Handlers that compute hide their queue. Requests that became ready in one turn of the loop run one after
another, each over before the next begins: never are two under way, and each looks fast. So a request begins
when its turn does, and its slot is free again only when the turn in which it ended is over.
"""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from collections.abc import Callable

from perfmw.resources.concurrency import Ticket

Ended = Callable[[Ticket, float], None]


_LONG = 1.0
"""Seconds after which a turn that is still open is asked for its loop: that may be gone."""


class Turns:
    """The turns of the loop that requests run in. Costs one callback in each turn that has any."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open = False
        self._begun = 0.0
        self._ending: list[tuple[Ended, Ticket, float]] = []

    def begun(self, now: float) -> float:
        """When the present turn began, as far as it had to do with requests."""
        if not self._open or now - self._begun > _LONG:
            self._open_one(now)
        return self._begun

    def _open_one(self, now: float) -> None:
        loop = get_running_loop()  # a call of the kernel before Python 3.12, so once a turn
        if not self._open or loop is not self._loop:
            self._loop, self._open, self._begun = loop, True, now
            loop.call_soon(self._close)

    def at_end(self, ended: Ended, ticket: Ticket, now: float) -> None:
        """Have ``ended`` called with ``ticket`` and ``now`` once the turn is over."""
        if not self._open or now - self._begun > _LONG:
            self._open_one(now)
        self._ending.append((ended, ticket, now))

    def _close(self) -> None:
        self._open = False
        ending, self._ending = self._ending, []
        for ended, ticket, now in ending:
            ended(ticket, now)
