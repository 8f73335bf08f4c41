"""A gateway: an ASGI app that answers with what an HTTP/1.1 origin says.

It speaks to the origin through httpcore, the transport inside httpx, rather than through an httpx client:
that one would normalise the path, add fields of its own, and ask the environment for proxies and
credentials. Here the target, the fields and the body go through byte for byte, apart from what
``perfmw.asgi.hops`` says a gateway has to change.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perfmw.asgi.hops import (
    TRAILERS,
    Hop,
    announced_trailers,
    ends_here,
    goes_round,
    has_body,
    response_headers,
    trailers,
)
from perfmw.asgi.types import COMPLETE, COVERED, MUST_REVALIDATE, HeaderList, Message, Receive, Scope, Send

if TYPE_CHECKING:
    import httpcore

log = logging.getLogger("perfmw.proxy")

_DEFAULT_PORTS = {"http": 80, "https": 443}
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS"})
_KEEPALIVE = 4.0
"""Seconds an idle connection is kept: less than common origins keep it, so that they rarely end it first."""
_REASONS = {
    400: b"Bad Request",
    405: b"Method Not Allowed",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    508: b"Loop Detected",
}


class OriginFailedError(ConnectionError):
    """The origin's response broke off after its head had been passed on: the client must see it break too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """In seconds: to connect, between reads, between writes, for a free connection. Most connections, and
    beside them most WebSockets."""

    connect: float = 5.0
    read: float = 60.0
    write: float = 60.0
    pool: float = 10.0
    connections: int = 256
    websockets: int = 1024

    def timeouts(self) -> dict[str, float]:
        return {"connect": self.connect, "read": self.read, "write": self.write, "pool": self.pool}


class ReverseProxy:
    """Passes every request on to ``origin``, and its response back as it arrives.

    :param origin: an http or https URL; a path in it is put before every request's path.
    :param pass_host: send the client's Host on; otherwise the origin's own name.
    :param trusted: believe the Forwarded and X-Forwarded-* fields that requests come with.
    :raises ValueError: ``origin`` is no such URL.
    """

    def __init__(
        self, origin: str, *, pass_host: bool = True, trusted: bool = False, limits: Limits | None = None
    ) -> None:
        self.scheme, self.host, self.port, self.prefix = _parts(origin)
        self.limits = limits or Limits()
        self._hop = Hop(self._authority(), pass_host, trusted)
        self._pool: httpcore.AsyncConnectionPool | None = None
        self._upgraded: httpcore.AsyncConnectionPool | None = None

    def _authority(self) -> bytes:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}").encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif (refused := _refusal(scope)) is not None:
            await _answer(send, scope, *refused)
        else:
            await _while_connected(scope, receive, lambda body: self._relay(scope, body, send))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def aclose(self) -> None:
        """Close every connection to the origin."""
        pools, self._pool, self._upgraded = (self._pool, self._upgraded), None, None
        for pool in pools:
            if pool is not None:
                await pool.aclose()

    # ---- one exchange

    async def _relay(self, scope: Scope, body: AsyncIterator[bytes] | None, send: Send) -> None:
        import httpcore

        from perfmw.asgi.interim import listener, passing_on

        listener.set(passing_on(scope, send))
        try:
            response = await self._ask(scope, body)
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            await _answer_for(send, scope, error)
            return
        try:
            await self._pass_on(scope, response, send)
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise OriginFailedError(f"{scope['method']} {scope['path']} broke off: {error!r}") from error
        finally:
            await response.aclose()

    async def _ask(self, scope: Scope, body: AsyncIterator[bytes] | None) -> httpcore.Response:
        """The head of the origin's response.

        An origin may close a kept connection just as it is used again; a request that can be repeated then
        is, once (RFC 9112 section 9.3.1), unless something stored answers for an origin that fails.
        """
        import httpcore

        pool = self._connections()
        reused = any(connection.is_idle() for connection in pool.connections)
        try:
            return await pool.handle_async_request(self._request(scope, body))
        except (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError):
            if not reused or body is not None or scope["method"] not in _REPEATABLE or COVERED in scope:
                raise
        return await pool.handle_async_request(self._request(scope, None))

    def _connections(self) -> httpcore.AsyncConnectionPool:
        if self._pool is None:
            from perfmw.asgi.interim import Backend

            self._pool = _pool(self.limits.connections, network_backend=Backend())
        return self._pool

    def _request(self, scope: Scope, body: AsyncIterator[bytes] | None) -> httpcore.Request:
        return self._asking(scope, scope["method"], self._hop.request_headers(scope), body)

    def _asking(
        self, scope: Scope, method: str, headers: HeaderList, body: AsyncIterator[bytes] | None = None
    ) -> httpcore.Request:
        import httpcore

        url = httpcore.URL(
            scheme=self.scheme.encode(),
            host=self.host.encode(),
            port=self.port,
            target=self.prefix + _target(scope),
        )
        timeout = {"timeout": self.limits.timeouts()}
        return httpcore.Request(method=method, url=url, headers=headers, content=body, extensions=timeout)

    # ---- a WebSocket

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the client and the origin talk, or pass on why the origin would not (RFC 6455 section 4)."""
        from perfmw.asgi.tunnel import TUNNEL

        await receive()
        if TUNNEL not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1011})
            return
        scope, refuse = {**scope, "method": "GET"}, _refusing(send)
        if (refused := _refusal(scope)) is not None:
            await _answer(refuse, scope, *refused)
            return
        if (response := await self._shaken_hands(scope, refuse)) is None:
            return
        try:
            await self._carry(scope, response, receive, send)
        finally:
            await response.aclose()

    async def _shaken_hands(self, scope: Scope, refuse: Send) -> httpcore.Response | None:
        import httpcore

        from perfmw.asgi.tunnel import KEEP_ALIVE, upgrade_headers

        if self._upgraded is None:
            self._upgraded = _pool(self.limits.websockets, socket_options=KEEP_ALIVE)
        request = self._asking(scope, "GET", upgrade_headers(self._hop, scope))
        try:
            return await self._upgraded.handle_async_request(request)
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            await _answer_for(refuse, scope, error)
            return None

    async def _carry(self, scope: Scope, response: httpcore.Response, receive: Receive, send: Send) -> None:
        from perfmw.asgi import tunnel

        if response.status != 101:
            await self._pass_on(scope, response, _refusing(send))
            return
        version = response.extensions["http_version"].removeprefix(b"HTTP/")
        headers = tunnel.accepted_headers(scope, response.headers, version)
        if headers is None:
            await _answer(_refusing(send), scope, 502, ())
            return
        await send({"type": tunnel.ACCEPT, "headers": headers})
        await tunnel.carry(response.extensions["network_stream"], receive, send, self.limits.write)

    # ---- the response

    async def _pass_on(self, scope: Scope, response: httpcore.Response, send: Send) -> None:
        status = response.status
        if not 200 <= status < 600:  # RFC 9110 section 15: as good as a 5xx
            await _answer(send, scope, 502, ())
            return
        version = response.extensions["http_version"].removeprefix(b"HTTP/")
        headers = response_headers(response.headers, status, version, time.time())
        announced = (
            announced_trailers(response.headers) if TRAILERS in (scope.get("extensions") or {}) else []
        )
        start: Message = {"type": "http.response.start", "status": status, "headers": headers + announced}
        await send({**start, "trailers": True} if announced else start)
        left = _length(headers) if scope["method"] != "HEAD" else None
        last = b""
        found: HeaderList = []
        async for chunk in _body_of(response, self.limits.read, found):
            if left is not None:
                left -= len(chunk)
                if left == 0:
                    last = chunk  # goes with the end of the response, in one message
                    continue
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        _leave_in_order(response)
        await send({"type": "http.response.body", "body": last, "more_body": False, COMPLETE: True})
        if announced:
            await send({"type": TRAILERS, "headers": trailers(found, announced), "more_trailers": False})


