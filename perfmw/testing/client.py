"""An ASGI client in this process: no socket, no third-party package, and every message on record."""

from __future__ import annotations

import asyncio
import json as jsonlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

Message = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]
HeaderItems = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]

_SAFE = "/%:@!$&'()*+,;=~-._"


def _as_bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def _header_list(headers: HeaderItems) -> list[tuple[bytes, bytes]]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(_as_bytes(name).lower(), _as_bytes(value)) for name, value in pairs]


@dataclass(slots=True)
class Response:
    """What the app sent. ``messages`` are all its ASGI messages, ``error`` the exception it raised."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    messages: list[Message] = field(default_factory=list)
    complete: bool = False
    error: BaseException | None = None

    def add(self, message: Message) -> None:
        self.messages.append(message)
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", [])]
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
            self.complete = self.complete or not message.get("more_body", False)

    def header(self, name: str) -> str | None:
        """A field's value, repeated lines joined by a comma; None when it is absent."""
        values = self.header_lines(name)
        return ", ".join(values) if values else None

    def header_lines(self, name: str) -> list[str]:
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == wanted]

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    def json(self) -> Any:
        return jsonlib.loads(self.body)


class Exchange:
    """One request under way: read its messages one by one, or leave before it ends."""

    def __init__(self, app: App, scope: dict[str, Any], body: Iterable[bytes]) -> None:
        self.response = Response()
        self._chunks = list(body) or [b""]
        self._sent: asyncio.Queue[Message | None] = asyncio.Queue()
        self._over = asyncio.Event()  # receive() then says http.disconnect
        self._left = False
        self._task = asyncio.ensure_future(self._call(app, scope))

    async def _call(self, app: App, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._send)
        finally:
            self._sent.put_nowait(None)

    async def _receive(self) -> Message:
        if self._chunks and not self._left:
            chunk = self._chunks.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(self._chunks)}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._left:
            return  # servers drop what is sent to a client that left
        self.response.add(message)
        self._sent.put_nowait(message)
        if self.response.complete:
            self._over.set()
        await asyncio.sleep(0)  # as a socket would, let others run between two messages

    async def next(self) -> Message | None:
        """The next message of the app; None when it has returned."""
        return await self._sent.get()

    def disconnect(self) -> None:
        """The client leaves: the app receives ``http.disconnect`` and what it sends is dropped."""
        self._left = True
        self._over.set()

    async def finish(self) -> Response:
        """Wait until the app has returned. Raises what the app raised."""
        await self._task
        return self.response

    async def close(self) -> None:
        """Leave, and cancel the app if it is still running."""
        self.disconnect()
        self._task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self._task


