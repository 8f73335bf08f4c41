"""304 and HEAD update what is stored (sections 3.2, 4.3.4, 4.3.5); partial responses are completed (3.4)."""

from __future__ import annotations

import pytest

from perfmw.http.messages import Request, ResponseHead, StoredResponse
from perfmw.http.policy import Policy
from perfmw.http.storing import Storing
from perfmw.http.validation import completed, freshen, joined, updated_by_head
from tests.http.build import BOTH, NOW, SAFE, STRICT, date, get, head, kept

LATER = NOW + 100


def confirm(
    stored: StoredResponse, response: ResponseHead, policy: Policy = SAFE, request: Request | None = None
) -> Storing | None:
    return freshen(
        stored, response, request=request or get(), request_time=LATER, response_time=LATER, policy=policy
    )


def confirmed(stored: StoredResponse, response: ResponseHead, policy: Policy = SAFE) -> StoredResponse:
    result = confirm(stored, response, policy)
    assert result is not None
    assert result.stored is not None
    return result.stored


@pytest.mark.parametrize("policy", BOTH, ids=["safe", "strict"])
def test_a_304_replaces_fields_and_starts_a_new_life(policy: Policy) -> None:
    stored = kept(
        head("max-age=60", etag='"a"', x_old="1", x_same=["1", "2"], content_encoding="br"), policy=policy
    )
    new = confirmed(
        stored,
        head(
            "max-age=90",
            status=304,
            etag='"a"',
            x_same="3",
            x_new="4",
            connection="x-hop",
            x_hop="1",
            content_length="0",
            content_encoding="gzip",
            content_type="text/plain",
        ),
        policy,
    )
    coding = b"gzip" if policy.rfc_strict else b"br"  # section 3.2 exempts Content-Length alone
    assert sorted(new.headers) == [
        (b"cache-control", b"max-age=90"),
        (b"content-encoding", coding),
        (b"content-length", b"11"),
        (b"content-type", b"text/plain"),
        (b"etag", b'"a"'),
        (b"x-new", b"4"),
        (b"x-old", b"1"),
        (b"x-same", b"3"),
    ]
    assert (new.status, new.body, new.fresh_until) == (200, b"hello world", LATER + 90)


def test_a_304_without_a_date_is_dated_on_arrival() -> None:
    stored = kept(head("max-age=60", etag='"a"', date=date(-50)))
    new = confirmed(stored, head(status=304, etag='"a"'))
    assert new.field(b"date") == date(100).encode()
    assert new.fresh_until == LATER + 60


def test_the_age_of_a_304_counts() -> None:
    stored = kept(head("max-age=60", etag='"a"', age="30"))
    assert confirmed(stored, head(status=304, etag='"a"')).initial_age == 0
    new = confirmed(stored, head(status=304, etag='"a"', age="20"))
    assert (new.initial_age, new.field(b"age")) == (20, None)


@pytest.mark.parametrize(
    ("stored", "response", "same"),
    [
        ({"etag": '"a"'}, {"etag": '"a"'}, True),
        ({"etag": '"a"'}, {"etag": '"b"'}, False),
        ({"etag": 'W/"a"'}, {"etag": 'W/"a"'}, True),
        ({"etag": '"a"'}, {"etag": 'W/"a"'}, True),
        ({"etag": 'W/"a"'}, {"etag": '"a"'}, False),
        ({"etag": '"a"'}, {}, True),
        ({"last_modified": date(-9)}, {"etag": '"a"'}, False),
        ({"last_modified": date(-9)}, {"last_modified": date(-9)}, True),
        ({"last_modified": date(-9)}, {"last_modified": date(-8)}, False),
        ({"last_modified": date(-9)}, {}, True),
    ],
)
def test_which_response_a_304_is_about(stored: dict[str, str], response: dict[str, str], same: bool) -> None:
    """Section 4.3.4."""
    assert (confirm(kept(head("max-age=60", **stored)), head(status=304, **response)) is not None) is same


def test_a_304_may_end_the_storing_but_still_answers() -> None:
    result = confirm(kept(head("max-age=60", etag='"a"')), head("no-store", status=304, etag='"a"'))
    assert result is not None
    assert (result.store, result.reason) == (False, "no-store")
    assert result.stored is not None
    assert result.stored.body == b"hello world"


def test_a_cookie_in_a_304_is_not_replayed_to_others() -> None:
    stored = kept(head("max-age=60", etag='"a"'))
    response = head(status=304, etag='"a"', set_cookie="id=7")
    result = confirm(stored, response)
    assert result is not None
    assert result.stored is not None
    assert (result.store, result.stored.field(b"set-cookie")) == (True, None)
    assert confirmed(stored, response, STRICT).field(b"set-cookie") == b"id=7"


def test_the_selection_stays_as_it_was() -> None:
    stored = kept(head("max-age=60", etag='"a"', vary="accept-encoding"), get(accept_encoding="gzip, br"))
    result = confirm(stored, head(status=304, etag='"a"'), request=get())
    assert result is not None
    assert result.stored is not None
    assert result.stored.vary_values == (b"gzip,br",)


def test_what_was_known_of_the_response_is_kept() -> None:
    stored = kept(head("max-age=60"), policy=Policy(add_etag=True))
    stored.route = "GET /x"
    new = by_head(stored, head("max-age=90", content_length="11"))
    assert new is not None
    assert (new.route, new.etag, new.own_etag) == ("GET /x", stored.etag, True)


def by_head(stored: StoredResponse, response: ResponseHead) -> StoredResponse | None:
    return updated_by_head(
        stored,
        response,
        request=get(method="HEAD"),
        request_time=LATER,
        response_time=LATER,
        policy=SAFE,
    )


