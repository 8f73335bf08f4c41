"""The three messages the cache talks about: a request, the head of a response, a stored response."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Header = tuple[bytes, bytes]
Headers = Sequence[Header]
Fields = dict[bytes, bytes]

# Request fields that can change what a stored response may be used for; a request without any of them
# takes the short way to a hit.
SPECIAL = frozenset(
    {
        b"authorization",
        b"cache-control",
        b"cookie",
        b"forwarded",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"pragma",
        b"range",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-scheme",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-host",
        b"x-http-host-override",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-host",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-url-scheme",
    }
)


def index(headers: Headers) -> Fields:
    """Field name -> value; repeated fields joined in order (RFC 9110 section 5.3), cookies by ``; ``."""
    fields = dict(headers)
    if len(fields) == len(headers):
        return fields
    return _joined(headers)


def _joined(headers: Iterable[Header]) -> Fields:
    parts: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        parts.setdefault(name, []).append(value)
    return {name: (b"; " if name == b"cookie" else b", ").join(values) for name, values in parts.items()}


@dataclass(slots=True, eq=False)
class Request:
    """``authority``: the Host field; ``path``, ``query``: raw bytes as sent; ``headers``: lower-case names.

    ``fields`` and ``special`` are derived: the fields by name, and the names among them that concern a
    cache (``host`` only when it came twice).
    """

    method: str
    scheme: str
    authority: bytes
    path: bytes
    query: bytes
    headers: Headers
    has_body: bool = False
    fields: Fields = field(init=False, repr=False)
    special: frozenset[bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.fields = fields = index(self.headers)
        self.special = SPECIAL.intersection(fields)
        if len(fields) != len(self.headers) and self.count(b"host") > 1:
            self.special |= {b"host"}

    def count(self, name: bytes) -> int:
        """How many lines this field came in."""
        return sum(1 for header, _ in self.headers if header == name)


@dataclass(slots=True, eq=False)
class ResponseHead:
    """Status and headers (lower-case names) of a response whose body is not at hand yet."""

    status: int
    headers: Headers
    fields: Fields = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.fields = index(self.headers)


@dataclass(slots=True)
class StoredResponse:
    """A response kept for reuse, with everything a later decision needs worked out once.

    Times are unix seconds, ages and lifetimes seconds. ``fresh_until`` is 0 for a response that must be
    validated each time (no-cache), so ``now < fresh_until`` alone says "fresh". ``range`` is
    (first, last, complete length) of a partial response. ``vary_values`` are normalised. ``own_etag``:
    the entity tag was made here, so the origin does not know it. ``brief``: the fields of a 304, once one was
    sent. ``edge``: the fields made here for a CDN, which are no part of the response.
    """

    status: int
    headers: list[Header]
    body: bytes
    request_time: float
    response_time: float
    date: float
    initial_age: float
    lifetime: float
    fresh_until: float
    source: str = ""
    etag: bytes | None = None
    last_modified: bytes | None = None
    always_revalidate: bool = False
    must_revalidate: bool = False
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    immutable: bool = False
    heuristic: bool = False
    cookie_ok: bool = False
    authorization_ok: bool = False
    vary: tuple[bytes, ...] = ()
    vary_values: tuple[bytes | None, ...] = ()
    range: tuple[int, int, int] | None = None
    own_etag: bool = False
    route: str = ""
    rule: str = ""
    brief: list[Header] | None = None
    edge: tuple[Header, ...] = ()

    @property
    def has_validator(self) -> bool:
        return self.last_modified is not None or (self.etag is not None and not self.own_etag)

    def age(self, now: float) -> float:
        """Current age (section 4.2.3)."""
        return max(0.0, self.initial_age + now - self.response_time)

    def field(self, name: bytes) -> bytes | None:
        """The first value of a header field."""
        return next((value for header, value in self.headers if header == name), None)

    def keep_seconds(self, now: float, *, grace: float, validator_seconds: float) -> float:
        """How long holding on to it can still help: while fresh, then stale, then to validate against."""
        useful = max(self.stale_while_revalidate, self.stale_if_error, 0.0 if self.must_revalidate else grace)
        if self.has_validator:
            useful = max(useful, validator_seconds)
        left = self.response_time - self.initial_age + self.lifetime - now
        return max(0.0, left) + useful
