"""Stored responses kept compressed: sent as they are to who takes the coding, whole to everybody else.

The two are representations of their own (RFC 9110 section 8.8.3): each has its entity tag and its length, and
``Vary`` tells caches further on. Ranges are of the uncompressed one alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Final

from perfmw.http.fields import MEMO_LONGEST, names_in
from perfmw.http.messages import Header, Headers, Request, StoredResponse, index
from perfmw.http.vary import qualities

CODING: Final = b"zstd"
"""RFC 8878; frames of at most 8 MiB of window, as RFC 9659 asks."""
LARGEST: Final = 1024 * 1024
"""Larger bodies stay as they are: unpacking one for who does not take the coding would hold up the others."""

_WORTH = re.compile(
    rb"text/(?!event-stream)|application/(?:[a-z0-9.-]+\+)?(?:json|xml)|application/(?:javascript|"
    rb"x-javascript|ecmascript|wasm|manifest\+json|x-ndjson|yaml|graphql)|image/(?:svg\+xml|bmp|x-icon)|font/(?:otf|ttf)"
)
_PERSONAL = frozenset({b"authorization", b"cookie", b"proxy-authorization"})
# of the bytes that are not sent then, or of ranges that the compressed representation does not have
_OF_PLAIN = frozenset(
    {
        b"accept-ranges",
        b"content-digest",
        b"content-length",
        b"content-md5",
        b"digest",
        b"etag",
        b"repr-digest",
    }
)
_FORCES_PLAIN = frozenset({b"cache-control", b"pragma", b"range", b"if-range"})


_NOTHING = StoredResponse(0, [], b"", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(slots=True)
class Packed(StoredResponse):
    """A response whose ``body`` is compressed; its fields are those of the uncompressed one.

    ``length``: bytes of the uncompressed body. ``coded``: the compressed response, complete.
    """

    length: int = 0
    coded: StoredResponse = field(default_factory=lambda: _NOTHING)

    def for_fields(self, headers: Headers) -> StoredResponse | None:
        """The compressed response, if a plain GET with these fields is to get it."""
        wanted = condition = None
        for name, value in headers:
            if name == b"accept-encoding":
                if wanted is not None:
                    return None
                wanted = value
            elif name == b"if-none-match":
                condition = value
        if wanted is None or (condition is not None and condition == self.etag):
            return None  # the latter has the uncompressed one, and may keep it
        return self.coded if takes(wanted) else None

    def choose(self, request: Request, now: float, unpack: Callable[[bytes, int], bytes]) -> StoredResponse:
        """What ``request`` is to be answered with, or the uncompressed response where more is to be decided.

        :param unpack: decompresses up to so many bytes; its ValueError is passed on.
        """
        if now < self.fresh_until and _FORCES_PLAIN.isdisjoint(request.special):
            coded = self.for_fields(request.headers)
            if coded is not None:
                return coded
        return self.whole(unpack)

    def whole(self, unpack: Callable[[bytes, int], bytes]) -> StoredResponse:
        """The uncompressed response.

        :raises ValueError: the compressed bytes are damaged.
        """
        body = unpack(self.body, self.length)
        if len(body) != self.length:
            raise ValueError(f"{len(body)} bytes where there should be {self.length}")
        plain = StoredResponse(*[getattr(self, name) for name in _NAMES])
        plain.body = body
        return plain


_NAMES = [one.name for one in fields(StoredResponse)]


def packable(stored: StoredResponse, least: int, *, personal: bool = False) -> bool:
    """Whether a response, as far as its head tells, is of a kind that is worth compressing and may be.

    Not what the app encoded or negotiated itself, what forbids transforming (RFC 9111 section 5.2.2.6), and,
    unless ``personal``, what is for one person: a page with a secret beside text that an attacker chose gives
    the secret away by its compressed length (BREACH).

    :param least: bytes of body from which on compressing pays.
    """
    if stored.status != 200 or stored.range is not None:
        return False
    about = index(stored.headers)
    if b"content-encoding" in about or not _WORTH.match(about.get(b"content-type", b"").lower()):
        return False
    if not least <= int(about.get(b"content-length", b"%d" % least)) <= LARGEST:
        return False
    if b"accept-encoding" in stored.vary or b"accept-encoding" in names_in(about.get(b"vary", b"")):
        return False
    if not personal and (b"set-cookie" in about or not _PERSONAL.isdisjoint(stored.vary)):
        return False
    return b"no-transform" not in about.get(b"cache-control", b"").lower()


def packed(stored: StoredResponse, body: bytes) -> Packed:
    """``stored`` with its compressed ``body``."""
    etag = _tagged(stored.etag)
    headers = [line for line in stored.headers if line[0] not in _OF_PLAIN]
    headers = with_vary(headers)
    headers += [(b"content-encoding", CODING), (b"content-length", b"%d" % len(body))]
    if etag is not None:
        headers.append((b"etag", etag))
    coded = replace(stored, headers=headers, body=body, etag=etag, brief=None)
    values = {name: getattr(stored, name) for name in _NAMES}
    values |= {"headers": with_vary(stored.headers), "body": body, "brief": None}
    return Packed(**values, length=len(stored.body), coded=coded)


def with_vary(headers: Headers) -> list[Header]:
    """Fields that say that Accept-Encoding selects the response."""
    value = b", ".join(value for name, value in headers if name == b"vary")
    if b"accept-encoding" in names_in(value):
        return list(headers)
    kept = [line for line in headers if line[0] != b"vary"]
    return [*kept, (b"vary", value + b", accept-encoding" if value else b"accept-encoding")]


def _tagged(etag: bytes | None) -> bytes | None:
    """The compressed representation's own entity tag; strong or weak as the other is."""
    return etag[:-1] + b'-zstd"' if etag is not None and etag.endswith(b'"') else None


def takes(accepted: bytes) -> bool:
    """Whether an Accept-Encoding value takes zstd, and does not prefer the bytes as they are."""
    return _taken(accepted) if len(accepted) <= MEMO_LONGEST else _takes(accepted)


def _takes(accepted: bytes) -> bool:
    found = qualities(accepted)
    quality = found.get(CODING, 0)
    return quality > 0 and quality >= found.get(b"identity", 0)


_taken = lru_cache(maxsize=256)(_takes)
