"""Sending without ever holding anybody up: one snapshot under way, the newest one waiting, and retries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

from perfmw.contracts.snapshot import RuntimeSnapshot
from perfmw.exporters.outage import Outage

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
ATTEMPTS: Final = 5


class Pusher:
    """Calls ``send`` in a thread for each snapshot; it raises OSError for what may be tried again.

    Figures are totals since the start, so that a newer snapshot makes an older one needless: at most one
    waits while another is being sent, and a waiting one that is overtaken is counted in ``dropped``. A
    failure is tried again after 1, 2, 4 … seconds, with jitter, unless a newer snapshot has come.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[RuntimeSnapshot], None],
        first_pause: float = FIRST_PAUSE,
        outage: Outage | None = None,
    ) -> None:
        self._outage = outage or Outage(name)
        self._send = send
        self._first_pause = first_pause
        self._waiting: RuntimeSnapshot | None = None
        self._busy = False
        self._closed = False
        self.sent = self.dropped = self.failures = 0

    async def push(self, snapshot: RuntimeSnapshot) -> None:
        """Send, or wait to be sent by the call that is sending."""
        if self._waiting is not None:
            self.dropped += 1
        self._waiting = snapshot
        if self._busy or self._closed:
            return
        self._busy = True
        try:
            while self._waiting is not None and not self._closed:
                snapshot, self._waiting = self._waiting, None
                await self._deliver(snapshot)
        finally:
            self._busy = False

    async def _deliver(self, snapshot: RuntimeSnapshot) -> None:
        for attempt in range(ATTEMPTS):
            try:
                await asyncio.to_thread(self._send, snapshot)
            except OSError as error:
                self.failures += 1
                self._outage.failed("metrics", error)
            else:
                self.sent += 1
                self._outage.sent("metrics")
                return
            pause = min(LONGEST_PAUSE, self._first_pause * 2**attempt) * random.uniform(0.5, 1.0)
            await asyncio.sleep(pause)
            if self._waiting is not None or self._closed:
                break
        self.dropped += 1

    def close(self) -> None:
        """Send nothing more."""
        self._closed = True
        self._waiting = None
