"""A response on its way from the app to the client, copied while it streams.

The tee never holds a message back and never swallows one. It keeps body bytes only while somebody wants
them, and knows when what it kept is proven complete: ``more_body=False`` alone proves nothing, since
middlewares below emit an empty last message after a disconnect, or before an error they raise afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from time import perf_counter
from typing import Any

from perfmw.asgi.types import COMPLETE, HeaderList, Message, Receive, Send

_BODY = "http.response.body"
_START = "http.response.start"
_PATHSEND = "http.response.pathsend"


def content_length(headers: HeaderList) -> int | None:
    """The one valid Content-Length of a response, or None (absent, malformed or contradictory)."""
    found: int | None = None
    for name, value in headers:
        if name == b"content-length":
            if not value.isdigit() or (found is not None and found != int(value)):
                return None
            found = int(value)
    return found


class Tee:
    """Wraps one request's ``send`` and ``receive``. Subclasses say what to keep and what to do with it.

    ``finished_at``: ``perf_counter`` when the last byte was handed to the server, so that a slow client does
    not make a route look slow; ``limit``: the most bytes kept.
    """

    # Defaults live on the class: most requests change few of them, and an instance is made for each request.
    status = 0
    chunks: list[bytes] | None = None
    length: int | None = None
    size = 0
    limit = 0
    ended = False
    disconnected = False
    silent = False
    finished_at = 0.0
    digest: Any = None
    """A hash (as of ``hashlib``) of the body, when somebody wants one."""
    ahead: Awaitable[object] | None = None
    """What ``on_start`` found has to be done before the client sees the response."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.receive_message = receive
        self.send_message = send

    # What subclasses decide.

    def on_start(self, message: Message) -> Message | None:
        """The response begins: return the message to pass on, or None to keep it from the client."""
        return message

    async def on_complete(self, body: bytes) -> None:
        """The kept body is proven complete. Runs before its last byte leaves when the length proves it."""

    def on_abandon(self, reason: str) -> None:
        """What was kept is dropped: it is ``too-large``, ``incomplete`` or an ``unreadable`` file."""

    # The two callables handed to the app.

    async def receive(self) -> Message:
        message = await self.receive_message()
        if message["type"] == "http.disconnect" and not self.ended:
            self.disconnected = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on. No coroutine function: most messages need no frame of ours while they leave."""
        kind = message["type"]
        if kind == _BODY:
            if self.chunks is not None or self.digest is not None or self.silent:
                return self._send_body(message)
            if not message.get("more_body", False):
                self._end()
        elif kind == _START:
            self.status = message["status"]
            answer = self.on_start(message)
            if answer is None:
                self.silent = True
                return _nothing()
            return self.send_message(answer) if self.ahead is None else self._send_after(self.ahead, answer)
        elif kind == _PATHSEND:
            return self._send_file(message)
        return self.send_message(message)

    async def _send_after(self, first: Awaitable[object], message: Message) -> None:
        await first
        await self.send_message(message)

    def _end(self) -> None:
        self.ended = True
        self.finished_at = perf_counter()

    async def _send_body(self, message: Message) -> None:
        more = message.get("more_body", False)
        if self.digest is not None:
            self.digest.update(message.get("body", b""))
        if self.chunks is not None:
            await self._keep(message, more)
        if not more:
            self._end()
        if not self.silent:
            await self.send_message(message)

    async def _keep(self, message: Message, more: bool) -> None:
        chunks = self.chunks
        assert chunks is not None
        body = message.get("body", b"")
        self.size += len(body)
        if self.size > self.limit or (self.length is not None and self.size > self.length):
            self._abandon("too-large")
        else:
            chunks.append(bytes(body))
        if more:
            return
        self.ended = True
        if self.chunks is None or (self.length is None and not message.get(COMPLETE)):
            return  # without a length only the app's clean return proves it: see finish()
        if self.length not in (None, self.size) or self.disconnected:
            self._abandon("incomplete")
        else:
            await self._complete()

    async def finish(self) -> None:
        """The app returned without an exception."""
        if self.chunks is None:
            return
        if self.ended and not self.disconnected and self.length in (None, self.size):
            await self._complete()
        else:
            self._abandon("incomplete")

    async def _complete(self) -> None:
        chunks, self.chunks = self.chunks, None
        assert chunks is not None
        await self.on_complete(chunks[0] if len(chunks) == 1 else b"".join(chunks))

    def _abandon(self, reason: str) -> None:
        self.chunks = None
        self.on_abandon(reason)

    async def _send_file(self, message: Message) -> None:
        """A response sent by path. A storable one is read here, so that what is stored is what was sent."""
        self.digest = None
        if self.chunks is not None:
            if self.length is not None and self.length <= self.limit:
                body = await asyncio.to_thread(_read_exactly, str(message["path"]), self.length)
                if body is not None:
                    await self.send({"type": _BODY, "body": body, "more_body": False})
                    return
            self._abandon("unreadable")
        self._end()
        await self.send_message(message)


async def _nothing() -> None:
    """What is awaited for a message that is kept from the client."""


def _read_exactly(path: str, length: int) -> bytes | None:
    try:
        with Path(path).open("rb") as file:
            body = file.read(length + 1)
    except OSError:
        return None
    return body if len(body) == length else None
