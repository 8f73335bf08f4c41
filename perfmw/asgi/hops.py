"""What a gateway changes in the fields of a message it passes on (RFC 9110 sections 7.6 and 6.6.1).

Everything else goes through as it came: the order, the repetitions and the bytes of every other field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from perfmw.asgi.types import HeaderList, Scope
from perfmw.http.dates import format_date
from perfmw.http.fields import is_token, names_in
from perfmw.http.storing import HOP_BY_HOP

PSEUDONYM = b"perfmw"
"""The name in Via."""
LOOP = 16
"""A request that passed this many gateways of this name is going round in circles."""

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# RFC 9110 section 7.6.1: fields meant for every recipient can not be nominated away; dropping one of these
# would let a response without its Cache-Control, or without its Vary, reach a cache.
_FOR_ALL = frozenset(
    {
        b"age",
        b"authorization",
        b"cache-control",
        b"cdn-cache-control",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"date",
        b"etag",
        b"expires",
        b"host",
        b"last-modified",
        b"location",
        b"perfmw-cache-control",
        b"pragma",
        b"set-cookie",
        b"surrogate-control",
        b"vary",
    }
)
_NOT_REQUESTED = HOP_BY_HOP | {b"host", b"expect", b"max-forwards"}
# RFC 9110 section 6.5.1: what frames, routes, authenticates or says how to treat a message comes before it
_NOT_TRAILING = (
    _FOR_ALL | HOP_BY_HOP | {b"set-cookie2", b"www-authenticate", b"retry-after", b"via", b"warning"}
)
PEER = "perfmw.peer"
"""Key of the scope: host and port at the other end, which ``client`` is not once a server believes claims."""
TRAILERS = "http.response.trailers"
"""Name of ASGI's extension for trailers, offered here to clients that take them."""
_NO_BODY = frozenset({204, 205, 304})


@dataclass(frozen=True, slots=True)
class Hop:
    """How requests are passed on. ``authority``: the origin's, sent as Host unless ``pass_host``.

    ``trusted``: Forwarded, X-Forwarded-Host and X-Forwarded-Proto come from a proxy that is believed;
    otherwise they are replaced, since an origin would believe them.
    """

    authority: bytes
    pass_host: bool = True
    trusted: bool = False

    def request_headers(self, scope: Scope) -> HeaderList:
        """The fields for the origin. It may send trailers where the client and its server take them."""
        headers: HeaderList = scope["headers"]
        host = _first(headers, b"host")
        dropped = _NOT_REQUESTED | _nominated(headers)
        replaced = {b"via", b"x-forwarded-for"}
        if not self.trusted:
            replaced |= {b"forwarded", b"x-forwarded-host", b"x-forwarded-proto"}
        kept = [field for field in headers if field[0] not in dropped and field[0] not in replaced]
        sent = host if host is not None and self.pass_host else self.authority
        framing = [(b"transfer-encoding", b"chunked")] if _is_chunked(headers) else []
        if TRAILERS in (scope.get("extensions") or {}):
            framing += [(b"te", b"trailers"), (b"connection", b"TE")]
        return [(b"host", sent), *kept, *framing, *self._added(scope, host)]

    def _added(self, scope: Scope, host: bytes | None) -> HeaderList:
        headers: HeaderList = scope["headers"]
        added: HeaderList = []
        if (forwards := _forwards_left(headers)) is not None:
            added.append((b"max-forwards", b"%d" % max(0, forwards - 1)))
        if client := scope.get(PEER) or scope.get("client"):
            address = client[0].encode("latin-1", "replace")
            added.append((b"x-forwarded-for", _appended(headers, b"x-forwarded-for", address)))
        claims = [(b"x-forwarded-proto", scope["scheme"].encode())]
        if host is not None:
            claims.append((b"x-forwarded-host", host))
        added += [claim for claim in claims if not (self.trusted and _first(headers, claim[0]) is not None)]
        hop = scope.get("http_version", "1.1").encode() + b" " + PSEUDONYM
        return [*added, (b"via", _appended(headers, b"via", hop))]