def test_a_matching_head_updates() -> None:
    """Section 4.3.5."""
    stored = kept(head("max-age=60", etag='"a"', x="1"))
    new = by_head(stored, head("max-age=90", etag='"a"', x="2", content_length="11"))
    assert new is not None
    assert (new.field(b"x"), new.fresh_until, new.body) == (b"2", LATER + 90, b"hello world")


@pytest.mark.parametrize(
    "response",
    [
        head("max-age=90", etag='"b"'),
        head("max-age=90", last_modified=date()),
        head("max-age=90", content_length="12"),
        head("no-store", etag='"a"'),
        head(status=404),
        head(status=410),
    ],
)
def test_a_head_that_shows_another_state_outdates(response: ResponseHead) -> None:
    new = by_head(kept(head("max-age=600", etag='"a"')), response)
    assert new is not None
    assert (new.fresh_until, new.always_revalidate, new.must_revalidate) == (0.0, True, True)


@pytest.mark.parametrize("status", [304, 302, 401, 500, 503])
def test_other_answers_to_a_head_change_nothing(status: int) -> None:
    assert by_head(kept(head("max-age=60", etag='"a"')), head(status=status)) is None


def whole(response: ResponseHead, body: bytes = b"world!") -> Storing | None:
    part = kept(
        head("max-age=60", status=206, content_range="bytes 0-4/11", etag='"a"', x="1"), body=b"hello"
    )
    return completed(
        part, response, body, request=get(), request_time=LATER, response_time=LATER, policy=SAFE
    )


def test_a_beginning_and_its_rest_make_a_whole() -> None:
    result = whole(
        head("max-age=90", status=206, content_range="bytes 5-10/11", etag='"a"', content_length="6")
    )
    assert result is not None
    stored = result.stored
    assert stored is not None
    assert (result.store, stored.status, stored.body, stored.range) == (True, 200, b"helloworld!", None)
    assert stored.field(b"content-length") == b"11"
    assert stored.field(b"content-range") is None
    assert stored.fresh_until == LATER + 90


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (head("max-age=90", status=206, content_range="bytes 5-10/11", etag='"b"'), b"world!"),
        (head("max-age=90", status=206, content_range="bytes 6-10/11", etag='"a"'), b"orld!"),
        (head("max-age=90", status=206, content_range="bytes 5-11/12", etag='"a"'), b"world!!"),
        (head("max-age=90", status=206, content_range="bytes 5-9/11", etag='"a"'), b"world"),
        (head("max-age=90", status=206, content_range="bytes 5-10/11", etag='"a"'), b"world"),
        (head("max-age=90", status=206, etag='"a"'), b"world!"),
        (head("max-age=90", etag='"a"'), b"hello world"),
    ],
)
def test_parts_that_do_not_fit_are_not_joined(response: ResponseHead, body: bytes) -> None:
    assert whole(response, body) is None


def test_an_end_is_completed_too() -> None:
    part = kept(head("max-age=60", status=206, content_range="bytes 5-10/11", etag='"a"'), body=b"world!")
    response = head("max-age=90", status=206, content_range="bytes 0-4/11", etag='"a"')
    result = completed(
        part, response, b"hello", request=get(), request_time=LATER, response_time=LATER, policy=SAFE
    )
    assert result is not None
    assert result.stored is not None
    assert result.stored.body == b"helloworld!"


def part_of(span: str, body: bytes, etag: str = '"a"', **fields: str) -> StoredResponse:
    return kept(head("max-age=60", status=206, content_range=f"bytes {span}", etag=etag, **fields), body=body)


@pytest.mark.parametrize(
    ("old", "new", "span", "body"),
    [
        (part_of("0-3/10", b"0123"), part_of("4-6/10", b"456"), (0, 6, 10), b"0123456"),
        (part_of("4-6/10", b"456"), part_of("0-3/10", b"0123"), (0, 6, 10), b"0123456"),
        (part_of("2-5/10", b"2345"), part_of("4-7/10", b"4567"), (2, 7, 10), b"234567"),
        (part_of("2-7/10", b"234567"), part_of("3-4/10", b"34"), (2, 7, 10), b"234567"),
        (part_of("0-3/10", b"0123"), part_of("5-6/10", b"56"), (5, 6, 10), b"56"),
        (part_of("0-3/10", b"0123", '"b"'), part_of("4-6/10", b"456"), (4, 6, 10), b"456"),
        (part_of("0-3/10", b"0123", 'W/"a"'), part_of("4-6/10", b"456", 'W/"a"'), (4, 6, 10), b"456"),
        (part_of("0-3/9", b"0123"), part_of("4-6/10", b"456"), (4, 6, 10), b"456"),
        (part_of("0-4/10", b"01234"), part_of("5-9/10", b"56789"), None, b"0123456789"),
    ],
)
def test_parts_that_touch_become_one(
    old: StoredResponse, new: StoredResponse, span: tuple[int, int, int] | None, body: bytes
) -> None:
    """Section 3.4, RFC 9110 section 15.3.7.3."""
    both = joined(old, new, 100)
    assert (both.range, both.body, both.status) == (span, body, 206 if span else 200)
    assert both.field(b"content-length") == b"%d" % len(body)
    shown = both.field(b"content-range")
    assert shown == (b"bytes %d-%d/%d" % span if span else None)


def test_a_joined_part_has_the_newer_fields() -> None:
    both = joined(part_of("0-3/10", b"0123", x="1", y="1"), part_of("4-6/10", b"456", x="2"), 100)
    assert (both.field(b"x"), both.field(b"y")) == (b"2", b"1")


def test_parts_are_not_joined_beyond_the_bound() -> None:
    assert joined(part_of("0-3/10", b"0123"), part_of("4-6/10", b"456"), 6).body == b"456"
