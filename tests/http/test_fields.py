"""Lists, numbers and Cache-Control (RFC 9110 section 5.6, RFC 9111 sections 1.2.2, 4.2.1, 5.1 and 5.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.http.fields import (
    DELTA_MAX,
    NOTHING,
    CacheControl,
    age_seconds,
    cache_control,
    delta_seconds,
    names_in,
    split_list,
    unquote,
)


@pytest.mark.parametrize(
    ("value", "members"),
    [
        (b"a, b", [b"a", b"b"]),
        (b" ,a,, \tb ,", [b"a", b"b"]),
        (b'a="1,2", b', [b'a="1,2"', b"b"]),
        (b'a="\\",", b', [b'a="\\","', b"b"]),
        (b'a="never ends, b', [b'a="never ends, b']),
        (b"", []),
    ],
)
def test_lists_split_at_commas_outside_quotes(value: bytes, members: list[bytes]) -> None:
    assert split_list(value) == members


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0),
        (b"0060", 60),
        (b"2147483647", 2147483647),
        (b"2147483648", DELTA_MAX),
        (b"9" * 5000, DELTA_MAX),
        (b"-1", None),
        (b"1.5", None),
        (b"", None),
        (b"1 ", None),
        (b"1_0", None),
        ("٣".encode(), None),
    ],
)
def test_delta_seconds_are_digits_and_overflow_is_capped(value: bytes, seconds: int | None) -> None:
    assert delta_seconds(value) == seconds


@pytest.mark.parametrize(
    ("value", "age"),
    [
        (b"7200", 7200),
        (b"0, 7200", 0),
        (b"7200, 0", 7200),
        (b"7200s", None),
        (b"-7200", None),
        (b"7200;a=b", None),
    ],
)
def test_age_takes_the_first_value_and_ignores_an_invalid_one(value: bytes, age: int | None) -> None:
    assert age_seconds(value) == age


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"max-age=60", CacheControl(max_age=60)),
        (b"MaX-aGe=60", CacheControl(max_age=60)),
        (b'max-age="60"', CacheControl(max_age=60)),
        (b"max-age=60, max-age=10", CacheControl(max_age=10)),
        (b"max-age=10, max-age=60", CacheControl(max_age=10)),
        (b"max-age=-1", CacheControl(max_age=0)),
        (b"max-age=1.5", CacheControl(max_age=0)),
        (b"max-age=60a", CacheControl(max_age=0)),
        (b"max-age='60'", CacheControl(max_age=0)),
        (b'max-age="60', CacheControl(max_age=0)),
        (b"max-age =60", CacheControl(max_age=0)),
        (b"max-age= 60", CacheControl(max_age=0)),
        (b"max-age", CacheControl(max_age=0)),
        (b"max-age=99999999999", CacheControl(max_age=DELTA_MAX)),
        (b'x="max-age=60"', NOTHING),
        (b"amax-age=60, max-ageb=60", NOTHING),
        (b"Private", CacheControl(private=True)),
        (b"NO-STORE", CacheControl(no_store=True)),
        (b"no-store=1", CacheControl(no_store=True)),
        (b'private="A, b"', CacheControl(private_fields=[b"a", b"b"])),
        (b'private=""', CacheControl(private=True)),
        (b"no-cache=a", CacheControl(no_cache_fields=[b"a"])),
        (b'no-cache, no-cache="a"', CacheControl(no_cache=True, no_cache_fields=[b"a"])),
        (b"s-maxage=1, public", CacheControl(s_maxage=1, public=True)),
        (b"max-stale", CacheControl(max_stale=float("inf"))),
        (b"max-stale=5, min-fresh=6", CacheControl(max_stale=5, min_fresh=6)),
        (b"max-stale=x", NOTHING),
        (
            b"stale-while-revalidate=5, stale-if-error=6",
            CacheControl(stale_while_revalidate=5, stale_if_error=6),
        ),
        (b"must-revalidate,proxy-revalidate", CacheControl(must_revalidate=True, proxy_revalidate=True)),
        (b"immutable,must-understand", CacheControl(immutable=True, must_understand=True)),
    ],
)
def test_cache_control(value: bytes, expected: CacheControl) -> None:
    assert cache_control(value) == expected


def test_names_are_lower_case() -> None:
    assert names_in(b"Accept, COOKIE") == (b"accept", b"cookie")


@given(st.binary(max_size=600))
def test_parsing_never_raises_whatever_the_bytes(value: bytes) -> None:
    control = cache_control(value)
    assert all(
        seconds is None or 0 <= seconds <= DELTA_MAX
        for seconds in (control.max_age, control.s_maxage, age_seconds(value))
    )


@given(st.text(alphabet=st.characters(max_codepoint=126, min_codepoint=32), max_size=40))
def test_quoted_strings_round_trip(text: str) -> None:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert unquote(quoted.encode()) == text.encode()
    assert split_list(f"a={quoted}, b".encode()) == [f"a={quoted}".encode(), b"b"]


@given(st.lists(st.from_regex(rb"[a-z]{1,8}(=[0-9]{1,3})?", fullmatch=True), max_size=8))
def test_order_and_white_space_of_directives_do_not_matter(members: list[bytes]) -> None:
    assert cache_control(b", ".join(members)) == cache_control(b" ,\t".join(reversed(members)))
