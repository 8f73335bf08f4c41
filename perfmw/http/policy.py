"""What the cache may do, settled once from Settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from perfmw.http.rules import RuleBook
from perfmw.settings import Settings

OWN_TARGET = b"perfmw-cache-control"
TARGETS = (OWN_TARGET, b"cdn-cache-control", b"surrogate-control")
_FRESHNESS = frozenset({b"cache-control", b"expires", b"last-modified"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Times in seconds. ``rfc_strict``: exactly what RFC 9111 allows, without perfmw's own guards.

    ``targets``: targeted fields honoured, the first that parses wins (RFC 9213). ``grace``: how long after
    its freshness a response may stand in for a failing origin. ``validator_seconds``: how long a stale
    response is kept to be validated. ``max_variants``: responses kept of one URL. ``add_etag``: give
    responses without a validator an ETag of their content. ``complete_partials``: ask the origin only for
    the bytes that a stored partial response lacks.
    """

    rfc_strict: bool = False
    heuristic_fraction: float = 0.1
    heuristic_max: float = 86_400.0
    targets: tuple[bytes, ...] = TARGETS
    rules: RuleBook = field(default_factory=RuleBook)
    max_body_bytes: int = 8 * 1024 * 1024
    allow_set_cookie: bool = False
    add_etag: bool = False
    complete_partials: bool = False
    trust_forwarded_host: bool = False
    grace: float = 60.0
    validator_seconds: float = 86_400.0
    max_variants: int = 32
    freshness_names: frozenset[bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = _FRESHNESS.union(self.targets)
        # some frameworks send "Cache-Control" where ASGI asks for lower case
        object.__setattr__(self, "freshness_names", names.union(name.title() for name in names))

    @classmethod
    def from_settings(cls, settings: Settings, rules: RuleBook) -> Policy:
        return cls(
            rfc_strict=settings.rfc_strict,
            heuristic_fraction=settings.heuristic_fraction,
            heuristic_max=settings.heuristic_max,
            rules=rules,
            targets=(OWN_TARGET, *(name.encode() for name in settings.targets)),
            max_body_bytes=settings.max_body_bytes,
            allow_set_cookie=settings.allow_set_cookie,
            add_etag=settings.add_etag,
            complete_partials=True,
            grace=settings.stale_grace,
            trust_forwarded_host=settings.trust_forwarded_host,
        )
