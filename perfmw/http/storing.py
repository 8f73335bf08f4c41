"""Whether a response may be stored, and as what (section 3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from perfmw.http.fields import CacheControl, cache_control, names_in
from perfmw.http.forwarding import keyed_claims
from perfmw.http.freshness import EXPLICIT, HEURISTIC_STATUSES, Terms, initial_age, terms_of
from perfmw.http.keys import referenced_key, request_key
from perfmw.http.messages import Fields, Header, Headers, Request, ResponseHead, StoredResponse
from perfmw.http.policy import OWN_TARGET, Policy
from perfmw.http.ranges import parse_content_range
from perfmw.http.vary import selecting_values, vary_names
from perfmw.settings import CacheRule

# RFC 9110 defines these; what they mean for a cache is understood (must-understand, section 5.2.2.3)
UNDERSTOOD = HEURISTIC_STATUSES.union(
    (302, 303, 307, 400, 401, 402, 403, 406, 408, 409, 411, 413, 415, 417, 421, 422, 426, 500, 502, 503, 504)
)
# what a condition or a range came to is no answer to requests without it, and both are no part of a key
_OF_THE_REQUEST = frozenset({304, 412, 416})
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_NOT_REPLAYED = HOP_BY_HOP | {b"age"}
# a control character in a field makes servers refuse every later hit (RFC 9110 section 5.5)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")


@dataclass(slots=True, frozen=True)
class Storing:
    """``stored`` has no body yet. ``reason``: one word, why not, or by what the lifetime was given.

    ``supersedes``: not worth storing, but what was stored before is outdated by it and should go.
    """

    store: bool
    reason: str
    stored: StoredResponse | None = None
    supersedes: bool = False


NO_FRESHNESS = Storing(False, "no-freshness")


def storing(
    request: Request,
    head: ResponseHead,
    *,
    request_time: float,
    response_time: float,
    policy: Policy,
    rule: CacheRule | None = None,
) -> Storing:
    """Decide from the heads alone; the caller adds the body once it is known to be complete.

    :param request_time: unix seconds when the request was forwarded; ``response_time``: when the head came.
    """
    # the commonest response says nothing about caching: find that out before anything else
    if (rule is None or rule.ttl is None) and policy.freshness_names.isdisjoint(head.fields):
        return NO_FRESHNESS
    if reason := _said_at_once(head.fields, policy):
        return _refused(reason)
    if any(not name.islower() for name, _ in head.headers):
        head = ResponseHead(head.status, [(name.lower(), value) for name, value in head.headers])
    return assess(
        request, head, request_time=request_time, response_time=response_time, policy=policy, rule=rule
    )


@lru_cache(maxsize=64)
def _refused(reason: str) -> Storing:
    return Storing(False, reason, supersedes=reason == "stale")


def _said_at_once(fields: Fields, policy: Policy) -> str:
    """no-store and private by default need no second look; only perfmw's own field could overrule them."""
    if policy.rfc_strict or b"cache-control" not in fields or OWN_TARGET in fields:
        return ""
    return _forbids(cache_control(fields[b"cache-control"]), policy, understood=False)


def assess(
    request: Request,
    head: ResponseHead,
    *,
    request_time: float,
    response_time: float,
    policy: Policy,
    rule: CacheRule | None,
    known: StoredResponse | None = None,
    selecting: bool = False,
) -> Storing:
    """Judge a response head in full.

    :param known: the stored response that a 304 confirmed; the result then has its body, selects as it
        did (unless ``selecting``: then as this request does) and carries ``stored`` even when not to be kept.
    """
    terms = terms_of(head.status, head.fields, response_time, policy, rule)
    names = vary_names(head.fields, _extra_names(request, policy, rule))
    reason = "" if known else _by_method(request, head, terms, policy)
    reason = reason or refusal(request, head, terms, names, policy, rule, partial=bool(known and known.range))
    if reason and known is None:
        return _refused(reason)
    stored = _stored(request, head, terms, names or (), request_time, response_time, policy, rule)
    if known is not None:
        stored.body, stored.range, stored.route = known.body, known.range, known.route
        stored.own_etag = known.own_etag and stored.etag == known.etag
        if stored.vary == known.vary and not selecting:
            stored.vary_values = known.vary_values
    return Storing(not reason, reason or terms.source or "validator", stored)


