"""HTTP dates (RFC 9110 section 5.6.7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.http.dates import format_date, parse_date, year_of

MOMENT = 784111777.0


@pytest.mark.parametrize(
    "value",
    [b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"],
)
def test_the_three_formats(value: bytes) -> None:
    assert parse_date(value) == MOMENT


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"0",
        b"-1",
        b"784111777",
        b"sun, 06 nov 1994 08:49:37 gmt",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 +0000",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun,  06 Nov 1994 08:49:37 GMT",
        b" Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sun 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06-Nov-1994 08:49:37 GMT",
        b"Sun, 06 Nov 94 08:49:37 GMT",
        b"Sun, 31 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 1994 08:60:00 GMT",
        b"Sun, 06 Nov 1994 8:49:37 GMT",
        b"Sun Nov 6 08:49:37 1994",
        b"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        b"x" * 100_000,
    ],
)
def test_nothing_else_is_a_date(value: bytes) -> None:
    assert parse_date(value) is None


def test_two_digit_years_are_not_more_than_fifty_years_ahead() -> None:
    assert parse_date(b"Friday, 01-Jan-99 00:00:00 GMT", 2025) == parse_date(b"Fri, 01 Jan 1999 00:00:00 GMT")
    assert parse_date(b"Thursday, 01-Jan-65 00:00:00 GMT", 2025) == parse_date(
        b"Thu, 01 Jan 2065 00:00:00 GMT"
    )


@given(st.integers(0, 250_000_000_000))
def test_formatting_and_parsing_round_trip(seconds: int) -> None:
    assert parse_date(format_date(seconds)) == seconds


@given(st.binary(max_size=60))
def test_parsing_never_raises(value: bytes) -> None:
    assert parse_date(value) is None or len(value) >= 24


def test_year_of_a_moment() -> None:
    assert year_of(MOMENT) == 1994
