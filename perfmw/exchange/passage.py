"""The short way through for a URL whose responses can not be stored: from scope to app with next to no work.

Most of what an app serves can not be cached, so what perfmw adds to such a request is what it costs. A
``Passage`` is all there is of one: no look-up, no judging where the response looks as it did a moment ago,
one measurement. If the response could be stored after all, a full exchange takes over before it leaves.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from perfmw.asgi.cork import Cycle, cycle_of, send_both
from perfmw.asgi.types import REFUSED, HeaderList, Message, Receive, Scope, Send
from perfmw.cache.memo import close_memo
from perfmw.cache.tagging import Collector
from perfmw.exchange.exchange import Exchange
from perfmw.exchange.passing import Held, is_sized
from perfmw.exchange.refusals import REFUSALS
from perfmw.http import status as cache_status
from perfmw.http.messages import Header

if TYPE_CHECKING:
    from perfmw.exchange.cache import HttpCache


class _Nothing(tuple[()]):
    """To be awaited where there is nothing to wait for: an empty iterator, without a frame of its own."""

    __slots__ = ()
    __await__: Any = tuple.__iter__


WAITS: Final = _Nothing()
_BODY = "http.response.body"
_START = "http.response.start"
_PATHSEND = "http.response.pathsend"

_passed: dict[str, Header] = {}
"""Cache-Status of what held URLs answer, by reason; there are as many as perfmw has reasons."""


def _pass(reason: str) -> Header:
    field = _passed[reason] = (b"cache-status", cache_status.forwarded("uri-miss", detail=reason))
    return field


def unusual(seconds: float) -> None:
    """A passage's ``tally`` as long as its response is not known to be of the usual kind."""


