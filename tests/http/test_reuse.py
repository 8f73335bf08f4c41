"""What a request gets (RFC 9111 section 4, RFC 5861)."""

from __future__ import annotations

import pytest

from perfmw.http.messages import Request, StoredResponse
from perfmw.http.policy import Policy
from perfmw.http.reuse import decide, forwarded_headers, is_plain_hit, precheck, stale_on_error
from perfmw.settings import CacheRule
from tests.http.build import BOTH, NOW, SAFE, STRICT, get, head, kept

LATER = NOW + 30


def verdict(request: Request, *stored: StoredResponse, now: float = LATER, policy: Policy = SAFE) -> str:
    decision = decide(request, stored, now, policy)
    words = [decision.action, decision.fwd, decision.detail]
    return " ".join(word for word in words if word)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (get(), None),
        (get(method="HEAD"), None),
        (get(method="POST"), "method"),
        (get(method="get"), "method"),
        (get(body=True), "body"),
        (get(host="a,b"), "host"),
        (get(host="a/b"), "host"),
        (get(host="user@a"), "host"),
        (get(host="[::1]:80"), None),
        (get(cache_control="no-store"), "request-no-store"),
        (get(if_match='"a"'), "precondition"),
        (get(if_unmodified_since="x"), "precondition"),
        (get(cookie="a=1", authorization="x"), None),
    ],
)
def test_what_stays_away_from_the_cache(request_: Request, expected: str | None) -> None:
    assert precheck(request_, SAFE, None) == expected


def test_two_host_fields() -> None:
    request = Request("GET", "http", b"a", b"/", b"", [(b"host", b"a"), (b"host", b"b")])
    assert precheck(request, SAFE) == "host"
    assert precheck(request, STRICT) == "host"


@pytest.mark.parametrize(
    ("request_", "now", "expected"),
    [
        # section 4.2: fresh, then stale
        (get(), NOW + 59, "serve"),
        (get(), NOW + 60, "validate stale"),
        (get(method="HEAD"), NOW + 59, "serve"),
        # section 5.2.1: what the client asks for
        (get(cache_control="no-cache"), LATER, "validate request no-cache"),
        (get(pragma="no-cache"), LATER, "validate request no-cache"),
        (get(pragma="no-cache", cache_control="x"), LATER, "serve"),
        (get(cache_control="max-age=0"), NOW, "validate request max-age"),
        (get(cache_control="max-age=29"), LATER, "validate request max-age"),
        (get(cache_control="max-age=30"), LATER, "serve"),
        (get(cache_control="min-fresh=30"), LATER, "serve"),
        (get(cache_control="min-fresh=31"), LATER, "validate request min-fresh"),
        (get(cache_control="max-stale"), NOW + 10**6, "serve_stale stale max-stale"),
        (get(cache_control="max-stale=10"), NOW + 70, "serve_stale stale max-stale"),
        (get(cache_control="max-stale=10"), NOW + 71, "validate stale"),
        (get(cache_control="max-stale=10, max-age=65"), NOW + 70, "validate stale"),
        (get(cache_control="only-if-cached"), LATER, "serve"),
        (get(cache_control="only-if-cached"), NOW + 60, "refuse stale only-if-cached"),
        (get(cache_control="only-if-cached, max-stale"), NOW + 60, "serve_stale stale max-stale"),
    ],
)
def test_time_and_request_directives(request_: Request, now: float, expected: str) -> None:
    assert verdict(request_, kept(head("max-age=60", etag='"a"')), now=now) == expected


def test_nothing_stored() -> None:
    assert verdict(get()) == "forward uri-miss"
    assert verdict(get(cache_control="no-cache")) == "forward request"
    assert verdict(get(cache_control="only-if-cached")) == "refuse uri-miss only-if-cached"


def test_without_a_validator_a_stale_response_is_fetched_again() -> None:
    assert verdict(get(), kept(head("max-age=60")), now=NOW + 60) == "forward stale"


def test_no_cache_is_validated_each_time() -> None:
    stored = kept(head("no-cache, max-age=60", etag='"a"'))
    assert verdict(get(), stored) == "validate stale no-cache"
    assert verdict(get(cache_control="max-stale"), stored) == "validate stale no-cache"


@pytest.mark.parametrize("cache_control", ["must-revalidate", "proxy-revalidate", "s-maxage=60"])
def test_max_stale_does_not_overrule_the_origin(cache_control: str) -> None:
    stored = kept(head(f"max-age=60, {cache_control}", etag='"a"'))
    assert verdict(get(cache_control="max-stale"), stored, now=NOW + 61) == "validate stale"


def test_stale_while_revalidate() -> None:
    """RFC 5861 section 3."""
    stored = kept(head("max-age=60, stale-while-revalidate=30", etag='"a"'))
    decision = decide(get(), [stored], NOW + 89, SAFE)
    assert (decision.action, decision.revalidate, decision.stored) == ("serve_stale", True, stored)
    assert verdict(get(), stored, now=NOW + 90) == "validate stale"
    assert verdict(get(cache_control="max-age=80"), stored, now=NOW + 89) == "validate stale"
    forbidden = kept(head("max-age=60, stale-while-revalidate=30, must-revalidate", etag='"a"'))
    assert verdict(get(), forbidden, now=NOW + 61) == "validate stale"


