"""A WebSocket through a gateway: the handshake is HTTP, what follows goes through as bytes.

Nothing is decoded in between, so that extensions, subprotocols, pings, close codes and the sizes of messages
stay between the two ends, and no message is ever held as a whole. The server has to hand the connection
over: it offers the ASGI extension ``perfmw.tunnel``, whose messages are below.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from perfmw.asgi.hops import Hop, is_websocket_upgrade, response_headers
from perfmw.asgi.types import HeaderList, Receive, Scope, Send

if TYPE_CHECKING:
    import httpcore

TUNNEL = "perfmw.tunnel"
"""Name of the ASGI extension."""
ACCEPT = "perfmw.tunnel.accept"
"""Sent: ``headers`` of the 101; bytes follow."""
DATA = "perfmw.tunnel.send"
"""Sent: ``data``, bytes for the client."""
RECEIVED = "perfmw.tunnel.receive"
"""Received: ``data``, bytes of the client."""
REFUSAL = "websocket.http.response"
"""ASGI's own extension: an HTTP response instead of a WebSocket."""

KEEP_ALIVE: Sequence[tuple[int, int, int]] = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *([(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)] if hasattr(socket, "TCP_KEEPIDLE") else []),
]
"""Socket options: a WebSocket may be silent for hours; a host that is gone is noticed all the same."""

_CHUNK = 64 * 1024
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_SCHEMES = {"ws": "http", "wss": "https"}


def upgrade_headers(hop: Hop, scope: Scope) -> HeaderList:
    """The fields of the handshake for the origin."""
    http = {**scope, "scheme": _SCHEMES[scope["scheme"]]}
    return [*hop.request_headers(http), (b"connection", b"Upgrade"), (b"upgrade", b"websocket")]


def accepted_headers(scope: Scope, raw: Sequence[tuple[bytes, bytes]], version: bytes) -> HeaderList | None:
    """The fields of the 101 for the client, or None when it does not answer this client's key.

    Without that check another protocol could be talked to through what looks like a WebSocket.
    """
    headers = [(name.lower(), value) for name, value in raw]
    key = next((value for name, value in scope["headers"] if name == b"sec-websocket-key"), b"")
    proof = base64.b64encode(hashlib.sha1(key.strip() + _MAGIC, usedforsecurity=False).digest())
    if not is_websocket_upgrade(headers) or (b"sec-websocket-accept", proof) not in headers:
        return None
    kept = response_headers(raw, 101, version, 0.0)
    if not any(name == b"date" for name, _ in headers):
        kept = [field for field in kept if field[0] != b"date"]  # only final responses need one
    return [(b"connection", b"Upgrade"), (b"upgrade", b"websocket"), *kept]


async def carry(stream: httpcore.AsyncNetworkStream, receive: Receive, send: Send, stalled: float) -> None:
    """Carry bytes both ways until one side ends it; then nothing of it is left.

    :param stalled: seconds after which a side that takes no bytes counts as gone.
    """
    ways = [asyncio.ensure_future(_up(stream, receive, stalled))]
    ways.append(asyncio.ensure_future(_down(stream, send, stalled)))
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _up(stream: httpcore.AsyncNetworkStream, receive: Receive, stalled: float) -> None:
    while (message := await receive())["type"] == RECEIVED:
        await stream.write(message["data"], timeout=stalled)


async def _down(stream: httpcore.AsyncNetworkStream, send: Send, stalled: float) -> None:
    while data := await stream.read(_CHUNK, timeout=None):
        async with asyncio.timeout(stalled):
            await send({"type": DATA, "data": data})