async def _body_of(response: Any, timeout: float, found: HeaderList) -> AsyncIterator[bytes]:
    """The content as it arrives; ``found`` gets the trailer fields after it.

    httpcore's own iteration drops them: they come with its state machine's last event.
    """
    import h11

    connection = response.stream._stream._connection
    while True:
        event = await connection._receive_event(timeout=timeout)
        if isinstance(event, h11.Data):
            yield bytes(event.data)
        else:
            if isinstance(event, h11.EndOfMessage):
                found += event.headers.raw_items()
            return


def _leave_in_order(response: Any) -> None:
    """Give up a connection on which more arrived than the response: it would pass for the next one.

    What is still in the socket httpcore notices by itself, when it looks at a connection before its next
    use. What it has already read it keeps for the next response, which only its state machine knows.
    """
    state = response.stream._stream._connection._h11_state
    if state.trailing_data[0]:
        log.warning("an origin sent more than its response; the connection is closed")
        state.send_failed()


async def _while_connected(scope: Scope, receive: Receive, work: Any) -> None:
    """Run ``work(body)`` until it ends or the client leaves, which cancels it."""
    body = _Body(receive) if has_body(scope["headers"]) else None
    task = asyncio.ensure_future(work(body.chunks() if body else None))
    left = asyncio.ensure_future(_disconnected(receive, body))
    try:
        await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        over = task.done()
        await _cancelled(left if over else task, left)
    if over:
        await task


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _disconnected(receive: Receive, body: _Body | None) -> None:
    if body is not None:
        await body.read.wait()
        if body.broken:
            return
    while (await receive())["type"] != "http.disconnect":
        pass