def response_headers(
    raw: Sequence[tuple[bytes, bytes]], status: int, version: bytes, now: float
) -> HeaderList:
    """The fields for the client, with Via and, where the origin sent none, Date.

    :param version: the protocol version the origin answered with, such as ``1.1``.
    """
    headers = [(name.lower(), value) for name, value in raw]
    dropped = HOP_BY_HOP | _nominated(headers)
    if status in _NO_BODY or _is_chunked(headers):
        dropped |= {b"content-length"}
    # what a recipient may not pass on as it is becomes a space (RFC 9110 section 5.5)
    kept = [
        (name, _CONTROL.sub(b" ", value)) for name, value in headers if name not in dropped and name != b"via"
    ]
    if _first(headers, b"date") is None:
        kept.append((b"date", format_date(now)))
    kept.append((b"via", _appended(headers, b"via", version + b" " + PSEUDONYM)))
    return kept


def informational_headers(lines: bytes) -> HeaderList:
    """The fields of an informational response that go on, from its raw lines."""
    pairs = [line.partition(b":") for line in lines.split(b"\r\n") if line]
    headers = [
        (name.lower(), _CONTROL.sub(b" ", value.strip())) for name, _, value in pairs if is_token(name)
    ]
    dropped = HOP_BY_HOP | _nominated(headers) | {b"content-length"}
    return [field for field in headers if field[0] not in dropped]


def takes_trailers(scope: Scope) -> bool:
    """Whether the client said that it keeps trailers (RFC 9110 section 10.1.4)."""
    if scope.get("http_version", "1.1") == "1.0":
        return False
    members = (part for name, value in scope["headers"] if name == b"te" for part in names_in(value))
    return any(member.partition(b";")[0].rstrip() == b"trailers" for member in members)


def announced_trailers(raw: Iterable[tuple[bytes, bytes]]) -> HeaderList:
    """The Trailer field of a response with trailers, without the names that may not come so late."""
    names = [part for name, value in raw if name.lower() == b"trailer" for part in names_in(value)]
    kept = [name for name in names if is_token(name) and name not in _NOT_TRAILING]
    return [(b"trailer", b", ".join(kept))] if kept else []


def trailers(raw: Iterable[tuple[bytes, bytes]], announced: HeaderList) -> HeaderList:
    """The trailer fields that go on: those announced, since a recipient may act on no others."""
    names = {name for _, value in announced for name in names_in(value)}
    return [(name.lower(), _CONTROL.sub(b" ", value)) for name, value in raw if name.lower() in names]


def is_websocket_upgrade(headers: HeaderList) -> bool:
    """Whether a message changes to the WebSocket protocol (RFC 6455 section 4)."""
    named = {name: set[bytes]() for name in (b"connection", b"upgrade")}
    for name, value in headers:
        if name in named:
            named[name].update(names_in(value))
    return b"upgrade" in named[b"connection"] and b"websocket" in named[b"upgrade"]


def goes_round(headers: HeaderList) -> bool:
    """Whether this request has come through here too often to ever arrive."""
    return sum(value.count(PSEUDONYM) for name, value in headers if name == b"via") >= LOOP


def ends_here(scope: Scope) -> bool:
    """Whether Max-Forwards says that this recipient is the final one (RFC 9110 section 7.6.2)."""
    return scope["method"] in ("OPTIONS", "TRACE") and _forwards_left(scope["headers"]) == 0


def has_body(headers: HeaderList) -> bool:
    """Whether a request with these fields has content (RFC 9112 section 6)."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
        for name, value in headers
    )


def _nominated(headers: HeaderList) -> frozenset[bytes]:
    names = {name for field, value in headers if field == b"connection" for name in names_in(value)}
    return frozenset(names - _FOR_ALL)


def _first(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    return next((value for field, value in headers if field == name), None)


def _is_chunked(headers: HeaderList) -> bool:
    return any(name == b"transfer-encoding" for name, _ in headers)


def _forwards_left(headers: HeaderList) -> int | None:
    value = _first(headers, b"max-forwards")
    return int(value) if value is not None and value.isdigit() and len(value) < 10 else None


def _appended(headers: HeaderList, name: bytes, member: bytes) -> bytes:
    return b", ".join([*(value for field, value in headers if field == name), member])