@pytest.mark.parametrize("policy", BOTH, ids=["safe", "strict"])
@pytest.mark.parametrize(
    ("cache_control", "request_", "seconds", "status", "served"),
    [
        ("max-age=60", get(), 61, None, True),
        ("max-age=60", get(), 61, 503, True),
        ("max-age=60", get(), 61, 404, False),
        ("max-age=60", get(), 60 + 61, None, False),
        ("max-age=60, stale-if-error=600", get(), 600, 500, True),
        ("max-age=60", get(cache_control="stale-if-error=600"), 600, 502, True),
        ("max-age=60, must-revalidate, stale-if-error=600", get(), 61, 500, False),
        ("max-age=60, proxy-revalidate", get(), 61, None, False),
        ("s-maxage=60", get(), 61, None, False),
        ("no-cache", get(), 1, None, False),
    ],
)
def test_stale_when_the_origin_fails(
    cache_control: str, request_: Request, seconds: float, status: int | None, served: bool, policy: Policy
) -> None:
    """RFC 5861 section 4 and RFC 9111 section 4.2.4."""
    stored = kept(head(cache_control, etag='"a"'), policy=policy)
    assert stale_on_error(request_, stored, NOW + seconds, policy, status) is served


def test_a_cookie_gets_no_shared_entry_by_default() -> None:
    shared = kept(head("max-age=60, public"))
    keyed = kept(head("max-age=60", vary="cookie"), get(cookie="a=1"))
    by_rule = kept(head(), rule=CacheRule(path="/**", ttl=60, shared=True))
    assert verdict(get(cookie="a=1"), shared) == "forward bypass cookie"
    assert verdict(get(cookie="a=1"), keyed) == "serve"
    assert verdict(get(cookie="a=2"), keyed) == "forward vary-miss"
    assert verdict(get(), keyed) == "forward vary-miss"
    assert verdict(get(cookie="a=1"), by_rule) == "serve"
    assert verdict(get(cookie="a=1"), kept(head("max-age=60"), policy=STRICT), policy=STRICT) == "serve"
    assert not stale_on_error(get(cookie="a=1"), shared, LATER, SAFE)


def test_authorization_gets_only_what_the_origin_shares() -> None:
    request = get(authorization="Basic x")
    assert verdict(request, kept(head("max-age=60"))) == "forward bypass authorization"
    assert (
        verdict(request, kept(head(), rule=CacheRule(path="/**", ttl=60))) == "forward bypass authorization"
    )
    assert verdict(request, kept(head("max-age=60, public"))) == "serve"
    assert verdict(request, kept(head("max-age=60"), policy=STRICT), policy=STRICT) == "serve"


def test_the_most_recent_of_several_is_used() -> None:
    """Section 4."""
    old, new = kept(head("max-age=60")), kept(head("max-age=60"), at=NOW + 5)
    assert decide(get(), [old, new], LATER, SAFE).stored is new
    assert decide(get(), [new, old], LATER, SAFE).stored is new


def test_conditions_go_to_the_app_in_place_of_the_clients() -> None:
    """Section 4.3.1."""
    stored = kept(head("max-age=60", etag='W/"a"', last_modified="yesterday"))
    request = get(if_none_match='"mine"', range="bytes=0-1", if_range='"mine"', accept="x")
    decision = decide(request, [stored], NOW + 61, SAFE)
    assert forwarded_headers(request, decision) == [
        (b"host", b"example.org"),
        (b"accept", b"x"),
        (b"if-none-match", b'W/"a"'),
        (b"if-modified-since", b"yesterday"),
    ]
    assert forwarded_headers(request, decide(request, [], NOW, SAFE)) == list(request.headers)


def test_an_entity_tag_of_our_own_is_not_sent_to_the_origin() -> None:
    stored = kept(head("max-age=60"), policy=Policy(add_etag=True))
    assert verdict(get(), stored, now=NOW + 61) == "forward stale"


def test_the_short_way_agrees_with_the_long_one() -> None:
    stored = kept(head("max-age=60"))
    assert is_plain_hit(get(), stored, LATER)
    assert is_plain_hit(get(if_none_match='"a"'), stored, LATER)
    assert not is_plain_hit(get(), stored, NOW + 60)
    assert not is_plain_hit(get(cookie="a=1"), stored, LATER)
    assert not is_plain_hit(get(), kept(head("max-age=60", vary="accept")), LATER)


def test_partial_responses_answer_the_ranges_they_hold() -> None:
    """Section 3.3."""
    part = kept(head("max-age=60", status=206, content_range="bytes 0-4/10", etag='"a"'), body=b"hello")
    assert not is_plain_hit(get(), part, LATER)
    assert verdict(get(range="bytes=1-3"), part) == "serve"
    assert verdict(get(range="bytes=-3"), part) == "forward partial"
    assert verdict(get(), part) == "forward partial"
    assert verdict(get(method="HEAD"), part) == "forward partial"


def test_the_rest_of_a_partial_response_can_be_asked_for() -> None:
    """Section 3.4."""
    policy = Policy(complete_partials=True)
    part = kept(head("max-age=60", status=206, content_range="bytes 0-4/10", etag='"a"'), body=b"hello")
    weak = kept(head("max-age=60", status=206, content_range="bytes 0-4/10", etag='W/"a"'), body=b"hello")
    decision = decide(get(), [part], LATER, policy)
    assert (decision.action, decision.stored) == ("complete", part)
    assert decision.conditionals == ((b"range", b"bytes=5-"), (b"if-range", b'"a"'))
    assert verdict(get(), weak, policy=policy) == "forward partial"
    assert verdict(get(range="bytes=2-"), part, policy=policy) == "forward partial"