def complete(stored: StoredResponse, body: bytes, policy: Policy | None = None) -> StoredResponse | None:
    """The stored response with its body; None when Content-Length or Content-Range counts other bytes.

    It gets a Content-Length, and with ``policy.add_etag`` an entity tag when it came without a validator.
    """
    lengths = {value for name, value in stored.headers if name == b"content-length"}
    actual = b"%d" % len(body)
    if lengths and lengths != {actual}:
        return None
    if stored.range is not None and stored.range[1] - stored.range[0] + 1 != len(body):
        return None
    stored.body = body
    if stored.status not in (204, 205):
        stored.headers = [field for field in stored.headers if field[0] != b"content-length"]
        stored.headers.append((b"content-length", actual))
    if policy is not None and policy.add_etag and stored.status == 200 and not stored.has_validator:
        stored.etag, stored.own_etag = content_etag(stored, body), True
        stored.headers.append((b"etag", stored.etag))
    return stored


def content_etag(stored: StoredResponse, body: bytes) -> bytes:
    """An entity tag that every process gives the same bytes (RFC 9110 section 8.8.3)."""
    digest = blake2b(body, digest_size=12)
    for name in (b"content-encoding", b"content-type"):
        digest.update(b"\0" + (stored.field(name) or b""))
    return b'"' + digest.hexdigest().encode() + b'"'


def _extra_names(request: Request, policy: Policy, rule: CacheRule | None) -> tuple[bytes, ...]:
    named = (
        tuple(name.lower().encode("latin-1", "replace") for name in rule.vary) if rule and rule.vary else ()
    )
    return named + keyed_claims(request, policy) if request.special else named


def refusal(
    request: Request,
    head: ResponseHead,
    terms: Terms,
    names: tuple[bytes, ...] | None,
    policy: Policy,
    rule: CacheRule | None,
    *,
    partial: bool = False,
) -> str:
    """The first reason against storing, in one word; empty when there is none."""
    return (
        _by_status(head, terms, policy, partial=partial)
        or _by_directives(request, head, terms, policy)
        or ("vary-star" if names is None else _by_person(request, head, terms, names, policy, rule))
        or _by_content(request, head)
        or _by_freshness(head.fields, terms)
    )


def _by_method(request: Request, head: ResponseHead, terms: Terms, policy: Policy) -> str:
    if request.method == "POST" and policy.rfc_strict:
        explicit = terms.lifetime is not None and terms.source in EXPLICIT
        return "" if explicit and head.status == 200 and _names_target(request, head.fields) else "method"
    if request.method != "GET":
        return "method"
    return "body" if request.has_body else ""


def _names_target(request: Request, fields: Fields) -> bool:
    """A POST answered with the target's own new state (RFC 9110 section 9.3.3)."""
    location = fields.get(b"content-location")
    key = request_key(request.scheme, request.authority, request.path, request.query)
    return location is not None and referenced_key(key, location) == key


def _by_status(head: ResponseHead, terms: Terms, policy: Policy, *, partial: bool) -> str:
    status = head.status
    if status < 200 or status in _OF_THE_REQUEST or terms.source == "status":
        return "status"
    if status == 206 and not partial and parse_content_range(head.fields.get(b"content-range", b"")) is None:
        return "partial"
    if terms.control.must_understand and status not in UNDERSTOOD:
        return "must-understand"
    if not policy.rfc_strict and (status >= 500 or (status >= 400 and status not in HEURISTIC_STATUSES)):
        return "status"
    return ""


def _by_directives(request: Request, head: ResponseHead, terms: Terms, policy: Policy) -> str:
    control = terms.control
    if request.special and cache_control(request.fields.get(b"cache-control", b"")).no_store:
        return "request-no-store"
    if reason := _forbids(control, policy, understood=head.status in UNDERSTOOD):
        return reason
    # a targeted field overrides Cache-Control, but only perfmw's own is taken to mean this cache
    if not policy.rfc_strict and terms.target not in (b"", OWN_TARGET):
        return _forbids(terms.plain, policy, understood=False)
    return ""


def _forbids(control: CacheControl, policy: Policy, *, understood: bool) -> str:
    if control.no_store and not (policy.rfc_strict and control.must_understand and understood):
        return "no-store"
    if control.private or (control.private_fields and not policy.rfc_strict):
        return "private"
    return ""


def _by_person(
    request: Request,
    head: ResponseHead,
    terms: Terms,
    names: tuple[bytes, ...],
    policy: Policy,
    rule: CacheRule | None,
) -> str:
    if b"set-cookie" in head.fields and not policy.rfc_strict and not policy.allow_set_cookie:
        return "set-cookie"
    if not request.special:
        return ""
    if b"authorization" in request.fields and not _authorization_ok(terms, names, policy, rule):
        return "authorization"
    if b"cookie" in request.fields and not (policy.rfc_strict or _for_everyone(b"cookie", names, rule)):
        return "cookie"
    return ""