class Passage(Collector):
    """One plain GET of a held URL. Made by ``PerfMiddleware`` without ``__init__``, which would cost a call.

    ``started`` and ``finished_at`` (of the last byte, 0.0 until then) are of ``perf_counter``, ``epoch`` is
    the tags' when the request began. ``tally`` counts its seconds, once the response proved to be of the
    usual kind. ``exchange`` is who took over, since the response may be stored. ``begun`` is a start that
    waits for the body, which leaves with it through ``cycle``.
    """

    __slots__ = (
        "begun",
        "cache",
        "cycle",
        "disconnected",
        "epoch",
        "exchange",
        "finished_at",
        "held",
        "reason",
        "receive_message",
        "scope",
        "send_message",
        "started",
        "status",
        "tally",
    )

    begun: Message | None
    cache: HttpCache
    cycle: Cycle
    disconnected: bool
    epoch: int
    exchange: Exchange | None
    finished_at: float
    held: Held
    reason: str
    receive_message: Receive
    scope: Scope
    send_message: Send
    started: float
    status: int
    tally: Callable[[float], None]

    @property
    def runtime(self) -> Any:
        """The Runtime at work."""
        return self.cache.runtime

    @property
    def name(self) -> str:
        """The route's name; empty as long as it is not known."""
        return self.held.name if self.exchange is None else self.exchange.name

    @property
    def cache_status(self) -> str:
        """The Cache-Status that the response got, where no exchange took over."""
        return self.held.field[1].decode("latin-1") if self.reason == self.held.reason else ""

    def route(self) -> str:
        """The name of the route that answered, as far as the app has told by now."""
        return self.cache.routes.name(self.scope, self.scope["method"], self.status)

    # ---- the two callables handed to the app

    async def receive(self) -> Message:
        message = await self.receive_message()
        if message["type"] == "http.disconnect" and not self.finished_at:
            self.disconnected = True
            if self.exchange is not None:
                self.exchange.disconnected = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind == _BODY:
            if not message.get("more_body", False):
                self.finished_at = perf_counter()
            begun = self.begun
            if begun is not None:
                self.begun, held, send = None, self.held, self.send_message
                if begun is not held.start:
                    return send_both(self.cycle, send, begun, message)
                if held.head is None or not held.head.begins(self.cycle):
                    return send_both(self.cycle, send, begun, message, held.learn if held.tries else None)
        elif kind == _START:
            held = self.held
            status = self.status = message["status"]
            headers = message.get("headers", ())
            if headers != held.seen:
                return self._begin(message, [*headers])
            if status == held.status and held.count is not None:
                self.tally = held.count
            self.reason = held.reason
            start = held.start
            if start is not None and status == start["status"] and len(message) == len(start):
                cycle = cycle_of(self.send_message)
                if cycle is not None:
                    self.begun, self.cycle = start, cycle
                    return WAITS
            return self.send_message({**message, "headers": [*headers, held.field]})
        elif kind == _PATHSEND:
            self.finished_at = perf_counter()
            if self.begun is not None:
                return self._begun_before(message)
        return self.send_message(message)

    def _started(self, message: Message, sized: bool) -> Awaitable[None]:
        """A start may wait for the first of the body: no server has to send it before (ASGI 3.0)."""
        if sized and (cycle := cycle_of(self.send_message)) is not None:
            self.begun, self.cycle = message, cycle
            return WAITS
        return self.send_message(message)

    async def _begun_before(self, message: Message) -> None:
        """A message that is no body: the start that waits goes first."""
        assert self.begun is not None
        begun, self.begun = self.begun, None
        await self.send_message(begun)
        await self.send_message(message)

    def _begin(self, message: Message, headers: HeaderList) -> Awaitable[None]:
        if REFUSED in message:
            self.reason = message[REFUSED]
            return self.send_message({**message, "headers": [*headers, REFUSALS[self.reason]]})
        held = self.held
        verdict = self.cache.glance(headers, held.rule, held)
        if verdict is None:
            return self._hand_over(message)
        self.reason = reason = verdict.reason
        field = _passed.get(reason) or _pass(reason)
        if held.seen is None and held.reason == reason:
            held.remember(self.status, headers, field)
        return self._started({**message, "headers": [*headers, field]}, is_sized(headers))

    def _hand_over(self, message: Message) -> Awaitable[None]:
        """This response has to be judged: let a full exchange do that, and see to the rest of it."""
        exchange = self.exchange = Exchange(
            self.cache,
            self.scope,
            self.receive_message,
            self.send_message,
            self.started,
            time.time() - (perf_counter() - self.started),
            self.held.key,
            self.held,
        )
        self.tags = getattr(self, "tags", None) or set()
        exchange.tags, exchange.runtime, exchange.epoch = self.tags, self.runtime, self.epoch
        exchange.disconnected = self.disconnected
        self.send_message = exchange.send
        return exchange.send(message)

    # ---- the end

    async def finish(self) -> float:
        """The app has returned: count the request, and give the seconds it took."""
        close_memo(self)
        exchange = self.exchange
        if exchange is not None:
            await exchange.passed_on()
            return exchange.finished_at - self.started
        return self.count()

    def count(self) -> float:
        """Count a request of which no full exchange knows."""
        held = self.held
        seconds = (self.finished_at or perf_counter()) - self.started
        if held.status == self.status and held.reason == self.reason and held.count is not None:
            held.count(seconds)
            return seconds
        if self.reason in REFUSALS:
            self.cache.refused(self.scope, held.name).origin(seconds, self.status, self.reason)
            return seconds
        recorder = self.cache.recorder(self.route())
        reason = self.reason or "uri-miss"
        count = recorder.counter(self.status, reason)
        held.counted(self.status, reason, recorder.name, count)
        count(seconds)
        return seconds

    def fail(self) -> None:
        """The app has raised: count that."""
        close_memo(self)
        if self.exchange is not None:
            self.exchange.count_failure()
            return
        elapsed = (self.finished_at or perf_counter()) - self.started
        recorder = self.cache.recorder(self.route())
        if self.status and self.begun is None:
            recorder.origin(elapsed, self.status, self.reason or "uri-miss")
        else:
            recorder.exception(elapsed, "uri-miss")
