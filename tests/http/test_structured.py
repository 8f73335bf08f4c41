"""Structured dictionaries (RFC 9651) and targeted fields (RFC 9213)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.http.fields import CacheControl
from perfmw.http.structured import Token, parse_dictionary, targeted_control


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"max-age=60", {"max-age": 60}),
        (b"a=1,b=2", {"a": 1, "b": 2}),
        (b"a=1 ,\tb=2", {"a": 1, "b": 2}),
        (b"a=1, a=2", {"a": 2}),
        (b"a, b;x=1;y, c=?0", {"a": True, "b": True, "c": False}),
        (b'a="x \\"y\\"", b=tok/en:1', {"a": 'x "y"', "b": Token("tok/en:1")}),
        (b"a=-1, b=1.250", {"a": -1, "b": 1.25}),
        (b"a=:aGk=:", {"a": b"hi"}),
        (b'a=(1 "b" c);p=1', {"a": [1, "b", Token("c")]}),
        (b"a=()", {"a": []}),
        (b"a=@1659578233", {"a": 1659578233}),
        (b'a=%"f%c3%bc"', {"a": "fü"}),
        (b"", {}),
        (b"  ", {}),
    ],
)
def test_dictionaries(value: bytes, expected: dict[str, object]) -> None:
    assert parse_dictionary(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        b"Max-Age=60",
        b"max-age =60",
        b"max-age= 60",
        b"max-age=60,",
        b"max-age=60 b",
        b"max-age=3600+600",
        b"max-age=1000000000000000",
        b"a=1.2345",
        b'a="x',
        b'a="\xff"',
        b"a=(1",
        b"a=(1(",
        b"a=:a b:",
        b'a=%"%ff"',
        b"a=;b",
        b"=1",
        b"&",
    ],
)
def test_malformed_dictionaries_are_none(value: bytes) -> None:
    assert parse_dictionary(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"max-age=60", CacheControl(max_age=60)),
        (b"max-age=60;foo=bar", CacheControl(max_age=60)),
        (b"max-age=-1", CacheControl(max_age=0)),
        (b'max-age="60"', CacheControl(max_age=0)),
        (b"max-age", CacheControl(max_age=0)),
        (b"no-store, private=?0", CacheControl(no_store=True)),
        (b'no-cache="A, b"', CacheControl(no_cache_fields=[b"a", b"b"])),
        (b"", None),
        (b"MAX-AGE=60", None),
    ],
)
def test_targeted_directives_have_types(value: bytes, expected: CacheControl | None) -> None:
    assert targeted_control(value) == expected


@given(st.binary(max_size=400))
def test_parsing_never_raises(value: bytes) -> None:
    members = parse_dictionary(value)
    assert members is None or all(key == key.lower() for key in members)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_.*-]{0,9}", fullmatch=True), st.integers(-(10**15) + 1, 10**15 - 1)
    )
)
def test_integers_round_trip(members: dict[str, int]) -> None:
    text = ", ".join(f"{key}={value}" for key, value in members.items())
    assert parse_dictionary(text.encode()) == members
