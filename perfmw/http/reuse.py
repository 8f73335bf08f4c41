"""What a request gets: a stored response, a stale one, a validation, or the origin (section 4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from perfmw.http.fields import NOTHING, CacheControl, cache_control
from perfmw.http.forwarding import keyed_claims, unkeyable
from perfmw.http.messages import Header, Request, StoredResponse
from perfmw.http.policy import Policy
from perfmw.http.ranges import holds
from perfmw.http.vary import selects
from perfmw.settings import CacheRule

Action = Literal["serve", "serve_stale", "validate", "select", "complete", "forward", "refuse"]

FAILURES = frozenset({500, 502, 503, 504})
"""Statuses by which an origin says that it can not answer (RFC 5861 section 4)."""

LONGEST_URL = 8192
"""Bytes of path and query. Longer ones are answered, but nothing is kept of them: each would be a key."""
_LONGEST_HOST = 300
_AUTHORITY = re.compile(rb"[A-Za-z0-9._~:\[\]%!$&'()*+;=-]*")
_PRECONDITIONS = (b"if-match", b"if-unmodified-since")
_CLIENT_COPY = frozenset({b"if-none-match", b"if-modified-since"})
_CONDITIONALS = frozenset({b"if-none-match", b"if-modified-since", b"if-range", b"range"})


@dataclass(slots=True)
class Decision:
    """What to do with a request.

    ``action``: serve; serve_stale (and, if ``revalidate``, validate in the background); validate (forward
    with ``conditionals``); select (forward with the entity tags of the other variants as ``conditionals``: a
    304 names the right one); complete (forward with ``conditionals`` for the bytes that ``stored`` lacks, see
    ``validation.completed``; only under ``policy.complete_partials``); forward; refuse (504,
    only-if-cached). ``stored``: the response to serve or to
    validate. ``fwd``: the RFC 9211 word; ``detail``: one more word. ``may_store``: whether the answer may
    be stored at all.
    """

    action: Action
    stored: StoredResponse | None = None
    fwd: str = ""
    detail: str = ""
    conditionals: tuple[Header, ...] = ()
    may_store: bool = True
    revalidate: bool = False


def precheck(request: Request, policy: Policy, rule: CacheRule | None = None) -> str | None:
    """Why this request stays away from the cache altogether, in one word; None when it need not.

    The answer to such a request is neither looked up nor stored. ``method`` is the one exception: a POST
    may be answered by a response to store (see ``storing``), an unsafe method invalidates.
    """
    if request.method != "GET" and request.method != "HEAD":
        return "method"
    if request.has_body:
        return "body"
    if len(request.path) + len(request.query) > LONGEST_URL:
        return "long-url"
    if len(request.authority) > _LONGEST_HOST or not _sound(request.authority):
        return "host"
    return _special(request, policy) if request.special else None


@lru_cache(maxsize=256)
def _sound(authority: bytes) -> bool:
    return _AUTHORITY.fullmatch(authority) is not None


def _special(request: Request, policy: Policy) -> str | None:
    if b"host" in request.special:
        return "host"
    if unkeyable(request, policy):
        return "forwarded"
    if any(name in request.fields for name in _PRECONDITIONS):
        return "precondition"
    return "request-no-store" if request_control(request).no_store else None


def request_control(request: Request) -> CacheControl:
    """The request's directives; Pragma counts only without Cache-Control (section 5.4)."""
    fields = request.fields
    if b"cache-control" in fields:
        return cache_control(fields[b"cache-control"])
    if b"pragma" in fields and cache_control(fields[b"pragma"]).no_cache:
        return _PRAGMA
    return NOTHING


_PRAGMA = CacheControl(no_cache=True)


def is_plain_hit(request: Request, stored: StoredResponse, now: float) -> bool:
    """The short way to a hit or a 304: nothing in the request or in Vary needs a second look."""
    special = request.special
    plain = now < stored.fresh_until and not stored.vary and stored.range is None
    return plain and (not special or special <= _CLIENT_COPY)


def _is_selected_hit(request: Request, stored: StoredResponse, now: float, policy: Policy) -> bool:
    return (
        now < stored.fresh_until
        and not request.special
        and stored.range is None
        and selects(request.fields, stored.vary, stored.vary_values, stored.headers, strict=policy.rfc_strict)
    )


def decide(
    request: Request,
    candidates: Sequence[StoredResponse],
    now: float,
    policy: Policy,
    rule: CacheRule | None = None,
) -> Decision:
    """Decide for a request that passed ``precheck``, given every response stored for its URL."""
    if len(candidates) == 1:
        stored = candidates[0]
        if is_plain_hit(request, stored, now) or _is_selected_hit(request, stored, now, policy):
            return Decision("serve", stored)
    control = request_control(request) if request.special else NOTHING
    decision = _judge(request, candidates, now, policy, control)
    if control.only_if_cached and decision.action in ("validate", "complete", "forward"):
        return Decision("refuse", fwd=decision.fwd, detail="only-if-cached", may_store=False)
    return decision


def _judge(
    request: Request,
    candidates: Sequence[StoredResponse],
    now: float,
    policy: Policy,
    control: CacheControl,
) -> Decision:
    if not candidates:
        return Decision("forward", fwd="request" if control.no_cache else "uri-miss")
    selected = _selected(request, candidates, policy)
    if not selected:
        return Decision("forward", fwd="vary-miss")
    allowed = [stored for stored in selected if not _personal(request, stored)]
    if not allowed:
        return Decision("forward", fwd="bypass", detail=_personal(request, selected[0]))
    usable = [stored for stored in allowed if holds(request, stored)]
    if not usable:
        return _complete(request, allowed[0], policy)
    return _by_time(request, usable[0], now, control)


