"""The hit path: from an ASGI scope to a fresh stored response without a task, lock, span or hook.

What it cannot decide at a glance it leaves to the full exchange: any request field that could change the
answer, any stored response that is not plainly fresh.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from perfmw.asgi.types import HeaderList, Scope
from perfmw.cache.entries import Entry
from perfmw.exchange.packer import unpacked_for
from perfmw.http.keys import request_key
from perfmw.http.messages import SPECIAL, StoredResponse
from perfmw.http.messages import index as fields_of
from perfmw.http.packed import Packed
from perfmw.http.serve import headers_of_304, unchanged
from perfmw.http.variants import VariantIndex

DECISIVE = SPECIAL | {
    b"content-length",
    b"expect",
    b"host",
    b"proxy-authorization",
    b"transfer-encoding",
    b"upgrade",
}
"""Request fields that may change which response is right, or whether the cache may be asked at all."""
CONDITIONS = frozenset({b"if-modified-since", b"if-none-match"})
_NOTED = DECISIVE | {b"traceparent"}


def raw_path(scope: Scope) -> bytes:
    """The path as it came over the wire (``scope["path"]`` is lossy: %2F, invalid UTF-8)."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        from urllib.parse import quote

        return quote(scope["path"], safe="/~!$&'()*+,;=:@").encode("ascii")
    return raw.partition(b"?")[0] if b"?" in raw else raw


Conditions = bytes | HeaderList
"""The value of a lone If-None-Match, or all the conditions there are."""


Plain = tuple[str, Conditions | None, bytes | None]
"""The cache key of a plain GET, its conditions if it has any, and its ``traceparent`` if it has one."""

_MOST_KEYS = 4096
_LONGEST = 256
_MOST_SEEN = 512
_LARGEST = 2048
_PATIENCE = 64
_keys: dict[tuple[str, bytes, bytes | None, bytes], Plain] = {}
"""Keys made lately, by what they were made of: finding one takes half the time of making it. Bounded."""


class _Seen:
    """What ``plain_key`` made of one request for a path. ``others``: requests since that differed."""

    __slots__ = ("headers", "others", "parts", "plain")

    def __init__(self, scope: Scope, plain: Plain) -> None:
        self.headers: HeaderList = scope["headers"].copy()
        self.parts = scope["query_string"], scope["scheme"]
        self.plain = plain
        self.others = 0


_seen: dict[bytes | None, _Seen] = {}
"""By raw path. A client that keeps asking sends the same fields again: comparing them takes a fifth of the
time of looking at each. Bounded."""


def plain_key(scope: Scope) -> Plain | None:
    """What is to be known of a GET with no field that needs a closer look; None for every other request.

    A condition is the client's own copy: it turns a hit into a 304 at most.
    """
    if scope["method"] != "GET":
        return None
    seen = _seen.get(scope.get("raw_path"))
    if seen is None:
        plain = _looked_at(scope)
    elif seen.headers == scope["headers"] and seen.parts == (scope["query_string"], scope["scheme"]):
        return seen.plain
    else:
        plain = _looked_at(scope)
        seen.others += 1
        if seen.others < _PATIENCE:
            return plain
    if plain is not None and plain[2] is None:
        _remember(scope, plain)
    return plain


def _remember(scope: Scope, plain: Plain) -> None:
    raw, headers = scope.get("raw_path"), scope["headers"]
    if raw is None or type(headers) is not list or not all(type(field) is tuple for field in headers):
        return  # what might be changed in place must not be compared with later
    if len(raw) + len(scope["query_string"]) + sum(len(a) + len(b) for a, b in headers) > _LARGEST:
        return
    if len(_seen) >= _MOST_SEEN:
        _seen.clear()
    _seen[raw] = _Seen(scope, plain)


