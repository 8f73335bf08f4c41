"""Answers from a stored response (sections 4.3.2 and 5.1; RFC 9110 sections 13 to 15)."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.http.messages import Request
from perfmw.http.ranges import holds, parse_content_range, parse_ranges
from perfmw.http.serve import response_for
from tests.http.build import NOW, SAFE, date, get, head, kept

STORED = kept(
    head(
        "max-age=60",
        etag='"a"',
        last_modified=date(-100),
        date=date(),
        content_type="text/plain",
        content_location="/x",
        vary="accept",
    ),
    get(accept="x"),
)


def test_a_full_answer_has_an_age() -> None:
    served = response_for(get(), STORED, NOW + 7.9, SAFE)
    assert (served.status, served.body) == (200, b"hello world")
    assert served.headers == [*STORED.headers, (b"age", b"7")]
    assert served.body is STORED.body
    assert response_for(get(), STORED, NOW - 5, SAFE).headers[-1] == (b"age", b"0")


def test_head_has_the_fields_and_no_body() -> None:
    served = response_for(get(method="HEAD"), STORED, NOW, SAFE)
    assert (served.status, served.body) == (200, b"")
    assert (b"content-length", b"11") in served.headers


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get(if_none_match='"a"'), 304),
        (get(if_none_match='W/"a"'), 304),
        (get(if_none_match='"b", W/"a" , "c"'), 304),
        (get(if_none_match=['"b"', '"a"']), 304),
        (get(if_none_match="*"), 304),
        (get(if_none_match='"b"'), 200),
        (get(if_none_match="a"), 200),
        (get(if_none_match='"a,"'), 200),
        (get(if_none_match='"b"', if_modified_since=date()), 200),
        (get(if_none_match='"a"', if_modified_since=date(-200)), 304),
        (get(if_modified_since=date(-100)), 304),
        (get(if_modified_since=date()), 304),
        (get(if_modified_since=date(-101)), 200),
        (get(if_modified_since="yesterday"), 200),
        (get(method="HEAD", if_none_match='"a"'), 304),
        (get(if_none_match='"a"', range="bytes=0-1"), 304),
    ],
)
def test_conditions(request_: Request, status: int) -> None:
    served = response_for(request_, STORED, NOW, SAFE)
    assert served.status == status
    assert (b"age", b"0") in served.headers


def test_a_304_carries_what_it_must_and_no_length() -> None:
    """RFC 9110 section 15.4.5."""
    names = {name for name, _ in response_for(get(if_none_match='"a"'), STORED, NOW, SAFE).headers}
    assert names == {
        b"cache-control",
        b"etag",
        b"last-modified",
        b"date",
        b"content-location",
        b"vary",
        b"age",
    }


def test_without_last_modified_the_date_counts() -> None:
    stored = kept(head("max-age=60", date=date(-10)))
    assert response_for(get(if_modified_since=date(-10)), stored, NOW, SAFE).status == 304
    assert response_for(get(if_modified_since=date(-11)), stored, NOW, SAFE).status == 200


def test_an_unquoted_entity_tag_matches_itself() -> None:
    stored = kept(head("max-age=60", etag="a"))
    assert response_for(get(if_none_match="a"), stored, NOW, SAFE).status == 304


def test_conditions_do_not_apply_to_errors() -> None:
    """RFC 9110 section 13.2.1."""
    stored = kept(head("max-age=60", status=404, etag='"a"'))
    assert response_for(get(if_none_match='"a"'), stored, NOW, SAFE).status == 404


@pytest.mark.parametrize(
    ("request_", "status", "body", "content_range"),
    [
        (get(range="bytes=0-4"), 206, b"hello", b"bytes 0-4/11"),
        (get(range="Bytes=6-"), 206, b"world", b"bytes 6-10/11"),
        (get(range="bytes=-5"), 206, b"world", b"bytes 6-10/11"),
        (get(range="bytes=-99"), 206, b"hello world", b"bytes 0-10/11"),
        (get(range="bytes=6-99"), 206, b"world", b"bytes 6-10/11"),
        (get(range="bytes=11-"), 416, b"", b"bytes */11"),
        (get(range="bytes=-0"), 416, b"", b"bytes */11"),
        (get(range="bytes=4-1"), 200, b"hello world", None),
        (get(range="bytes=0-1,2-4"), 206, b"hello", b"bytes 0-4/11"),
        (get(range="bytes=3-4, 0-3"), 206, b"hello", b"bytes 0-4/11"),
        (get(range="bytes=0-4,50-60"), 206, b"hello", b"bytes 0-4/11"),
        (get(range="bytes=50-60,-0"), 416, b"", b"bytes */11"),
        (get(range="bytes=0-1,x"), 200, b"hello world", None),
        (get(range="bytes=0-1,,3-4"), 200, b"hello world", None),
        (get(range="bytes=0-1,4-3"), 200, b"hello world", None),
        (get(range="bytes=" + ",".join(f"{n * 2}-{n * 2}" for n in range(17))), 200, b"hello world", None),
        (get(range="bytes=" + "0-0," * 10_000), 200, b"hello world", None),
        (get(range="bytes=" + "9" * 10_000 + "-"), 200, b"hello world", None),
        (get(range="lines=0-4"), 200, b"hello world", None),
        (get(range="bytes=0-4", if_range='"a"'), 206, b"hello", b"bytes 0-4/11"),
        (get(range="bytes=0-4", if_range='"b"'), 200, b"hello world", None),
        (get(range="bytes=0-4", if_range='W/"a"'), 200, b"hello world", None),
        (get(range="bytes=0-4", if_range=date(-100)), 206, b"hello", b"bytes 0-4/11"),
        (get(range="bytes=0-4", if_range=date(-99)), 200, b"hello world", None),
        (get(range="bytes=0-4", method="HEAD"), 200, b"", None),
        (get(range=["bytes=0-4", "bytes=6-"]), 200, b"hello world", None),
    ],
)
def test_ranges(request_: Request, status: int, body: bytes, content_range: bytes | None) -> None:
    served = response_for(request_, STORED, NOW, SAFE)
    fields = dict(served.headers)
    assert (served.status, served.body, fields.get(b"content-range")) == (status, body, content_range)
    if request_.method == "GET":
        assert fields[b"content-length"] == b"%d" % len(body)


def test_ranges_apply_to_a_200_only() -> None:
    stored = kept(head("max-age=60", status=404))
    assert response_for(get(range="bytes=0-1"), stored, NOW, SAFE).status == 404


def test_a_date_as_recent_as_the_response_is_no_proof_of_sameness() -> None:
    """RFC 9110 section 8.8.2.2."""
    stored = kept(head("max-age=60", last_modified=date(), date=date()))
    assert response_for(get(range="bytes=0-1", if_range=date()), stored, NOW, SAFE).status == 200


def test_a_digest_of_the_whole_content_is_not_sent_with_a_part() -> None:
    """RFC 9530 section 2."""
    stored = kept(head("max-age=60", content_digest="sha-256=:x:", repr_digest="sha-256=:y:"))
    names = {name for name, _ in response_for(get(range="bytes=0-1"), stored, NOW, SAFE).headers}
    assert b"repr-digest" in names
    assert b"content-digest" not in names


def test_a_piece_of_a_part() -> None:
    part = kept(head("max-age=60", status=206, content_range="bytes 6-10/11"), body=b"world")
    served = response_for(get(range="bytes=7-8"), part, NOW, SAFE)
    assert (served.status, served.body) == (206, b"or")
    assert (b"content-range", b"bytes 7-8/11") in served.headers


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes 0-4/10", (0, 4, 10)),
        (b"bytes 5-4/10", None),
        (b"bytes 0-10/10", None),
        (b"bytes */10", None),
        (b"bytes 0-4/*", None),
        (b"items 0-4/10", None),
        (b"", None),
    ],
)
def test_content_range(value: bytes, expected: tuple[int, int, int] | None) -> None:
    assert parse_content_range(value) == expected


def parts_of(content_type: bytes, body: bytes) -> list[tuple[bytes | None, bytes | None, bytes]]:
    """Content-Type, Content-Range and bytes of each part, as another implementation reads them."""
    message = email.message_from_bytes(
        b"Content-Type: " + content_type + b"\r\n\r\n" + body, policy=email.policy.HTTP
    )
    assert message.is_multipart()
    assert message.defects == []
    found = []
    for part in message.iter_parts():
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        kind, span = part["Content-Type"], part["Content-Range"]
        found.append((kind and kind.encode(), span and span.encode(), payload))
    return found


def test_several_ranges_come_as_several_parts() -> None:
    """RFC 9110 section 14.6."""
    stored = kept(head("max-age=60", etag='"a"', content_type="text/plain", content_digest="sha-256=:x:"))
    served = response_for(get(range="bytes=8-9, 0-1,-1"), stored, NOW, SAFE)
    fields = dict(served.headers)
    assert served.status == 206
    assert b"content-range" not in fields
    assert b"content-digest" not in fields
    assert fields[b"content-length"] == b"%d" % len(served.body)
    assert parts_of(fields[b"content-type"], served.body) == [
        (b"text/plain", b"bytes 0-1/11", b"he"),
        (b"text/plain", b"bytes 8-10/11", b"rld"),
    ]


def test_a_416_is_of_now() -> None:
    stored = kept(head("max-age=60", date=date(-10)))
    outside = get(range="bytes=50-60")
    assert dict(response_for(outside, stored, NOW, SAFE).headers)[b"date"] == date().encode()
    undated = kept(head("max-age=60"))
    assert b"date" not in dict(response_for(outside, undated, NOW, SAFE).headers)


def test_parts_without_a_type_have_none() -> None:
    stored = kept(head("max-age=60", etag='"a"'))
    served = response_for(get(range="bytes=0-1,4-5"), stored, NOW, SAFE)
    assert b"Content-Type" not in served.body
    assert served.body.count(b"Content-Range: bytes ") == 2


def test_no_stored_body_can_end_a_part_of_a_multipart_answer() -> None:
    kinds = {
        dict(response_for(get(range="bytes=0-1,4-5"), STORED, NOW, SAFE).headers)[b"content-type"]
        for _ in range(10)
    }
    assert len(kinds) == 10


def test_several_ranges_within_a_part() -> None:
    part = kept(head("max-age=60", status=206, content_range="bytes 4-10/11"), body=b"o world")
    assert holds(get(range="bytes=4-5,7-8"), part)
    assert not holds(get(range="bytes=3-3,7-8"), part)
    assert b"\r\n\r\norl" not in response_for(get(range="bytes=4-5,7-8"), part, NOW, SAFE).body


RANGES = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=20)


@given(RANGES, st.integers(0, 250))
def test_ranges_are_apart_within_the_response_and_all_that_was_asked_for(
    asked: list[tuple[int, int]], length: int
) -> None:
    value = b"bytes=" + b",".join(b"%d-%d" % (min(pair), max(pair)) for pair in asked)
    spans = parse_ranges(value, length)
    wanted = {at for pair in asked for at in range(min(pair), max(pair) + 1) if at < length}
    if spans is None:
        assert len(asked) > 16 or len(wanted) == length
        return
    covered = [at for first, last in spans for at in range(first, last + 1)]
    assert len(covered) == len(set(covered))
    assert set(covered) == wanted


@given(
    st.binary(max_size=100) | st.from_regex(rb"bytes=[0-9]{0,3}-[0-9]{0,3}", fullmatch=True),
    st.integers(0, 500),
)
def test_a_range_lies_within_the_response(value: bytes, length: int) -> None:
    for first, last in parse_ranges(value, length) or []:
        assert 0 <= first <= last < length
