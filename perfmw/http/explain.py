"""Decisions in words for people: what each reason means, and what to change for the response to be cached."""

from __future__ import annotations

from dataclasses import dataclass

from perfmw.http.freshness import terms_of
from perfmw.http.keys import request_key
from perfmw.http.messages import Request, ResponseHead
from perfmw.http.policy import Policy
from perfmw.http.reuse import precheck
from perfmw.http.storing import storing
from perfmw.settings import CacheRule

# reason -> (what it means, what to change); an empty second part says that nothing should be changed
REASONS: dict[str, tuple[str, str]] = {
    # why a request stays away from the cache
    "method": (
        "Only GET and HEAD are answered from the cache.",
        "Serve what can be shared from a GET.",
    ),
    "body": (
        "A GET with a body may be answered by the body, which is not part of the key.",
        "Send the parameters in the query string.",
    ),
    "host": (
        "The Host field is missing its form or came more than once.",
        "",
    ),
    "long-url": (
        "The URL is longer than 8192 bytes, and nothing is kept of such.",
        "Send what is that long in the body of a request.",
    ),
    "forwarded": (
        "The request claims another host, prefix or method than the one it is keyed on.",
        "Let only a trusted proxy set such fields, and set trust_forwarded_host if it does.",
    ),
    "precondition": (
        "If-Match and If-Unmodified-Since are for the origin to judge.",
        "",
    ),
    "request-no-store": (
        "The client asked that nothing be stored (Cache-Control: no-store).",
        "",
    ),
    "only-if-cached": (
        "The client wanted a stored response or none, and none could be used.",
        "",
    ),
    # why a response is not stored
    "no-freshness": (
        "The response gives no lifetime: no s-maxage, max-age, Expires or Last-Modified, and no rule does.",
        "Send Cache-Control: max-age=…, or add a CacheRule with a ttl for this path.",
    ),
    "stale": (
        "The response has no lifetime left and nothing to validate it by.",
        "Send a positive max-age, or an ETag so that it can be validated.",
    ),
    "no-cache": (
        "The response has to be validated before each use, but carries no ETag or Last-Modified.",
        "Send an ETag, or a max-age in place of no-cache.",
    ),
    "no-store": (
        "The response forbids storing (Cache-Control: no-store).",
        "Remove no-store if the response is the same for everyone.",
    ),
    "private": (
        "The response is for one user only (Cache-Control: private).",
        "Remove private if the response is the same for everyone.",
    ),
    "status": (
        "Responses with this status are not stored here.",
        "Answer 200, or send explicit freshness with a status that may be cached.",
    ),
    "partial": (
        "A partial response without a usable Content-Range says nothing about the whole.",
        "Send Content-Range with first, last and complete length.",
    ),
    "must-understand": (
        "must-understand asks that caches know the status, and this one is not known.",
        "Use a status that RFC 9110 defines.",
    ),
    "vary-star": (
        "Vary: * says that no later request is ever the same.",
        "Name the request fields the response depends on.",
    ),
    "set-cookie": (
        "The response sets a cookie, which must not be handed to others.",
        "Set cookies on responses of their own, or set allow_set_cookie if this cookie is for everyone.",
    ),
    "cookie": (
        "The request has a Cookie, so the response may be personal.",
        "Send Vary: Cookie, or give the path a CacheRule with shared=True if cookies do not change it.",
    ),
    "authorization": (
        "The request has an Authorization, so the response may be personal.",
        "Send Cache-Control: public with a max-age, or a CacheRule that varies on it or says shared=True.",
    ),
    "reflected": (
        "The response repeats what the request says of its client, such as an address.",
        "Keep client addresses out of responses that are for everyone.",
    ),
    "event-stream": (
        "An event stream never ends, so it can not be stored.",
        "",
    ),
    "control-character": (
        "A field of the response or the request has a control character, or a name that is none.",
        "Find what is reflected into the header, it is a way in for attackers.",
    ),
    # by what the lifetime was given
    "s-maxage": ("Fresh for the s-maxage of its Cache-Control.", ""),
    "max-age": ("Fresh for the max-age of its Cache-Control.", ""),
    "expires": ("Fresh until its Expires date.", ""),
    "heuristic": ("Fresh for a part of the time since Last-Modified.", "Send an explicit max-age."),
    "rule": ("Fresh for the ttl of a CacheRule.", ""),
    "validator": ("Stored to be validated before each use.", ""),
}


