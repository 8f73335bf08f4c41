"""Selecting among responses (section 4.1)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.http.reuse import decide
from perfmw.http.variants import VariantIndex, variant_key
from perfmw.http.vary import normalise, qualities
from tests.http.build import NOW, SAFE, STRICT, get, head, kept


def same(
    name: str, first: str | list[str], second: str | list[str] | None, *, strict: bool = True, **headers: str
) -> bool:
    """Whether a response to ``first`` is used for ``second``."""
    policy = STRICT if strict else SAFE
    stored = kept(head("max-age=60", vary=name, **headers), get(**{name.replace("-", "_"): first}), policy)
    request = get() if second is None else get(**{name.replace("-", "_"): second})
    return decide(request, [stored], NOW, policy).action == "serve"


@pytest.mark.parametrize(
    ("name", "first", "second", "expected"),
    [
        ("x-test", "1", "1", True),
        ("x-test", "1", "2", False),
        ("x-test", "1", None, False),
        ("x-test", "1", "A", False),
        ("x-test", "a", "A", False),
        ("x-test", ["1", "2"], "1, 2", True),
        ("x-test", "1,2", " 1 ,  2 ", True),
        ("x-test", "1, 2", "2, 1", False),
        ("x-test", '"1, 2"', '"1,2"', False),
        ("accept-language", "EN, de", "en,DE", True),
        ("accept-language", "en;q=0.5, de", "de, en; q=0.50", True),
        ("accept-language", "en;q=0.5, de", "de, en;q=0.6", False),
        ("accept-encoding", "gzip, br", "br,gzip", True),
        ("accept", "text/html;level=1, */*;q=0.1", "*/*; q=0.1, text/HTML; level=1", True),
        ("cookie", "a=1, b", "a=1,b", False),
        ("user-agent", "a, b", "a,b", False),
    ],
)
def test_normalisation(name: str, first: str | list[str], second: str | None, expected: bool) -> None:
    assert same(name, first, second) is expected


def test_the_order_of_equal_languages_counts_unless_strict() -> None:
    assert same("accept-language", "en, de", "de, en", strict=True)
    assert not same("accept-language", "en, de", "de, en", strict=False)


@pytest.mark.parametrize(
    ("first", "second", "language", "expected"),
    [
        ("en, de", "fr;q=0.5, de;q=1.0", "de", True),
        ("en, de", "fr, de;q=0.9", "de", False),
        ("en, de;q=0.9", "fr;q=0.5, en, de;q=0.8", "de", True),
        ("de", "fr, de", "de", False),
        ("de", "fr", "de", False),
        ("de", "fr", "", False),
        ("de", "de;q=0", "de", False),
        ("de", None, "de", False),
        ("de", "de-AT", "de", False),
    ],
)
def test_a_stored_language_is_chosen_by_quality(
    first: str, second: str | None, language: str, expected: bool
) -> None:
    headers = {"content_language": language} if language else {}
    assert same("accept-language", first, second, **headers) is expected
    if not expected:
        assert not same("accept-language", first, second, strict=False, **headers)


@pytest.mark.parametrize(
    ("first", "second", "coding", "expected"),
    [
        ("gzip, deflate, br", "gzip", "gzip", True),
        ("gzip, deflate, br", "gzip;q=0.5, deflate", "gzip", False),
        ("gzip, deflate, br", "zstd, gzip", "gzip", False),
        ("gzip, deflate, br", "deflate", "gzip", False),
        ("gzip, deflate, br", None, "gzip", False),
        ("gzip, deflate, br", None, "", True),
        ("gzip, deflate, br", "deflate", "", True),
        ("gzip, deflate, br", "identity;q=0, gzip", "", False),
        ("gzip, deflate, br", "gzip, *;q=0", "", False),
        ("gzip", "gzip, br", "gzip", False),
    ],
)
def test_a_stored_coding_is_chosen_again_among_fewer(
    first: str, second: str | None, coding: str, expected: bool
) -> None:
    headers = {"content_encoding": coding} if coding else {}
    assert same("accept-encoding", first, second, strict=False, **headers) is expected


def test_qualities() -> None:
    assert qualities(b"a, b;q=0.5, c;q=2, d;q=0, a;q=0.1") == {b"a": 1000, b"b": 500, b"c": 1000, b"d": 0}


@given(st.binary(max_size=200), st.booleans())
def test_normalising_never_raises_and_is_stable(value: bytes, strict: bool) -> None:
    for name in (b"accept-language", b"accept", b"cookie", b"x"):
        once = normalise(name, value, strict)
        assert name == b"accept" or normalise(name, once, strict) == once


def test_the_index_selects_bounds_and_names_keys() -> None:
    key, index = "GET http://h/", VariantIndex()
    stored = [
        kept(head("max-age=60", vary="accept-encoding"), get(accept_encoding=f"c{n}")) for n in range(4)
    ]
    dropped: list[str] = []
    for response in stored:
        index, gone = index.with_response(variant_key(key, response), response, 3)
        dropped += gone
    assert dropped == ["GET http://h/ {accept-encoding=c0}"]
    assert index.select(get(accept_encoding="C2").fields, strict=False) == [
        "GET http://h/ {accept-encoding=c2}"
    ]
    assert index.select(get(accept_encoding="c0").fields, strict=False) == []
    again, gone = index.with_response(variant_key(key, stored[1]), stored[1], 3)
    assert (gone, again.keys()[0], len(again.keys())) == ([], "GET http://h/ {accept-encoding=c1}", 3)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(index), type=VariantIndex) == index


def test_keys_of_variants_show_no_secret_and_stay_short() -> None:
    cookie = kept(head("max-age=60", vary="cookie"), get(cookie="session=secret"))
    long = kept(head("max-age=60", vary="x"), get(x="y" * 5000))
    absent = kept(head("max-age=60", vary="x"), get())
    plain = kept(head("max-age=60"))
    part = kept(head("max-age=60", status=206, content_range="bytes 0-4/10"), body=b"hello")
    assert "secret" not in variant_key("k", cookie)
    assert len(variant_key("k", long)) < 100
    assert variant_key("k", absent) == "k {x absent}"
    assert variant_key("k", plain) == "k"
    assert variant_key("k", part) == "k {partial}"


def test_a_choice_among_variants_is_remembered_and_the_same() -> None:
    one, two = (b"accept-encoding", b"gzip"), (b"accept-encoding", b"br")
    index = VariantIndex()
    for sent in (one, two):
        stored = kept(head("max-age=60", vary="accept-encoding"), get(accept_encoding=sent[1].decode()))
        index, _ = index.with_response(variant_key("GET http://h/", stored), stored, 8)
    for _ in range(2):
        assert index.choose([(b"accept", b"x"), one], strict=False) == "GET http://h/ {accept-encoding=gzip}"
        assert index.choose([two], strict=False) == "GET http://h/ {accept-encoding=br}"
        assert index.choose([(b"accept-encoding", b"zstd")], strict=False) == ""
    for number in range(200):
        index.choose([(b"accept-encoding", b"x%d" % number)], strict=False)
    index.choose([(b"accept-encoding", b"x" * 10_000)], strict=False)
    assert len(index.choices) <= 64
