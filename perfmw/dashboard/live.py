"""The event stream: one producer for all listeners, and none when nobody listens.

Every event holds the whole current state, so a client that comes back with Last-Event-ID has missed nothing
it needs: it gets the newest event unless it has that already, and a slow client skips events, never queues.
Server-sent events: WHATWG HTML, section 9.2.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

RETRY_MILLISECONDS = 1_000
STEP = 0.25
"""How often, in seconds, a producer at work looks whether the server is going down."""
SHARE = 0.003
"""The share of a core that producing may take: beyond it events come less often, up to ``LONGEST`` apart."""
LONGEST = 10.0
"""The longest time between two events, in seconds."""


def server_is_stopping() -> bool:
    """Whether the server that runs us was told to exit, as far as it lets itself be asked.

    uvicorn waits for open responses before it ends the lifespan, so a stream would hold up its exit for
    ever. Its signal handler is a method of the server, which has ``should_exit``.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        server = getattr(signal.getsignal(number), "__self__", None)
        if getattr(server, "should_exit", False) is True:
            return True
    return False


@dataclass(slots=True)
class Feed:
    """Hands out what ``produce`` returns, every ``interval`` seconds, to whoever listens.

    ``spawn`` starts the producer as a task of the runtime: when the runtime stops, it is cancelled and all
    listeners end. ``produce`` is called on the event loop and must not block.
    """

    produce: Callable[[], bytes]
    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    interval: float = 1.0
    heartbeat: float = 10.0
    stopping: Callable[[], bool] = server_is_stopping
    listeners: int = 0
    _boot: str = field(default_factory=lambda: secrets.token_hex(4))
    _number: int = 0
    _latest: bytes = b""
    _changed: asyncio.Event | None = None
    _producer: asyncio.Task[None] | None = None
    _closed: bool = False

    async def listen(self, last_event_id: str = "") -> AsyncGenerator[bytes, None]:
        """Chunks of the stream, until the feed is closed. An iterator must be closed by its reader."""
        # what an earlier producer left behind may be hours old
        started = self._join()
        seen = self._number if started or last_event_id == self._id() else -1
        try:
            yield b"retry: %d\n\n" % RETRY_MILLISECONDS
            while not self._closed:
                if self._number not in (0, seen):
                    seen = self._number
                    yield b"id: %s\nevent: state\ndata: %s\n\n" % (self._id().encode(), self._latest)
                elif not await self._wait():
                    yield b": beat\n\n"
        finally:
            self._leave()

    def close(self) -> None:
        """End all streams; a later listener starts the feed anew."""
        self._closed = True
        if self._producer is not None:
            self._producer.cancel()
        self._announce()

    def _id(self) -> str:
        return f"{self._boot}-{self._number}"

    def _join(self) -> bool:
        """Count a listener; whether the producer had to be started for it."""
        self.listeners += 1
        if self._producer is not None and not self._producer.done():
            return False
        self._closed = False
        self._changed = asyncio.Event()
        self._producer = self.spawn(self._run())
        return True

    def _leave(self) -> None:
        self.listeners -= 1
        if self.listeners == 0 and self._producer is not None:
            self._producer.cancel()
            self._producer = None

    async def _wait(self) -> bool:
        """Until something is new; False if that took longer than a heartbeat."""
        changed = self._changed
        if changed is None:
            return False
        # not wait_for: on Python 3.11 it swallows a cancellation that comes together with the event
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.heartbeat):
                await changed.wait()
                return True
        return False

    def _announce(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = asyncio.Event()

    async def _run(self) -> None:
        me = asyncio.current_task()
        try:
            while not self.stopping():
                began = time.thread_time()
                self._latest = self.produce()
                self._number += 1
                self._announce()
                await self._pause(self._interval_after(time.thread_time() - began))
        finally:
            # one that was cancelled because its last listener left must not end its successor's streams
            if self._producer is me:
                self._closed = True
                self._announce()

    def _interval_after(self, cost: float) -> float:
        """Seconds to the next event after one that cost so many seconds of processor time."""
        return max(self.interval, min(cost / SHARE, LONGEST))

    async def _pause(self, seconds: float) -> None:
        while seconds > 0 and not self.stopping():
            await asyncio.sleep(min(STEP, seconds))
            seconds -= STEP


class EventStream:
    """Serves a feed over ASGI and stops as soon as the client is gone."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        if scope["method"] == "HEAD":
            await send(_body(b"", more=False))
        else:
            await self._serve(Headers(scope=scope).get("last-event-id", ""), receive, send)

    async def _serve(self, last_event_id: str, receive: Receive, send: Send) -> None:
        writer = asyncio.ensure_future(self._write(send, last_event_id))
        watcher = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({writer, watcher}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writer, watcher):
                task.cancel()
            results = await asyncio.gather(writer, watcher, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, OSError):
                raise result

    async def _write(self, send: Send, last_event_id: str) -> None:
        async with contextlib.aclosing(self.feed.listen(last_event_id)) as chunks:
            async for chunk in chunks:
                await send(_body(chunk, more=True))
        await send(_body(b"", more=False))


_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
]


def _body(chunk: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": more}


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
