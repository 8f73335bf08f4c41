"""How long a response is fresh and how old it is on arrival (sections 4.2.1 to 4.2.3)."""

from __future__ import annotations

from dataclasses import dataclass

from perfmw.http.dates import parse_date, year_of
from perfmw.http.fields import NOTHING, CacheControl, age_seconds, cache_control
from perfmw.http.messages import Fields
from perfmw.http.policy import Policy
from perfmw.http.structured import targeted_control
from perfmw.settings import CacheRule

# RFC 9110 section 15.1
HEURISTIC_STATUSES = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
RULE_STATUSES = frozenset({200, 203, 301, 308})
EXPLICIT = frozenset({"s-maxage", "max-age", "expires"})


@dataclass(slots=True)
class Terms:
    """What a response says about its reuse.

    ``control``: the directives in force, those of a targeted field if one parses, else ``plain``, which
    are those of Cache-Control. ``target``: that field's name. ``lifetime``: seconds; None when neither the
    response nor a rule nor a heuristic gives any; ``source`` says which did.
    """

    control: CacheControl
    plain: CacheControl
    target: bytes
    date: float
    lifetime: float | None
    source: str


def terms_of(
    status: int, fields: Fields, response_time: float, policy: Policy, rule: CacheRule | None
) -> Terms:
    plain = cache_control(fields[b"cache-control"]) if b"cache-control" in fields else NOTHING
    control, target = _in_force(fields, plain, policy)
    date = date_of(fields, response_time)
    terms = Terms(control, plain, target, date, None, "")
    terms.lifetime, terms.source = _explicit(fields, terms, response_time)
    if terms.lifetime is None and not _says_no(fields, terms, policy):
        terms.lifetime, terms.source = _granted(status, fields, terms, policy, rule)
    return terms


def _in_force(fields: Fields, plain: CacheControl, policy: Policy) -> tuple[CacheControl, bytes]:
    for name in policy.targets:
        if name in fields and (control := targeted_control(fields[name])) is not None:
            return control, name
    return plain, b""


def date_of(fields: Fields, response_time: float) -> float:
    """The Date field, or when the response came if it has none that parses (RFC 9110 section 6.6.1)."""
    value = fields.get(b"date")
    date = parse_date(value, year_of(response_time)) if value is not None else None
    return response_time if date is None else date


def _explicit(fields: Fields, terms: Terms, response_time: float) -> tuple[float | None, str]:
    control = terms.control
    if control.s_maxage is not None:
        return float(control.s_maxage), "s-maxage"
    if control.max_age is not None:
        return float(control.max_age), "max-age"
    if not terms.target and b"expires" in fields:
        expires = parse_date(fields[b"expires"], year_of(response_time))
        # an invalid date, several lines included, means already expired (section 5.3)
        return (0.0 if expires is None else max(0.0, expires - terms.date)), "expires"
    return None, ""


def _says_no(fields: Fields, terms: Terms, policy: Policy) -> bool:
    """no-cache gives no lifetime, but it is an answer: no rule or heuristic may overrule it."""
    if terms.control.no_cache:
        return True
    old_style = b"pragma" in fields and b"cache-control" not in fields and not policy.rfc_strict
    return old_style and cache_control(fields[b"pragma"]).no_cache


def _granted(
    status: int, fields: Fields, terms: Terms, policy: Policy, rule: CacheRule | None
) -> tuple[float | None, str]:
    """A lifetime the response did not ask for: from the matching rule, else by heuristic (section 4.2.2)."""
    if rule is not None and rule.ttl is not None and not terms.target:
        return (rule.ttl, "rule") if status in RULE_STATUSES else (None, "status")
    modified = fields.get(b"last-modified")
    if modified is None or not (status in HEURISTIC_STATUSES or terms.control.public):
        return None, ""
    since = parse_date(modified, int(year_of(terms.date)))
    if since is None or since >= terms.date:
        return None, ""
    return min(policy.heuristic_max, policy.heuristic_fraction * (terms.date - since)), "heuristic"


def initial_age(
    fields: Fields, date: float, request_time: float, response_time: float, *, strict: bool
) -> float:
    """corrected_initial_age of section 4.2.3.

    Without an Age field the response came straight from the app, whose time to answer is not age: adding
    it, as ``strict`` does, would let a slow answer with a short lifetime arrive stale.
    """
    apparent = max(0.0, int(response_time) - date)
    age = age_seconds(fields[b"age"]) if b"age" in fields else None
    if age is None and not strict:
        return apparent
    return max(apparent, (age or 0) + max(0.0, response_time - request_time))
