"""What may be stored (RFC 9111 section 3), with the guards on and as the RFC has it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.http.messages import ResponseHead, StoredResponse
from perfmw.http.policy import Policy
from perfmw.http.storing import complete, storing
from perfmw.settings import CacheRule
from tests.http.build import BOTH, NOW, SAFE, STRICT, date, get, head, kept, reason

RULE = CacheRule(path="/**", ttl=60)
SHARED = CacheRule(path="/**", ttl=60, shared=True)
BASIC = "Basic dTpw"


@pytest.mark.parametrize("policy", BOTH, ids=["safe", "strict"])
@pytest.mark.parametrize(
    ("response", "expected"),
    [
        # section 3: freshness or a validator is needed
        (head(), "no-freshness"),
        (head("public"), "no-freshness"),
        (head("max-age=60"), "stored: max-age"),
        (head("s-maxage=60, max-age=0"), "stored: s-maxage"),
        (head(expires=date(60)), "stored: expires"),
        (head(etag='"a"'), "no-freshness"),
        (head(last_modified=date(-1000)), "stored: heuristic"),
        (head(last_modified=date(1000)), "no-freshness"),
        (head(last_modified="yesterday"), "no-freshness"),
        # section 5.2.2: directives that forbid
        (head("no-store, max-age=60"), "no-store"),
        (head("NO-STORE, max-age=60"), "no-store"),
        (head(["max-age=60", "no-store"]), "no-store"),
        (head("Private, max-age=60"), "private"),
        (head('private="", max-age=60'), "private"),
        (head("no-cache"), "no-cache"),
        (head("no-cache", etag='"a"'), "stored: validator"),
        (head("max-age=0"), "stale"),
        (head("max-age=0", etag='"a"'), "stored: max-age"),
        (head("max-age=0, stale-while-revalidate=60"), "stored: max-age"),
        (head("max-age=x"), "stale"),
        (head(expires="0"), "stale"),
        (head(expires=[date(60), date(60)]), "stale"),
        # section 4.1
        (head("max-age=60", vary="*"), "vary-star"),
        (head("max-age=60", vary="accept, *"), "vary-star"),
        (head("max-age=60", vary=["accept", " , *"]), "vary-star"),
        # statuses (sections 3 and 4.2.2)
        (head("max-age=60", status=304), "status"),
        (head("max-age=60", status=412), "status"),
        (head("max-age=60", status=416), "status"),
        (head("max-age=60", status=404), "stored: max-age"),
        (head("max-age=60", status=302), "stored: max-age"),
        (head(status=302, last_modified=date(-1000)), "no-freshness"),
        (head("public", status=302, last_modified=date(-1000)), "stored: heuristic"),
        (head("max-age=60", status=206), "partial"),
        (head("max-age=60", status=206, content_range="bytes 0-4/10"), "stored: max-age"),
        (head("max-age=60", status=206, content_range="bytes 0-4/*"), "partial"),
        (head("max-age=60, must-understand", status=299), "must-understand"),
        # never stored, whatever they say
        (head("max-age=60", content_type="Text/Event-Stream; charset=utf-8"), "event-stream"),
        (head("max-age=60", x="a\r\nset-cookie: b"), "control-character"),
        (head("max-age=60", x="a\0"), "control-character"),
    ],
)
def test_responses(response: ResponseHead, expected: str, policy: Policy) -> None:
    assert reason(response, policy=policy) == expected


@pytest.mark.parametrize(
    ("response", "safe", "strict"),
    [
        (head("max-age=60", status=500), "status", "stored: max-age"),
        (head("max-age=60", status=403), "status", "stored: max-age"),
        (head("max-age=60", status=299), "stored: max-age", "stored: max-age"),
        (head("max-age=60", set_cookie="a=1"), "set-cookie", "stored: max-age"),
        (head('private="x-user", max-age=60', x_user="7"), "private", "stored: max-age"),
        # section 5.2.2.3: a status that is understood lifts no-store
        (head("no-store, must-understand, max-age=60"), "no-store", "stored: max-age"),
        (head("no-store, must-understand, max-age=60", status=299), "no-store", "must-understand"),
        (head(pragma="no-cache", last_modified=date(-1000)), "no-freshness", "stored: heuristic"),
        # RFC 9213: the targeted field counts; by default private and no-store count as well
        (head("no-store", cdn_cache_control="max-age=60"), "no-store", "stored: max-age"),
        (head("private", perfmw_cache_control="max-age=60"), "stored: max-age", "stored: max-age"),
    ],
)
def test_where_the_guards_are_stricter_than_the_rfc(response: ResponseHead, safe: str, strict: str) -> None:
    assert (reason(response), reason(response, policy=STRICT)) == (safe, strict)


def test_set_cookie_can_be_allowed() -> None:
    assert (
        reason(head("max-age=60", set_cookie="a=1"), policy=Policy(allow_set_cookie=True))
        == "stored: max-age"
    )


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (head("max-age=60, s-maxage=0", cdn_cache_control="max-age=9"), 9),
        (head("max-age=60", cdn_cache_control="MAX-AGE=9"), 60),
        (head("max-age=60", cdn_cache_control=""), 60),
        (head("max-age=60", cdn_cache_control="max-age=9, perfmw=x y"), 60),
        (head("max-age=60", cdn_cache_control="max-age=9", perfmw_cache_control="max-age=3"), 3),
        (head(cdn_cache_control="max-age=9", expires=date(99)), 9),
        (head(surrogate_control='max-age=9, content="ESI/1.0"'), 9),
    ],
)
def test_targeted_fields_override(response: ResponseHead, expected: float) -> None:
    assert kept(response).lifetime == expected


def test_a_targeted_field_may_forbid_what_cache_control_allows() -> None:
    assert reason(head("max-age=60", cdn_cache_control="no-store")) == "no-store"
    assert reason(head("max-age=60", cdn_cache_control="x"), rule=RULE) == "no-freshness"


@pytest.mark.parametrize(
    ("cache_control", "safe", "strict"),
    [
        ("max-age=60", "authorization", "authorization"),
        ("max-age=60, public", "stored: max-age", "stored: max-age"),
        ("max-age=60, must-revalidate", "stored: max-age", "stored: max-age"),
        ("s-maxage=60", "stored: s-maxage", "stored: s-maxage"),
        ("max-age=60, proxy-revalidate", "authorization", "authorization"),
    ],
)
def test_authorization(cache_control: str, safe: str, strict: str) -> None:
    """Section 3.5."""
    request = get(authorization=BASIC)
    assert (reason(head(cache_control), request), reason(head(cache_control), request, STRICT)) == (
        safe,
        strict,
    )


@pytest.mark.parametrize("cache_control", [None, "public", "must-revalidate"])
def test_a_rule_lifts_no_authorization(cache_control: str | None) -> None:
    request = get(authorization=BASIC)
    varies = CacheRule(path="/**", ttl=60, vary=("Authorization",))
    assert reason(head(cache_control), request, rule=RULE) == "authorization"
    assert reason(head(cache_control), request, rule=SHARED) == "stored: rule"
    assert reason(head(cache_control), request, rule=varies) == "stored: rule"


@pytest.mark.parametrize(
    ("response", "rule", "expected"),
    [
        (head("max-age=60, public"), None, "cookie"),
        (head("s-maxage=60"), None, "cookie"),
        (head(), RULE, "cookie"),
        (head("max-age=60", vary="Cookie"), None, "stored: max-age"),
        (head(), SHARED, "stored: rule"),
        (head(), CacheRule(path="/**", ttl=60, vary=("Cookie",)), "stored: rule"),
    ],
)
def test_a_request_with_a_cookie_fills_nothing_shared(
    response: ResponseHead, rule: CacheRule | None, expected: str
) -> None:
    assert reason(response, get(cookie="id=7"), rule=rule) == expected


def test_the_rfc_lets_a_request_with_a_cookie_fill_the_cache() -> None:
    assert reason(head("max-age=60"), get(cookie="id=7"), STRICT) == "stored: max-age"


@pytest.mark.parametrize("rule", [RULE, SHARED], ids=["plain", "shared"])
@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (head(), "stored: rule"),
        (head("public, must-revalidate"), "stored: rule"),
        (head(status=301), "stored: rule"),
        (head(last_modified=date(-1000)), "stored: rule"),
        # freshness of its own: the rule says nothing
        (head("max-age=0"), "stale"),
        (head("no-cache"), "no-cache"),
        (head(expires="0"), "stale"),
        (head(pragma="no-cache"), "no-freshness"),
        # guards
        (head("Private"), "private"),
        (head("nO-sToRe"), "no-store"),
        (head(vary="*"), "vary-star"),
        (head(set_cookie="a=1"), "set-cookie"),
        (head(content_type="text/event-stream"), "event-stream"),
        (head(x="\x01"), "control-character"),
        *[(head(status=status), "status") for status in (201, 204, 206, 302, 304, 400, 404, 410, 500, 503)],
    ],
)
def test_the_guards_hold_under_a_rule(response: ResponseHead, rule: CacheRule, expected: str) -> None:
    assert reason(response, rule=rule) == expected


def test_fields_with_upper_case_names_are_no_way_around_a_guard() -> None:
    response = ResponseHead(200, [(b"Set-Cookie", b"a=1"), (b"Cache-Control", b"private")])
    assert reason(response, rule=RULE) == "private"


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_only_get_is_stored(method: str) -> None:
    assert reason(head("max-age=60"), get(method=method)) == "method"


def test_a_get_with_a_body_and_a_client_that_says_no_store() -> None:
    assert reason(head("max-age=60"), get(body=True)) == "body"
    assert reason(head("max-age=60"), get(cache_control="no-store")) == "request-no-store"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/form", "stored: max-age"),
        ("http://example.org/form", "stored: max-age"),
        ("/other", "method"),
        ("http://[", "method"),
    ],
)
def test_a_post_answered_with_the_target_itself(location: str, expected: str) -> None:
    """RFC 9110 section 9.3.3."""
    request = get("/form", method="POST", body=True)
    assert reason(head("max-age=60", content_location=location), request, STRICT) == expected
    assert reason(head("max-age=60", content_location=location), request) == "method"


def test_fields_of_one_connection_are_not_stored() -> None:
    """Section 3.1."""
    stored = kept(
        head(
            "max-age=60",
            connection="close, X-Hop",
            x_hop="1",
            keep_alive="5",
            transfer_encoding="chunked",
            proxy_authenticate="Basic",
            age="3",
            x_kept=["1", "2"],
            cache_status=["Origin; hit", "perfmw; fwd=miss"],
        )
    )
    assert stored.headers == [
        (b"cache-control", b"max-age=60"),
        (b"x-kept", b"1"),
        (b"x-kept", b"2"),
        (b"cache-status", b"Origin; hit"),
        (b"content-length", b"11"),
    ]


@pytest.mark.parametrize("directive", ["private", "no-cache"])
def test_fields_that_the_origin_withholds_are_not_stored(directive: str) -> None:
    """Sections 5.2.2.4 and 5.2.2.7."""
    stored = kept(head(f'max-age=60, {directive}="X-User, x-b"', x_user="7", x_b="1", x_c="1"), policy=STRICT)
    names = [name for name, _ in stored.headers]
    assert names == [b"cache-control", b"x-c", b"content-length"]
    assert stored.fresh_until == NOW + 60


def test_what_a_later_decision_needs_is_worked_out() -> None:
    stored = kept(
        head(
            "max-age=60, must-revalidate, immutable, stale-if-error=5",
            etag='"a"',
            last_modified=date(-9),
            vary="A, b",
        ),
        get(a="1"),
    )
    assert (stored.etag, stored.last_modified) == (b'"a"', date(-9).encode())
    assert (stored.vary, stored.vary_values) == ((b"a", b"b"), (b"1", None))
    assert (stored.must_revalidate, stored.immutable, stored.stale_if_error) == (True, True, 5)
    assert (stored.cookie_ok, stored.authorization_ok, stored.always_revalidate) == (False, True, False)


@pytest.mark.parametrize(
    ("cache_control", "safe", "strict"),
    [
        ("max-age=1", False, False),
        ("max-age=1, must-revalidate", True, True),
        ("max-age=1, proxy-revalidate", True, True),
        ("s-maxage=1", True, True),
        ("s-maxage=1, stale-while-revalidate=9", False, True),
        ("s-maxage=1, stale-if-error=9, must-revalidate", True, True),
    ],
)
def test_what_forbids_serving_stale(cache_control: str, safe: bool, strict: bool) -> None:
    """Sections 4.2.4 and 5.2.2.10."""
    found = tuple(kept(head(cache_control), policy=policy).must_revalidate for policy in BOTH)
    assert found == (safe, strict)


@pytest.mark.parametrize(
    ("response", "age"),
    [
        (head("max-age=60"), 0),
        (head("max-age=60", age="7"), 9),
        (head("max-age=60", age="7, 90"), 9),
        (head("max-age=60", age="7s"), 0),
        (head("max-age=60", date=date(-20)), 20),
        (head("max-age=60", date=date(+20)), 0),
        (head("max-age=60", date=date(-20), age="30"), 32),
    ],
)
def test_age_on_arrival(response: ResponseHead, age: float) -> None:
    """Section 4.2.3, with a response that took two seconds."""
    result = storing(get(), response, request_time=NOW - 2, response_time=NOW, policy=SAFE)
    assert result.stored is not None
    assert result.stored.initial_age == age
    assert result.stored.fresh_until == NOW - age + 60


def test_without_age_only_the_strict_policy_counts_the_time_to_answer() -> None:
    result = storing(get(), head("max-age=60"), request_time=NOW - 2, response_time=NOW, policy=STRICT)
    assert result.stored is not None
    assert result.stored.initial_age == 2


@pytest.mark.parametrize(
    ("response", "lifetime"),
    [
        (head(expires=date(90), date=date(30)), 60),
        (head(expires=date(90)), 90),
        (head(expires=date(90), date="never"), 90),
        (head("max-age=5", expires=date(90)), 5),
        (head("s-maxage=4, max-age=5", expires=date(90)), 4),
        (head(last_modified=date(-1000)), 100),
        (head(last_modified=date(-1000), date=date(-500)), 50),
        (head(last_modified=date(-(10**8))), 86_400),
        (head("max-age=4294967296"), 2**31),
    ],
)
def test_lifetimes(response: ResponseHead, lifetime: float) -> None:
    """Sections 4.2.1 and 4.2.2."""
    assert kept(response).lifetime == lifetime


def test_no_cache_is_stored_but_never_fresh() -> None:
    stored = kept(head("no-cache, max-age=60", etag='"a"'))
    assert (stored.always_revalidate, stored.fresh_until) == (True, 0.0)


@pytest.mark.parametrize(
    ("lengths", "body", "fits"),
    [
        ([], b"abc", True),
        (["3"], b"abc", True),
        (["3", "3"], b"abc", True),
        (["4"], b"abc", False),
        (["3", "4"], b"abc", False),
    ],
)
def test_a_body_has_to_be_complete(lengths: list[str], body: bytes, fits: bool) -> None:
    """Section 3.3."""
    result = storing(
        get(), head("max-age=60", content_length=lengths), request_time=NOW, response_time=NOW, policy=SAFE
    )
    assert result.stored is not None
    stored = complete(result.stored, body)
    assert (stored is not None) is fits
    if stored is not None:
        assert [value for name, value in stored.headers if name == b"content-length"] == [b"3"]


def test_a_part_has_the_length_it_claims() -> None:
    response = head("max-age=60", status=206, content_range="bytes 0-4/10")
    result = storing(get(), response, request_time=NOW, response_time=NOW, policy=SAFE)
    assert result.stored is not None
    assert complete(result.stored, b"hell") is None
    assert kept(response, body=b"hello").range == (0, 4, 10)


def test_entity_tags_of_the_content_are_the_same_everywhere() -> None:
    policy = Policy(add_etag=True)
    one, same = (kept(head("max-age=60"), policy=policy) for _ in range(2))
    other = kept(head("max-age=60"), policy=policy, body=b"other")
    given = kept(head("max-age=60", etag='"mine"'), policy=policy)
    assert one.etag == same.etag == b'"ff02ea7933a6eabfc272a287"'
    assert one.etag != other.etag
    assert (given.etag, given.own_etag, one.own_etag, one.has_validator) == (b'"mine"', False, True, False)
    assert (b"etag", one.etag) in one.headers


def test_outdated_responses_make_room_for_nothing() -> None:
    result = storing(get(), head("max-age=0"), request_time=NOW, response_time=NOW, policy=SAFE)
    assert (result.store, result.supersedes) == (False, True)


def test_stored_responses_survive_encoding() -> None:
    stored = kept(
        head("max-age=60", vary="a", etag='"x"', status=206, content_range="bytes 0-4/10"), body=b"hello"
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(stored), type=StoredResponse) == stored


@pytest.mark.parametrize(
    ("response", "seconds"),
    [
        (head("max-age=60"), 120),
        (head("max-age=60, must-revalidate"), 60),
        (head("max-age=60, stale-if-error=600"), 660),
        (head("max-age=60", etag='"a"'), 60 + 86_400),
        (head("no-cache", etag='"a"'), 86_400),
    ],
)
def test_how_long_keeping_it_can_help(response: ResponseHead, seconds: float) -> None:
    stored = kept(response)
    assert stored.keep_seconds(NOW, grace=SAFE.grace, validator_seconds=SAFE.validator_seconds) == seconds


_NAMES = st.sampled_from(
    [
        b"cache-control",
        b"expires",
        b"date",
        b"age",
        b"vary",
        b"etag",
        b"last-modified",
        b"cdn-cache-control",
        b"connection",
    ]
)


@given(st.lists(st.tuples(_NAMES, st.binary(max_size=60)), max_size=12), st.integers(200, 599))
def test_no_response_raises_and_nothing_with_control_characters_is_stored(
    headers: list[tuple[bytes, bytes]], status: int
) -> None:
    for policy in BOTH:
        result = storing(
            get(),
            ResponseHead(status, headers),
            request_time=NOW,
            response_time=NOW,
            policy=policy,
            rule=RULE,
        )
        if result.stored is not None:
            assert not any(
                b"\n" in value or b"\r" in value or b"\0" in value for _, value in result.stored.headers
            )
