"""Cache-Status (RFC 9211)."""

from __future__ import annotations

import pytest

from perfmw.http import status
from perfmw.http.structured import parse_dictionary


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (status.hit(42), b"perfmw; hit; ttl=42"),
        (status.hit(-3, "max-stale"), b"perfmw; hit; ttl=-3; detail=max-stale"),
        (status.forwarded("uri-miss", stored=True), b"perfmw; fwd=uri-miss; stored"),
        (status.forwarded("bypass", detail="cookie"), b"perfmw; fwd=bypass; detail=cookie"),
        (
            status.forwarded("stale", fwd_status=304, ttl=60, stored=True, collapsed=True),
            b"perfmw; fwd=stale; fwd-status=304; ttl=60; stored; collapsed",
        ),
        (status.forwarded("miss", detail='two "words" é'), b'perfmw; fwd=miss; detail="two \\"words\\" ?"'),
    ],
)
def test_words(value: bytes, expected: bytes) -> None:
    assert value == expected
    assert parse_dictionary(value) == {"perfmw": True}