def _for_everyone(name: bytes, names: tuple[bytes, ...], rule: CacheRule | None) -> bool:
    """Keyed on the field, or declared not to depend on it."""
    return name in names or (rule is not None and rule.shared)


def _authorization_ok(terms: Terms, names: tuple[bytes, ...], policy: Policy, rule: CacheRule | None) -> bool:
    """Section 3.5; by default the origin must have given the freshness too, not a rule or a heuristic."""
    if _for_everyone(b"authorization", names, rule):
        return True
    control = terms.control
    allowed = control.public or control.must_revalidate or control.s_maxage is not None
    return allowed and (policy.rfc_strict or terms.source in EXPLICIT)


def _by_content(request: Request, head: ResponseHead) -> str:
    if head.fields.get(b"content-type", b"").lower().startswith(b"text/event-stream"):
        return "event-stream"
    for name, value in head.headers:
        if _CONTROL.search(value) or not _NAME.fullmatch(name):
            return "control-character"
    # whoever sends such a field is trying something out, and the response may show what came of it
    return "control-character" if any(_CONTROL.search(value) for _, value in request.headers) else ""


def _by_freshness(fields: Fields, terms: Terms) -> str:
    validator = b"etag" in fields or b"last-modified" in fields
    control = terms.control
    if control.no_cache:
        return "" if validator else "no-cache"
    if terms.lifetime is None:
        return "no-freshness"
    if terms.lifetime > 0 or validator or control.stale_while_revalidate or control.stale_if_error:
        return ""
    return "stale"


def _stored(
    request: Request,
    head: ResponseHead,
    terms: Terms,
    names: tuple[bytes, ...],
    request_time: float,
    response_time: float,
    policy: Policy,
    rule: CacheRule | None,
) -> StoredResponse:
    strict, control, fields = policy.rfc_strict, terms.control, head.fields
    age = initial_age(fields, terms.date, request_time, response_time, strict=strict)
    lifetime = terms.lifetime or 0.0
    ruled = rule if terms.source == "rule" else None
    behind = control.stale_while_revalidate or (ruled.stale_while_revalidate if ruled is not None else 0)
    return StoredResponse(
        status=head.status,
        headers=replayed(head.headers, fields, control),
        body=b"",
        request_time=request_time,
        response_time=response_time,
        date=terms.date,
        initial_age=age,
        lifetime=lifetime,
        fresh_until=0.0 if control.no_cache else response_time - age + lifetime,
        source=terms.source,
        etag=fields.get(b"etag"),
        last_modified=fields.get(b"last-modified"),
        always_revalidate=control.no_cache,
        must_revalidate=_no_stale(control, strict=strict),
        stale_while_revalidate=float(behind),
        stale_if_error=float(control.stale_if_error or 0),
        immutable=control.immutable,
        heuristic=terms.source == "heuristic",
        cookie_ok=strict or _for_everyone(b"cookie", names, rule),
        authorization_ok=strict or _authorization_ok(terms, names, policy, rule),
        vary=names,
        vary_values=selecting_values(request.fields, names, strict=strict),
        range=parse_content_range(fields.get(b"content-range", b"")) if head.status == 206 else None,
        rule=(ruled.name or ruled.path) if ruled is not None else "",
    )


def _no_stale(control: CacheControl, *, strict: bool) -> bool:
    """Whether serving stale is forbidden (section 4.2.4).

    s-maxage forbids it as proxy-revalidate does (section 5.2.2.10); an origin that sends it together with a
    stale-* directive means the latter, so that holds unless ``strict``.
    """
    if control.no_cache or control.must_revalidate or control.proxy_revalidate:
        return True
    if control.s_maxage is None:
        return False
    return strict or not (control.stale_while_revalidate or control.stale_if_error)


def replayed(headers: Headers, fields: Fields, control: CacheControl) -> list[Header]:
    """The fields to store (section 3.1): none for one connection only, none that the origin withheld."""
    dropped = _NOT_REPLAYED
    withheld = control.private_fields + control.no_cache_fields
    if b"connection" in fields or withheld:
        dropped = dropped.union(names_in(fields.get(b"connection", b"")), withheld)
    if b"cache-status" not in fields:
        return [(name, value) for name, value in headers if name not in dropped]
    return [
        (name, value)
        for name, value in headers
        if name not in dropped and not (name == b"cache-status" and value.lower().startswith(b"perfmw;"))
    ]