@dataclass(slots=True)
class Explanation:
    """Why one exchange was or would be cached. ``age`` and ``lifetime`` in seconds, None when not stored."""

    cacheable: bool
    reason: str
    meaning: str
    change: str
    key: str
    vary: dict[str, str]
    rule: str
    decided_by: str
    age: float | None = None
    lifetime: float | None = None


def meaning_of(reason: str) -> tuple[str, str]:
    """(what it means, what to change) of a reason; a plugin's or a later one stands for itself."""
    return REASONS.get(reason, (reason, ""))


def explain(
    request: Request, head: ResponseHead, *, now: float, policy: Policy, rule: CacheRule | None = None
) -> Explanation:
    """What the cache would do with this response to this request, received at ``now`` (unix seconds)."""
    bypass = precheck(request, policy, rule)
    result = storing(request, head, request_time=now, response_time=now, policy=policy, rule=rule)
    reason = bypass or result.reason
    meaning, change = meaning_of(reason)
    stored = result.stored if bypass is None else None
    explanation = Explanation(
        cacheable=stored is not None,
        reason=reason,
        meaning=meaning,
        change=change,
        key=request_key(request.scheme, request.authority, request.path, request.query),
        vary={},
        rule=(rule.name or rule.path) if rule is not None else "",
        decided_by=_deciding_field(request, head, now, policy, rule, reason),
    )
    if stored is not None:
        explanation.age, explanation.lifetime = stored.age(now), stored.lifetime
        explanation.vary = {
            name.decode("latin-1"): "absent" if value is None else value.decode("latin-1")
            for name, value in zip(stored.vary, stored.vary_values, strict=True)
        }
    return explanation


_DECIDED_BY_REQUEST = {
    "cookie": b"cookie",
    "authorization": b"authorization",
    "request-no-store": b"cache-control",
}
_DECIDED_BY_RESPONSE = {
    "expires": b"expires",
    "heuristic": b"last-modified",
    "set-cookie": b"set-cookie",
    "vary-star": b"vary",
    "event-stream": b"content-type",
    "partial": b"content-range",
}
_SECRET = (b"cookie", b"authorization", b"set-cookie")
_BY_DIRECTIVE = frozenset(
    {"s-maxage", "max-age", "no-store", "no-cache", "private", "must-understand", "stale"}
)


def _deciding_field(
    request: Request,
    head: ResponseHead,
    now: float,
    policy: Policy,
    rule: CacheRule | None,
    reason: str,
) -> str:
    """The field whose value decided, as ``name: value``; secrets by name only, empty when it was none."""
    if reason in _DECIDED_BY_REQUEST:
        return _shown(_DECIDED_BY_REQUEST[reason], request.fields)
    name = _DECIDED_BY_RESPONSE.get(reason, b"")
    if reason in _BY_DIRECTIVE:
        name = _deciding_directives(head, now, policy, rule, reason)
    return _shown(name, head.fields)


def _deciding_directives(
    head: ResponseHead, now: float, policy: Policy, rule: CacheRule | None, reason: str
) -> bytes:
    """The targeted field in force, unless Cache-Control forbids all the same."""
    terms = terms_of(head.status, head.fields, now, policy, rule)
    plainly = {"no-store": terms.plain.no_store, "private": terms.plain.private}.get(reason, False)
    return b"cache-control" if plainly or not terms.target else terms.target


def _shown(name: bytes, fields: dict[bytes, bytes]) -> str:
    if name not in fields:
        return ""
    label = name.decode("latin-1")
    return label if name in _SECRET else f"{label}: {fields[name].decode('latin-1')}"