class _Body:
    """A request's body as it arrives. ``read``: nothing more comes; ``broken``: the client left instead."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.read = asyncio.Event()
        self.broken = False

    async def chunks(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.broken = True
                self.read.set()
                await asyncio.Event().wait()  # until the exchange is cancelled: this request has no end
            if chunk := message.get("body", b""):
                yield chunk
            more = message.get("more_body", False)
        self.read.set()


def _parts(origin: str) -> tuple[str, str, int, bytes]:
    from urllib.parse import urlsplit

    parts = urlsplit(origin)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.query or parts.username:
        raise ValueError(f"{origin!r} is not the URL of an origin, such as http://127.0.0.1:8000")
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/").encode("ascii")


def _target(scope: Scope) -> bytes:
    """The request target as it came (``scope["path"]`` has lost its escapes)."""
    path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    return path + b"?" + query if query else path


def _refusal(scope: Scope) -> tuple[int, HeaderList] | None:
    """Requests that have no business at the origin, and the answer to them."""
    if scope["method"] == "CONNECT":
        return 501, []
    if ends_here(scope):
        return (200, [(b"allow", b"GET, HEAD, OPTIONS")]) if scope["method"] == "OPTIONS" else (405, [])
    hosts = sum(1 for name, _ in scope["headers"] if name == b"host")
    if hosts > 1 or (hosts == 0 and scope.get("http_version") == "1.1"):
        return 400, []  # RFC 9112 section 3.2
    return (508, []) if goes_round(scope["headers"]) else None


def _status_of(error: Exception) -> int:
    import httpcore

    if isinstance(error, httpcore.PoolTimeout):
        return 503
    if isinstance(error, httpcore.LocalProtocolError):
        return 400  # the request can not be put on the wire
    return 504 if isinstance(error, httpcore.TimeoutException) else 502


def _pool(most: int, **options: Any) -> httpcore.AsyncConnectionPool:
    import httpcore

    return httpcore.AsyncConnectionPool(
        max_connections=most, max_keepalive_connections=most, keepalive_expiry=_KEEPALIVE, **options
    )


def _refusing(send: Send) -> Send:
    """A ``send`` by which an HTTP response answers a WebSocket's handshake."""

    async def refuse(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return refuse


async def _answer_for(send: Send, scope: Scope, error: Exception) -> None:
    """Tell the client that the origin could not be asked."""
    status = _status_of(error)
    if status == 502 and MUST_REVALIDATE in scope:
        status = 504  # RFC 9111 section 5.2.2.2: what a cache without its origin says
    log.warning("%s %s: %d: %r", scope["method"], scope["path"], status, error)
    await _answer(send, scope, status, ())


async def _answer(send: Send, scope: Scope, status: int, headers: Any) -> None:
    from perfmw.http.dates import format_date

    body = b"%d %s\n" % (status, _REASONS[status]) if status in _REASONS else b""
    fields = [
        (b"date", format_date(time.time())),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _length(headers: HeaderList) -> int | None:
    value = next((value for name, value in headers if name == b"content-length"), None)
    return int(value) if value is not None and value.isdigit() else None