def _selected(request: Request, candidates: Sequence[StoredResponse], policy: Policy) -> list[StoredResponse]:
    """Those that Vary lets the request have, the most recent first (section 4)."""
    claims = set(keyed_claims(request, policy)) if request.special else None
    found = [
        stored
        for stored in candidates
        if selects(request.fields, stored.vary, stored.vary_values, stored.headers, strict=policy.rfc_strict)
        and not (claims and claims.difference(stored.vary))
    ]
    found.sort(key=lambda stored: (stored.date, stored.response_time), reverse=True)
    return found


def _personal(request: Request, stored: StoredResponse) -> str:
    if not request.special:
        return ""
    if b"cookie" in request.fields and not stored.cookie_ok:
        return "cookie"
    if b"authorization" in request.fields and not stored.authorization_ok:
        return "authorization"
    return ""


def _by_time(request: Request, stored: StoredResponse, now: float, control: CacheControl) -> Decision:
    if control.no_cache:
        return _validate(request, stored, "request", "no-cache")
    if now < stored.fresh_until:
        if reason := _too_old(stored, now, control):
            return _validate(request, stored, "request", reason)
        return Decision("serve", stored)
    if _accepts_stale(stored, now, control):
        return Decision("serve_stale", stored, fwd="stale", detail="max-stale")
    if _covered_while_revalidating(stored, now) and not _too_old(stored, now, control):
        return Decision("serve_stale", stored, fwd="stale", detail="revalidating", revalidate=True)
    return _validate(request, stored, "stale", "no-cache" if stored.always_revalidate else "")


def _too_old(stored: StoredResponse, now: float, control: CacheControl) -> str:
    """A fresh response may still be older than the client takes (sections 5.2.1.1 and 5.2.1.3)."""
    if control.max_age is not None and (control.max_age == 0 or stored.age(now) > control.max_age):
        return "max-age"
    if control.min_fresh is not None and stored.fresh_until - now < control.min_fresh:
        return "min-fresh"
    return ""


def _accepts_stale(stored: StoredResponse, now: float, control: CacheControl) -> bool:
    if control.max_stale is None or stored.must_revalidate or stored.always_revalidate:
        return False
    return now - stored.fresh_until <= control.max_stale and not _too_old(stored, now, control)


def _covered_while_revalidating(stored: StoredResponse, now: float) -> bool:
    """RFC 5861 section 3."""
    return not stored.must_revalidate and now < stored.fresh_until + stored.stale_while_revalidate


def _validate(request: Request, stored: StoredResponse, fwd: str, detail: str) -> Decision:
    conditionals = conditionals_for(stored)
    action: Action = "validate" if conditionals else "forward"
    return Decision(action, stored, fwd=fwd, detail=detail, conditionals=conditionals)


def _complete(request: Request, stored: StoredResponse, policy: Policy) -> Decision:
    """Ask for what a stored beginning or end lacks, if the whole is still the same (section 3.4)."""
    part, etag = stored.range, stored.etag
    if not policy.complete_partials or part is None or b"range" in request.special:
        return Decision("forward", fwd="partial")
    if request.method != "GET" or etag is None or stored.own_etag or etag[:1] != b'"':
        return Decision("forward", fwd="partial")
    if part[0] == 0:
        missing = b"bytes=%d-" % (part[1] + 1)
    elif part[1] == part[2] - 1:
        missing = b"bytes=0-%d" % (part[0] - 1)
    else:
        return Decision("forward", fwd="partial")
    return Decision(
        "complete", stored, fwd="partial", conditionals=((b"range", missing), (b"if-range", etag))
    )


def among_variants(request: Request, decision: Decision, tags: Sequence[bytes], policy: Policy) -> Decision:
    """For a request that Vary gives none of the stored responses: let the origin choose one of them.

    Section 4.3.1. Only where the RFC alone decides: apps do give the pages of two users one tag.

    :param tags: entity tags of the stored responses.
    """
    plain = not request.special and request.method == "GET"
    if decision.action != "forward" or decision.fwd != "vary-miss" or not (plain and tags):
        return decision
    if not policy.rfc_strict:
        return decision
    return Decision("select", fwd="vary-miss", conditionals=((b"if-none-match", b", ".join(tags)),))


def conditionals_for(stored: StoredResponse) -> tuple[Header, ...]:
    """If-None-Match and If-Modified-Since from the stored validators (section 4.3.1)."""
    found: list[Header] = []
    if stored.etag is not None and not stored.own_etag:
        found.append((b"if-none-match", stored.etag))
    if stored.last_modified is not None:
        found.append((b"if-modified-since", stored.last_modified))
    return tuple(found)


def forwarded_headers(request: Request, decision: Decision) -> list[Header]:
    """The fields for the app: the client's, with its conditions replaced by the cache's when validating."""
    if not decision.conditionals:
        return list(request.headers)
    kept = [(name, value) for name, value in request.headers if name not in _CONDITIONALS]
    return [*kept, *decision.conditionals]


def stale_on_error(
    request: Request, stored: StoredResponse, now: float, policy: Policy, status: int | None = None
) -> bool:
    """Whether a stale response may stand in for an origin that failed (RFC 5861 section 4, section 4.2.4).

    :param status: the origin's answer (500, 502, 503 or 504 count as failure); None when there was none.
    """
    if status is not None and status not in FAILURES:
        return False
    if stored.must_revalidate or stored.always_revalidate or _personal(request, stored):
        return False
    asked = request_control(request).stale_if_error or 0
    return now < stored.fresh_until + max(stored.stale_if_error, asked, policy.grace)