def _looked_at(scope: Scope) -> Plain | None:
    host = lone = parent = None
    several = False
    for name, value in scope["headers"]:
        if name in _NOTED:
            if name == b"host" and host is None:
                host = value
            elif name == b"if-none-match" and lone is None:
                lone = value
            elif name == b"traceparent":
                parent = value
            elif name in CONDITIONS:
                several = True
            else:
                return None
    if host is None:
        return None
    parts = scope["scheme"], host, scope.get("raw_path"), scope["query_string"]
    plain = _keys.get(parts) or _new_key(scope, parts)
    if several:
        return plain[0], [field for field in scope["headers"] if field[0] in CONDITIONS], parent
    return plain if lone is None and parent is None else (plain[0], lone, parent)


def _new_key(scope: Scope, parts: tuple[str, bytes, bytes | None, bytes]) -> Plain:
    scheme, host, raw, query = parts
    path = raw if raw is not None and b"?" not in raw else raw_path(scope)
    plain = request_key(scheme, host, path, query), None, None
    if raw is not None and len(host) + len(raw) + len(query) <= _LONGEST:
        if len(_keys) >= _MOST_KEYS:
            _keys.clear()
        _keys[parts] = plain
    return plain


def fresh(
    lookup: Callable[[str], Entry | None],
    key: str,
    now: float,
    scope: Scope,
    strict: bool,
    rules: Container[str],
) -> StoredResponse | None:
    """The stored response of ``key`` if it needs no further thought at ``now`` (unix seconds).

    :param rules: names of the rules in force, for responses that owe their freshness to one.
    """
    entry = lookup(key)
    if entry is None:
        return None
    stored = entry.value
    if type(stored) is VariantIndex:
        stored = _variant(lookup, stored, scope, strict)
    if type(stored) is not StoredResponse:
        if type(stored) is not Packed:
            return None
        stored = unpacked_for(stored, scope["headers"]) if now < stored.fresh_until else None
    if stored is None or now >= stored.fresh_until:
        return None
    return stored if not stored.rule or stored.rule in rules else None


def _variant(
    lookup: Callable[[str], Entry | None], index: VariantIndex, scope: Scope, strict: bool
) -> StoredResponse | None:
    """The one complete variant that Vary selects; among several the full exchange chooses."""
    key = index.choose(scope["headers"], strict=strict)
    entry = lookup(key) if key else None
    stored = entry.value if entry is not None else None
    return stored if isinstance(stored, StoredResponse) and stored.range is None else None


def confirmed(stored: StoredResponse, conditions: Conditions, now: float) -> HeaderList | None:
    """The fields of a 304, when the client's copy is the stored response; None when it is not."""
    brief = stored.brief
    if brief is None or conditions != stored.etag:
        fields = {b"if-none-match": conditions} if isinstance(conditions, bytes) else fields_of(conditions)
        if not (200 <= stored.status < 300 and unchanged(fields, stored)):
            return None
        brief = headers_of_304(stored)
    age = int(now - stored.response_time + stored.initial_age)
    ttl = int(stored.fresh_until - now)
    return [
        *brief,
        _ages[age] if 0 <= age < 4096 else (b"age", b"%d" % max(0, age)),
        _hits[ttl] if ttl < 4096 else (b"cache-status", b"perfmw; hit; ttl=%d" % ttl),
    ]


_ages = [(b"age", b"%d" % age) for age in range(4096)]
_hits = [(b"cache-status", b"perfmw; hit; ttl=%d" % ttl) for ttl in range(4096)]


def hit_headers_for_cdn(stored: StoredResponse, now: float) -> HeaderList:
    """``hit_headers`` with those that are for a CDN."""
    return [*hit_headers(stored, now), *stored.edge]


def hit_headers(stored: StoredResponse, now: float) -> HeaderList:
    """The fields of a hit: as stored, with Age (RFC 9111 §5.1) and Cache-Status (RFC 9211)."""
    age = int(now - stored.response_time + stored.initial_age)
    ttl = int(stored.fresh_until - now)
    return [
        *stored.headers,
        _ages[age] if 0 <= age < 4096 else (b"age", b"%d" % max(0, age)),
        _hits[ttl] if ttl < 4096 else (b"cache-status", b"perfmw; hit; ttl=%d" % ttl),
    ]
