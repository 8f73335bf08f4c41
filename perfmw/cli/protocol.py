"""uvicorn's HTTP/1.1 with what a gateway needs beyond it.

Apps may send informational responses (RFC 9110 section 15.2) and trailers (section 6.5), and take a
WebSocket's connection over (see ``perfmw.cli.tunnel``). An Upgrade to anything else is ignored, body and
connection intact (section 7.8), and trailer fields of a request do not pass for header fields.
"""

from __future__ import annotations

import re
import sys
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from perfmw.asgi.hops import PEER, TRAILERS, has_body, takes_trailers
from perfmw.asgi.interim import INFORMATIONAL
from perfmw.asgi.types import ASGIApp, HeaderList, Message, Receive, Scope, Send
from perfmw.cli.tunnel import Tunnel, is_websocket, websocket_scope

_LONGEST_HEAD = 256 * 1024
"""Bytes of a request's head: more than any server behind would take."""
_METHOD = re.compile(rb"(?:\r\n)*([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) ")
_STANDARD = frozenset(
    b"ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL"
    b" MOVE NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE"
    b" SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE".split()
)
"""What the parser knows. Any other method is read as the one below, and named afterwards."""
_READ_AS = b"PROPPATCH"
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)(/[^#]*|\?[^#]*|)(?:#.*)?", re.IGNORECASE)
_REASONS = {102: b"Processing", 103: b"Early Hints"}


class Protocol(HttpToolsProtocol):
    """Offers the extensions ``perfmw.informational``, ``http.response.trailers`` and ``perfmw.tunnel``."""

    _data = b""
    _pending = 0
    _in_head = True
    _under_way = False
    _method: bytes | None = None

    def data_received(self, data: bytes) -> None:
        if not self._under_way:
            data = self._legible(data)
        self._data = data
        super().data_received(data)
        if self._in_head and self.parser is not None:
            self._pending += len(data)
            if self._pending > _LONGEST_HEAD:
                self._refuse(431)

    def _legible(self, data: bytes) -> bytes:
        """A request of a method unknown to the parser, which would refuse it (RFC 9110 section 9.1)."""
        found = _METHOD.match(data)
        if found is None or found[1] in _STANDARD:
            return data
        self._method = found[1]
        return _READ_AS + data[found.end(1) :]

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._pending, self._in_head, self._under_way = 0, True, True

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._under_way = False

    def on_headers_complete(self) -> None:
        if not self.url.startswith((b"/", b"*")) and self.parser.get_method() != b"CONNECT":
            self._absolute()
        super().on_headers_complete()
        if self._method is not None:
            self.scope["method"] = self._method.decode("ascii")
            self._method = None
        # trailer fields arrive by the same callback: they must not become header fields (section 6.5.1)
        self.headers = []
        self._in_head = False

    def _absolute(self) -> None:
        """A target with its authority, which goes before that of Host (RFC 9112 section 3.2.2)."""
        if (found := _ABSOLUTE.fullmatch(self.url)) is None:
            raise ValueError("a target of no known form")  # which the parser reports, and uvicorn answers
        whole = self.parser.get_method() == b"OPTIONS" and not found[2]
        self.url = b"*" if whole else found[2] if found[2].startswith(b"/") else b"/" + found[2]
        self.headers[:] = [(name, found[1] if name == b"host" else value) for name, value in self.headers]

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        super()._start_asgi_task(cycle, cast(Any, _offering(cycle, app)))

    # ---- upgrades

    def _should_upgrade(self) -> bool:
        return True  # uvicorn then leaves the request to handle_websocket_upgrade

    def _should_upgrade_to_ws(self, upgrade: bytes | None = None) -> bool:
        return True  # the same, as older releases ask

    def handle_websocket_upgrade(self) -> None:
        """Called within the handling of the parser's exception, which says where the head ended."""
        stopped = cast(BaseException, sys.exception())
        rest = self._data[stopped.args[0] :]
        headers: HeaderList = self.scope["headers"]  # type: ignore[assignment]
        busy = self.cycle is not None and not self.cycle.response_complete
        if self.scope["method"] == "CONNECT":
            self._refuse(501)
        elif is_websocket(cast(Scope, self.scope)) and not busy and not has_body(headers):
            scope = websocket_scope(cast(Scope, self.scope), self.url)
            self.connections.discard(self)
            Tunnel(self.transport, self.server_state, rest).start(cast(ASGIApp, self.app), scope)
        else:
            self._read_again(rest)

    def _read_again(self, rest: bytes) -> None:
        """Take the request as if it had not asked for another protocol."""
        line = b"%s %s HTTP/%s" % (
            self.scope["method"].encode(),
            self.url,
            self.parser.get_http_version().encode(),
        )
        fields = [name + b": " + value for name, value in self.scope["headers"] if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([line, *fields, b"", b""]) + rest)

    def _refuse(self, status: int) -> None:
        self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()


def _offering(cycle: Any, app: ASGIApp) -> ASGIApp:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        scope[PEER] = scope["client"]
        extensions = scope.setdefault("extensions", {})
        extensions[INFORMATIONAL] = {}
        if takes_trailers(scope):
            extensions[TRAILERS] = {}
        await app(scope, receive, _Sender(cycle, scope, send).send)

    return call


class _Sender:
    """``send`` of one response. ``trailing``: trailers follow its body; ``until_close``: it is not framed."""

    def __init__(self, cycle: Any, scope: Scope, send: Send) -> None:
        self._cycle, self._send = cycle, send
        self._scope = scope
        self._trailing = self._until_close = False
        self._trailers: HeaderList = []

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.body":
            if self._until_close:
                self._cycle.expected_content_length = len(message.get("body", b""))
            elif self._trailing and not message.get("more_body", False):
                message = {**message, "more_body": True}
        elif kind == "http.response.start":
            self._begin(message)
        elif kind == INFORMATIONAL:
            if not self._cycle.response_started and not self._cycle.disconnected:
                self._cycle.transport.write(_bytes(message))
            return
        elif kind == TRAILERS:
            await self._end(message)
            return
        await self._send(message)

    def _begin(self, message: Message) -> None:
        framed = any(name in (b"content-length", b"transfer-encoding") for name, _ in message["headers"])
        if framed or self._scope["method"] == "HEAD":
            return
        if self._scope["http_version"] == "1.0":  # which knows no chunks (RFC 9112 section 6.1)
            self._until_close, self._cycle.chunked_encoding = True, False
        else:
            self._trailing = message.get("trailers", False)

    async def _end(self, message: Message) -> None:
        self._trailers += message["headers"]
        if not self._trailing or message.get("more_trailers", False):
            return
        cycle = self._cycle
        transport, cycle.transport = cycle.transport, _Last(cycle.transport, self._trailers)
        try:
            await self._send({"type": "http.response.body", "body": b""})
        finally:
            cycle.transport = transport


class _Last:
    """The transport while the last chunk is written: the trailers go between it and its end."""

    def __init__(self, transport: Any, trailers: HeaderList) -> None:
        self._transport, self._trailers = transport, trailers

    def write(self, data: bytes) -> None:
        self._transport.write(data.removesuffix(b"\r\n") + _lines(self._trailers) + b"\r\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _lines(headers: HeaderList) -> bytes:
    return b"".join([name + b": " + value + b"\r\n" for name, value in headers])


def _bytes(message: Message) -> bytes:
    status = message["status"]
    first = b"HTTP/1.1 %d %s\r\n" % (status, _REASONS.get(status, b""))
    return first + _lines(message["headers"]) + b"\r\n"