class WebSocket:
    """A WebSocket under way; ``accepted`` is the app's accept message."""

    def __init__(self, app: App, scope: dict[str, Any]) -> None:
        self._in: asyncio.Queue[Message] = asyncio.Queue()
        self._out: asyncio.Queue[Message] = asyncio.Queue()
        self._in.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.ensure_future(app(scope, self._in.get, self._out.put))
        self.accepted: Message = {}

    async def receive(self) -> Message:
        """The app's next message. Raises what the app raised, or EOFError if it returned."""
        getter = asyncio.ensure_future(self._out.get())
        await asyncio.wait({getter, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if getter.done():
            return getter.result()
        if not self._out.empty():
            return await getter
        getter.cancel()
        self._task.result()
        raise EOFError("the app returned without another message")

    async def send_text(self, text: str) -> None:
        await self._in.put({"type": "websocket.receive", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        await self._in.put({"type": "websocket.receive", "bytes": data})

    async def close(self, code: int = 1000) -> None:
        """Hang up and wait until the app has returned. Raises what the app raised."""
        await self._in.put({"type": "websocket.disconnect", "code": code})
        await self._task


class Client:
    """Calls an ASGI app as a server would.

    ``async with Client(app) as client`` runs the app's lifespan around the block; without it the app gets
    none, as under servers that send none. ``state`` is the lifespan's state, copied for every request.
    """

    def __init__(
        self,
        app: App,
        *,
        base_url: str = "http://testserver",
        client: tuple[str, int] | None = ("127.0.0.1", 50_000),
        root_path: str = "",
        extensions: Mapping[str, Any] | None = None,
    ) -> None:
        self.app = app
        self.base = urlsplit(base_url)
        self.client = client
        self.root_path = root_path
        self.extensions = dict(extensions or {})
        self.state: dict[str, Any] = {}
        self._lifespan: _Lifespan | None = None

    def scope(self, method: str, target: str, headers: HeaderItems = (), **extra: Any) -> dict[str, Any]:
        """The ASGI scope of a request; ``target`` is a path with its query, percent-encoded or not."""
        path, _, query = target.partition("?")
        raw_path = quote(path, safe=_SAFE).encode("ascii")
        fields = _header_list(headers)
        if not any(name == b"host" for name, _ in fields):
            fields.insert(0, (b"host", self.base.netloc.encode("ascii")))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method.upper(),
            "scheme": self.base.scheme,
            "path": unquote(raw_path.decode("ascii")),
            "raw_path": raw_path,
            "query_string": query.encode("latin-1"),
            "root_path": self.root_path,
            "headers": fields,
            "client": self.client,
            "server": (self.base.hostname, self.base.port or 80),
            "extensions": dict(self.extensions),
            "state": self.state.copy(),  # shallow, as servers do: what a request adds stays its own
        } | extra

    async def request(
        self,
        method: str,
        target: str,
        headers: HeaderItems = (),
        body: bytes | Iterable[bytes] = b"",
        *,
        disconnect_after: int | None = None,
        raise_errors: bool = True,
        **extra: Any,
    ) -> Response:
        """Send a request and wait until the app has returned.

        :param body: bytes, or chunks that arrive one by one.
        :param disconnect_after: leave once the app has sent this many messages.
        :param raise_errors: raise what the app raises; else it is the response's ``error``.
        :param extra: what to change in the scope.
        """
        scope = self.scope(method, target, headers, **extra)
        exchange = Exchange(self.app, scope, [body] if isinstance(body, bytes) else body)
        try:
            if disconnect_after is not None:
                await _leave_after(exchange, disconnect_after)
            return await exchange.finish()
        except Exception as error:
            if raise_errors:
                raise
            exchange.response.error = error
            return exchange.response
        finally:
            await exchange.close()

    async def get(self, target: str, headers: HeaderItems = (), **options: Any) -> Response:
        return await self.request("GET", target, headers, **options)

    async def head(self, target: str, headers: HeaderItems = (), **options: Any) -> Response:
        return await self.request("HEAD", target, headers, **options)

    async def post(
        self, target: str, headers: HeaderItems = (), body: bytes | Iterable[bytes] = b"", **options: Any
    ) -> Response:
        return await self.request("POST", target, headers, body, **options)

    @asynccontextmanager
    async def stream(
        self, method: str, target: str, headers: HeaderItems = (), body: bytes = b"", **extra: Any
    ) -> AsyncIterator[Exchange]:
        """A request under way, for tests of streaming and of clients that leave."""
        exchange = Exchange(self.app, self.scope(method, target, headers, **extra), [body])
        try:
            yield exchange
        finally:
            await exchange.close()

    @asynccontextmanager
    async def websocket(
        self, target: str, headers: HeaderItems = (), **extra: Any
    ) -> AsyncIterator[WebSocket]:
        """A WebSocket, past its handshake. Raises ConnectionRefusedError when the app closes it instead."""
        scheme = "wss" if self.base.scheme == "https" else "ws"
        scope = self.scope("GET", target, headers, type="websocket", scheme=scheme, subprotocols=[], **extra)
        del scope["method"]
        socket = WebSocket(self.app, scope)
        socket.accepted = await socket.receive()
        if socket.accepted["type"] != "websocket.accept":
            raise ConnectionRefusedError(str(socket.accepted))
        try:
            yield socket
        finally:
            await socket.close()

    async def __aenter__(self) -> Self:
        self._lifespan = _Lifespan(self.app, self.state)
        await self._lifespan.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lifespan is not None:
            await self._lifespan.stop()


async def _leave_after(exchange: Exchange, messages: int) -> None:
    for _ in range(messages):
        if await exchange.next() is None:
            return
    exchange.disconnect()


class _Lifespan:
    """The lifespan of an app. One that raises before it answers has none, as servers take it."""

    def __init__(self, app: App, state: dict[str, Any]) -> None:
        self._in: asyncio.Queue[Message] = asyncio.Queue()
        self._out: asyncio.Queue[Message] = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
        self._task = asyncio.ensure_future(app(scope, self._in.get, self._out.put))

    async def start(self) -> None:
        """Raises RuntimeError when the app says that it cannot start."""
        await self._in.put({"type": "lifespan.startup"})
        await self._answer("lifespan.startup.failed")

    async def stop(self) -> None:
        if not self._task.done():
            await self._in.put({"type": "lifespan.shutdown"})
            await self._answer("lifespan.shutdown.failed")
            await self._task

    async def _answer(self, failed: str) -> None:
        getter = asyncio.ensure_future(self._out.get())
        await asyncio.wait({getter, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not getter.done():
            await asyncio.sleep(0)
        if getter.done():
            message = getter.result()
            if message["type"] == failed:
                raise RuntimeError(message.get("message") or failed)
            return
        getter.cancel()
        with suppress(Exception):
            self._task.result()
