"""The client's end of a WebSocket that goes through: its connection, byte for byte, for an ASGI app."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from perfmw.asgi.hops import PEER, is_websocket_upgrade
from perfmw.asgi.tunnel import ACCEPT, DATA, KEEP_ALIVE, RECEIVED, REFUSAL, TUNNEL
from perfmw.asgi.types import ASGIApp, HeaderList, Message, Scope

_MOST = 64 * 1024
"""Bytes kept for an app that does not take them yet; then the client has to wait."""
log = logging.getLogger("uvicorn.error")


def is_websocket(scope: Scope) -> bool:
    """Whether a request asks for a WebSocket (RFC 6455 section 4.1); HTTP/1.0 can not (RFC 9110 7.8)."""
    return (
        scope["method"] == "GET" and scope["http_version"] == "1.1" and is_websocket_upgrade(scope["headers"])
    )


def websocket_scope(scope: Scope, url: bytes) -> Scope:
    """The ASGI scope of a WebSocket whose bytes an app may have.

    :param url: the request target; the server stopped before it took it apart.
    """
    from urllib.parse import unquote

    parsed = httptools.parse_url(url)
    raw_path: bytes = parsed.path
    offered = [value for name, value in scope["headers"] if name == b"sec-websocket-protocol"]
    return {
        **scope,
        "type": "websocket",
        PEER: scope["client"],
        "scheme": "wss" if scope["scheme"] == "https" else "ws",
        "path": scope["root_path"] + unquote(raw_path.decode("ascii")),
        "raw_path": raw_path,
        "query_string": parsed.query or b"",
        "subprotocols": [name.strip().decode("latin-1") for line in offered for name in line.split(b",")],
        "extensions": {REFUSAL: {}, TUNNEL: {}},
    }


class Tunnel(asyncio.Protocol):
    """One connection, from the client's wish to the last byte.

    ``first``: what came with the request.
    """

    def __init__(self, transport: Any, server_state: Any, first: bytes) -> None:
        self._transport = transport
        self._connections, self._tasks = server_state.connections, server_state.tasks
        self._arrived = bytearray(first)
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._asked = self._answered = self._over = False

    def start(self, app: ASGIApp, scope: Scope) -> None:
        """Take the connection over from the server's own protocol."""
        self._transport.set_protocol(self)
        self._connections.add(self)
        self._task = asyncio.get_running_loop().create_task(self._run(app, scope))
        self._tasks.add(self._task)
        self._task.add_done_callback(self._tasks.discard)
        if (connection := self._transport.get_extra_info("socket")) is not None:
            for level, name, value in KEEP_ALIVE if connection.family != socket.AF_UNIX else ():
                connection.setsockopt(level, name, value)

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self.receive, self.send)
        except Exception as error:
            log.error("a WebSocket broke off: %r", error, exc_info=error)
            if self._answered:
                self._transport.abort()
        if not self._answered:
            self._write_head(500, [(b"content-length", b"0")])
        self._transport.close()

    # ---- what the event loop tells

    def data_received(self, data: bytes) -> None:
        self._arrived += data
        self._news.set()
        if len(self._arrived) > _MOST:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._over = True
        self._news.set()
        self._writable.set()
        if not self._answered:
            self._task.cancel()  # nobody is left to shake hands with

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def shutdown(self) -> None:
        """The server stops."""
        self._transport.close()

    # ---- what the app does

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "websocket.connect"}
        while not self._arrived and not self._over:
            self._news.clear()
            await self._news.wait()
        if not self._arrived:
            return {"type": "websocket.disconnect", "code": 1006}
        data, self._arrived = bytes(self._arrived), bytearray()
        if not self._over:
            self._transport.resume_reading()
        return {"type": RECEIVED, "data": data}

    async def send(self, message: Message) -> None:
        """Returns once the client takes more."""
        kind = message["type"]
        if kind == DATA:
            self._transport.write(message["data"])
        elif kind == f"{REFUSAL}.body":
            self._transport.write(message.get("body", b""))
        elif kind == ACCEPT:
            self._write_head(101, message["headers"])
        elif kind == f"{REFUSAL}.start":
            self._write_head(message["status"], [*message["headers"], (b"connection", b"close")])
        else:  # websocket.close before there is one
            self._write_head(403, [(b"content-length", b"0"), (b"connection", b"close")])
        await self._writable.wait()

    def _write_head(self, status: int, headers: HeaderList) -> None:
        self._answered = True
        fields = [name + b": " + value + b"\r\n" for name, value in headers]
        self._transport.write(b"".join([STATUS_LINE[status], *fields, b"\r\n"]))
