"""Alerts on their way to a channel: a bounded queue that is kept over a restart, and tried again."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import msgspec

from perfmw.contracts import Alert, AlertChannel
from perfmw.monitoring.degradation import RANK

log = logging.getLogger("perfmw.alerts")

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 300.0
ATTEMPTS: Final = 12
"""About half an hour of trying."""
LONGEST_SEND: Final = 30.0
_LEAD_SECONDS: Final = 5.0


class Keeps(Protocol):
    """Where what waits is kept; see ``MonitoringStore``."""

    def wait(self, channel: str, body: bytes, most: int) -> int: ...
    def waiting(self, channel: str) -> list[tuple[int, bytes]]: ...
    def told(self, number: int) -> None: ...


@dataclass(slots=True)
class ChannelInfo:
    """What became of a channel's alerts: ``sent``, given up (``failed``), ``dropped`` for want of room."""

    name: str
    sent: int
    failed: int
    dropped: int
    waiting: int
    healthy: bool


@dataclass(slots=True)
class _Item:
    alert: Alert
    number: int = 0


class Outbox:
    """One channel's queue. ``offer`` never waits.

    Alerts are sent one by one in their order. A later state of an incident takes the place of an earlier one
    that still waits; its end is told apart. What fails is tried again after pauses that double; an error
    whose ``retry`` is False, and the last of ``attempts``, give it up. Beyond ``room`` the oldest go.

    :param leads: nothing is sent, nor taken up from before, until it says so: of several workers that share
        what is kept, one tells.
    :param least: alerts below this severity are not sent, except the end of one that was.
    """

    def __init__(
        self,
        channel: AlertChannel,
        *,
        least: str = "low",
        keeps: Keeps | None = None,
        room: int = 500,
        first_pause: float = FIRST_PAUSE,
        attempts: int = ATTEMPTS,
        longest_send: float = LONGEST_SEND,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self.channel = channel
        self.sent = self.failed = self.dropped = 0
        self.healthy = True
        self._least = least
        self.keeps = keeps
        self._room = room
        self._first_pause = first_pause
        self._attempts = attempts
        self._longest_send = longest_send
        self._leads = leads
        self._waiting: deque[_Item] = deque()
        self._known: dict[str, None] = {}
        self._at_work = False
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()

    def offer(self, alert: Alert) -> None:
        """Queue an alert, if it is severe enough for this channel."""
        if not self._wanted(alert):
            return
        if not self._replaced(alert):
            if len(self._waiting) >= self._room:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(_Item(alert))
        self._idle.clear()
        self._wake.set()

    def _wanted(self, alert: Alert) -> bool:
        if alert.resolved_at is not None:
            return self._known.pop(alert.key, False) is None
        if alert.key in self._known:
            return True  # it was told of it, so it is told of how it goes on
        if RANK[alert.severity] < RANK[self._least]:
            return False
        self._known[alert.key] = None
        while len(self._known) > 2 * self._room:
            del self._known[next(iter(self._known))]
        return True

    def _replaced(self, alert: Alert) -> bool:
        # the first of the queue may be on its way
        for place in range(len(self._waiting) - 1, int(self._at_work) - 1, -1):
            item = self._waiting[place]
            if item.alert.key == alert.key and item.alert.resolved_at is None:
                if alert.resolved_at is None:
                    item.alert = alert
                    return True
                return False
        return False

    async def run(self) -> None:
        """Send what is offered, and what was left over from before, until cancelled."""
        early, self._wake, self._idle = self._idle, asyncio.Event(), asyncio.Event()
        early.set()  # a flush that began before this waits for the new one
        while not self._leads():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(_LEAD_SECONDS)
        await self._take_up()
        while True:
            self._wake.clear()
            while self._waiting:
                await self._next()
            self._idle.set()
            await self._wake.wait()

    async def _take_up(self) -> None:
        if self.keeps is None:
            return
        for number, body in reversed(await asyncio.to_thread(self.keeps.waiting, self.channel.name)):
            try:
                alert = Alert(**msgspec.json.decode(body))
            except (TypeError, msgspec.DecodeError):
                await asyncio.to_thread(self.keeps.told, number)
                continue
            if alert.resolved_at is None:
                self._known[alert.key] = None
            self._waiting.appendleft(_Item(alert, number))

    async def _next(self) -> None:
        item = self._waiting[0]
        self._at_work = True
        try:
            await self._deliver(item)
        finally:
            self._at_work = False
        if self._waiting and self._waiting[0] is item:
            self._waiting.popleft()
        await self._forget(item)

    async def _deliver(self, item: _Item) -> None:
        pause = self._first_pause
        for attempt in range(1, self._attempts + 1):
            try:
                async with asyncio.timeout(self._longest_send):
                    await self.channel.send(item.alert)
            except Exception as error:
                again = getattr(error, "retry", True) and attempt < self._attempts
                self._complain(error, again)
                if not again:
                    self.failed += 1
                    return
                await self._remember(item)
                await asyncio.sleep(self._pause(error, pause))
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self.sent += 1
                self.healthy = True
                return

    @staticmethod
    def _pause(error: Exception, pause: float) -> float:
        asked = getattr(error, "after", None)
        spread = pause * random.uniform(0.75, 1.25)  # several workers need not come at once
        return min(max(spread, asked), LONGEST_PAUSE) if isinstance(asked, int | float) else spread

    def _complain(self, error: Exception, again: bool) -> None:
        if self.healthy or not again:
            then = "it is tried again" if again else "the alert is given up"
            log.warning("channel %r did not take an alert, %s: %r", self.channel.name, then, error)
        self.healthy = False

    async def _remember(self, item: _Item) -> None:
        if self.keeps is not None and not item.number:
            body = msgspec.json.encode(asdict(item.alert))
            item.number = await asyncio.to_thread(self.keeps.wait, self.channel.name, body, self._room)

    async def _forget(self, item: _Item) -> None:
        if self.keeps is not None and item.number:
            await asyncio.to_thread(self.keeps.told, item.number)

    async def flush(self, seconds: float) -> int:
        """Wait until nothing waits any more, for at most ``seconds``; how many still do."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._waiting:
                    self._idle.clear()
                    await self._idle.wait()
        return len(self._waiting)

    async def close(self) -> None:
        """Keep what still waits, once ``run`` has ended, and close the channel if it can be closed."""
        for item in list(self._waiting):
            await self._remember(item)
        close: Callable[[], Coroutine[Any, Any, None]] | None = getattr(self.channel, "aclose", None)
        if close is not None:
            try:
                await close()
            except Exception as error:
                log.warning("channel %r did not close: %r", self.channel.name, error)

    def info(self) -> ChannelInfo:
        return ChannelInfo(
            self.channel.name, self.sent, self.failed, self.dropped, len(self._waiting), self.healthy
        )
