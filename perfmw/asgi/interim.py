"""Informational responses (RFC 9110 section 15.2) on their way through a gateway.

The HTTP client library reads over them, so they are looked for in the bytes that it reads.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any

import httpcore

from perfmw.asgi.hops import informational_headers
from perfmw.asgi.types import HeaderList, Scope, Send

INFORMATIONAL = "perfmw.informational"
"""Name of the ASGI extension, and of its message: ``status`` and ``headers`` of an informational response."""

Listener = Callable[[int, HeaderList], Awaitable[None]]
listener: ContextVar[Listener | None] = ContextVar("perfmw_informational", default=None)
"""Who is told of informational responses to the request that this task makes."""

_HEAD = re.compile(rb"HTTP/1\.[01] (1[0-9][0-9])[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")
_LONGEST = 64 * 1024
_NOT_OURS = (100, 101)


def passing_on(scope: Scope, send: Send) -> Listener | None:
    """What tells this client of informational responses, if its server can."""
    extensions = scope.get("extensions") or {}
    if scope.get("http_version") == "1.0":
        return None
    if INFORMATIONAL in extensions:

        async def tell(status: int, headers: HeaderList) -> None:
            await send({"type": INFORMATIONAL, "status": status, "headers": headers})

        return tell
    if "http.response.early_hint" in extensions:

        async def hint(status: int, headers: HeaderList) -> None:
            links = [value for name, value in headers if name == b"link"]
            if status == 103 and links:
                await send({"type": "http.response.early_hint", "links": links})

        return hint
    return None


class Backend(httpcore.AsyncNetworkBackend):
    """Connections whose informational responses are noticed."""

    def __init__(self) -> None:
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(stream)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    """``_head``: what was read since the last write, as long as it may be informational; else None."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._head: bytes | None = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._inner.read(max_bytes, timeout)
        if self._head is not None:
            await self._look(self._head + data)
        return data

    async def _look(self, head: bytes) -> None:
        while found := _HEAD.match(head):
            head = head[found.end() :]
            told, status = listener.get(), int(found[1])
            if told is not None and status not in _NOT_OURS:
                await told(status, informational_headers(found[2]))
        unfinished = len(head) < 10 or head[9:10] == b"1"
        self._head = head if unfinished and len(head) < _LONGEST else None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._head = b""
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
