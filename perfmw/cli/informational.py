"""uvicorn with one thing more: an app may send informational responses (RFC 9110 section 15.2)."""

from __future__ import annotations

from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from perfmw.asgi.interim import INFORMATIONAL
from perfmw.asgi.types import ASGIApp, Message, Receive, Scope, Send

_REASONS = {102: b"Processing", 103: b"Early Hints"}


class Protocol(HttpToolsProtocol):
    """Offers the extension ``perfmw.informational``; a uvicorn that starts apps otherwise does not."""

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        super()._start_asgi_task(cycle, cast(Any, _offering(cycle, app)))


def _offering(cycle: Any, app: ASGIApp) -> ASGIApp:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_any(message: Message) -> None:
            if message["type"] != INFORMATIONAL:
                await send(message)
            elif not cycle.response_started and not cycle.disconnected:
                cycle.transport.write(_bytes(message))

        scope.setdefault("extensions", {})[INFORMATIONAL] = {}
        await app(scope, receive, send_any)

    return call


def _bytes(message: Message) -> bytes:
    status = message["status"]
    first = b"HTTP/1.1 %d %s\r\n" % (status, _REASONS.get(status, b""))
    return b"".join([first, *(name + b": " + value + b"\r\n" for name, value in message["headers"]), b"\r\n"])
