"""The answer built from a stored response: full, 304, 206, 416, or without a body for HEAD."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from perfmw.http.dates import format_date, parse_date, year_of
from perfmw.http.fields import split_list
from perfmw.http.messages import Fields, Header, Request, StoredResponse
from perfmw.http.policy import Policy
from perfmw.http.ranges import Span, piece, wanted

# What a 304 carries: what RFC 9110 section 15.4.5 asks for, and what a browser applies to its own copy.
_IN_304 = frozenset(
    {
        b"access-control-allow-credentials",
        b"access-control-allow-origin",
        b"access-control-expose-headers",
        b"cache-control",
        b"cache-status",
        b"cdn-cache-control",
        b"content-location",
        b"date",
        b"etag",
        b"expires",
        b"last-modified",
        b"vary",
        b"via",
    }
)
# Content-Digest is of the bytes sent, Repr-Digest of the whole (RFC 9530 section 2)
_OF_THE_WHOLE = frozenset({b"content-digest", b"content-length", b"content-md5", b"content-range"})


@dataclass(slots=True)
class Served:
    """A complete answer; the caller appends Cache-Status."""

    status: int
    headers: list[Header]
    body: bytes


def response_for(request: Request, stored: StoredResponse, now: float, policy: Policy) -> Served:
    """What this request gets of a stored response that it may use.

    Conditions apply only where the answer would be a success (RFC 9110 section 13.2.1), If-None-Match
    before If-Modified-Since before Range (section 13.2.2).
    """
    if not request.special and request.method == "GET":
        return Served(stored.status, [*stored.headers, age_field(stored, now)], stored.body)
    if request.special and 200 <= stored.status < 300 and unchanged(request.fields, stored):
        return Served(304, [*headers_of_304(stored), age_field(stored, now)], b"")
    spans = wanted(request, stored)
    if spans is not None:
        return _partial(stored, spans, now)
    body = b"" if request.method == "HEAD" else stored.body
    return Served(stored.status, [*stored.headers, age_field(stored, now)], body)


def age_field(stored: StoredResponse, now: float) -> Header:
    """The Age field (section 5.1)."""
    age = int(stored.initial_age + now - stored.response_time)
    return (b"age", b"%d" % age if age > 0 else b"0")


def headers_of_304(stored: StoredResponse) -> list[Header]:
    """The stored fields that a 304 carries; found once, they are kept with the response."""
    if stored.brief is None:
        stored.brief = [*(field for field in stored.headers if field[0] in _IN_304), *stored.edge]
    return stored.brief


def unchanged(fields: Fields, stored: StoredResponse) -> bool:
    """Whether the client's own copy is the stored response (section 4.3.2), by the request's fields."""
    if b"if-none-match" in fields:
        return etag_listed(fields[b"if-none-match"], stored.etag)
    if b"if-modified-since" not in fields:
        return False
    since = parse_date(fields[b"if-modified-since"], year_of(stored.response_time))
    return since is not None and _modified(stored) <= since


def _modified(stored: StoredResponse) -> float:
    """Last-Modified, or failing that when the response was made."""
    value = stored.last_modified
    modified = parse_date(value, year_of(stored.response_time)) if value is not None else None
    return stored.date if modified is None else modified


def etag_listed(value: bytes, etag: bytes | None) -> bool:
    """If-None-Match by weak comparison (RFC 9110 sections 13.1.2 and 8.8.3.2)."""
    if value == etag or value.strip() == b"*":
        return True
    if etag is None:
        return False
    opaque = opaque_tag(etag)
    return any(opaque_tag(member) == opaque for member in split_list(value))


def opaque_tag(etag: bytes) -> bytes:
    return etag[2:] if etag[:2] == b"W/" else etag


def _partial(stored: StoredResponse, spans: list[Span], now: float) -> Served:
    length = stored.range[2] if stored.range else len(stored.body)
    age = age_field(stored, now)
    if not spans:
        return Served(416, _unsatisfiable(stored, length, now), b"")
    headers = [field for field in stored.headers if field[0] not in _OF_THE_WHOLE]
    if len(spans) > 1:
        kind, body = _multipart(stored, spans, length)
        headers = [field for field in headers if field[0] != b"content-type"]
        headers.append((b"content-type", kind))
    else:
        body = piece(stored, spans[0])
        headers.append((b"content-range", b"bytes %d-%d/%d" % (*spans[0], length)))
    headers.append((b"content-length", b"%d" % len(body)))
    return Served(206, [*headers, age], body)


def _unsatisfiable(stored: StoredResponse, length: int, now: float) -> list[Header]:
    """The fields of a 416. Its Date is its own (RFC 9110 section 6.6.1), unless the server adds it to all."""
    headers = [(b"content-range", b"bytes */%d" % length), (b"content-length", b"0")]
    return headers if stored.field(b"date") is None else [*headers, (b"date", format_date(now))]


def _multipart(stored: StoredResponse, spans: list[Span], length: int) -> tuple[bytes, bytes]:
    """Content-Type and content of several parts (RFC 9110 section 14.6).

    The boundary can not be guessed, so no stored body can hold one.
    """
    boundary = secrets.token_hex(16).encode()
    kind = stored.field(b"content-type")
    typed = b"Content-Type: %b\r\n" % kind if kind else b""
    parts = [
        b"--%b\r\n%bContent-Range: bytes %d-%d/%d\r\n\r\n%b\r\n"
        % (boundary, typed, *span, length, piece(stored, span))
        for span in spans
    ]
    return b"multipart/byteranges; boundary=" + boundary, b"".join([*parts, b"--%b--\r\n" % boundary])
