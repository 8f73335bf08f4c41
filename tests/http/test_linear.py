"""What a header costs grows with its size and no faster, whoever made it; nothing is timed here."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmw.asgi import hops, interim
from perfmw.http import dates, fields, ranges, reuse, rules, storing, structured, vary
from perfmw.http.forwarding import keyed_claims, unkeyable
from perfmw.http.invalidation import outdated_keys
from perfmw.http.keys import referenced_key
from perfmw.http.messages import Request, ResponseHead, index
from perfmw.http.reflection import reflected
from perfmw.http.reuse import decide, precheck
from perfmw.http.serve import etag_listed
from perfmw.http.storing import storing as judge
from perfmw.http.structured import targeted_control
from tests.http.build import NOW, SAFE, STRICT, get, head, kept
from tests.http.steps import Matcher, python_steps

PIECES = [b'"', b"\\", b'\\"', b",", b", ", b" ", b"\t", b"a", b"1", b"a=", b'"a",', b"a=1,", b'a="b",', b";"]
PIECES += [b"a;q=0.1,", b"-", b"0-0,", b"(", b"a ", b":", b"%", b"a;b=1;", b'private="a",', b"no-cache=b,"]
PIECES += [b"\r\n", b"x\r\n", b"/a", b"%2f", b"/../", b"%2e", b"HTTP/1.1 102 \r\n\r\n", b"q", b"[", b"\xff"]
SMALL = 20


@contextmanager
def deep() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


MATCHED = [
    *dates._FORMATS,
    fields._DIGITS,
    fields._TOKEN,
    ranges._RANGES,
    ranges._CONTENT_RANGE,
    reuse._AUTHORITY,
    storing._NAME,
    vary._QVALUE,
    interim._HEAD,
    structured._KEY,
    structured._NUMBER,
    structured._STRING,
    structured._TOKEN,
    structured._BINARY,
    structured._DATE,
    structured._DISPLAY,
    structured._COMMA,
    *map(rules.compile_pattern, ("/items/*", "/**/feed", "/**/a/**/b/**/c", "/a*b*c*d", "/*a**b", "/**.js")),
]
FOUND = [fields._MEMBER, fields._ESCAPED, hops._CONTROL, storing._CONTROL, vary._SPACES, rules._DOT_SEGMENT]
STARTS = [b"", b'"', b":", b'%"', b"bytes=", b"/", b"/a", b"HTTP/1.1 103 \r\n"]


@pytest.mark.parametrize("pattern", MATCHED, ids=lambda pattern: str(pattern.pattern)[:40])
def test_no_expression_is_made_to_try_over_and_over(pattern: re.Pattern[Any]) -> None:
    for piece in PIECES:
        for start in STARTS:
            small, large = (_tried(pattern, start + piece * size + b"!") for size in (SMALL, 2 * SMALL))
            assert large <= 2.2 * small + 150, (start, piece)


@pytest.mark.parametrize("pattern", FOUND, ids=lambda pattern: str(pattern.pattern)[:40])
def test_no_search_is_made_to_look_over_and_over(pattern: re.Pattern[Any]) -> None:
    for piece in PIECES:
        for start in STARTS:
            small, large = (
                _tried(pattern, start + piece * size + b"!", every=True) for size in (SMALL, 2 * SMALL)
            )
            assert large <= 2.2 * small + 150, (start, piece)


def _tried(pattern: re.Pattern[Any], text: bytes, *, every: bool = False) -> int:
    matcher = Matcher(pattern, text)
    with deep():
        matcher.findall() if every else matcher.fullmatch()
    return matcher.steps


def test_the_count_shows_what_it_is_for() -> None:
    bad = re.compile(rb"(?:a|aa)*b")
    assert _tried(bad, b"a" * 16 + b"!") > 4 * _tried(bad, b"a" * 8 + b"!")
    assert _tried(re.compile(rb".*x.*y"), b"x" * 80) > 3 * _tried(re.compile(rb".*x.*y"), b"x" * 40)


@settings(max_examples=200)
@given(
    st.sampled_from([*MATCHED, re.compile(rb"(?>a*?b).*c", re.DOTALL)]),
    st.lists(st.sampled_from([*PIECES, b"c", b"b", b"/feed", b"0", b"Mon, "]), max_size=8).map(b"".join),
)
def test_the_count_is_of_what_re_does(pattern: re.Pattern[Any], text: bytes) -> None:
    with deep():
        mine = Matcher(pattern, text).fullmatch()
    subject = text if isinstance(pattern.pattern, bytes) else text.decode("latin-1")
    assert mine == (pattern.fullmatch(subject) is not None)


def requested(name: str, value: bytes) -> Request:
    return get(**{name: value.decode("latin-1")})


PARSERS: dict[str, Callable[[bytes], object]] = {
    "list": fields.split_list,
    "cache-control": fields._parse,
    "targeted": lambda value: structured._targeted(value),
    "accept": lambda value: vary._normalise(b"accept", value, True),
    "vary": lambda value: vary.vary_names({b"vary": value}),
    "language": lambda value: vary._same_language(value, value, [(b"content-language", b"a")], True),
    "encoding": lambda value: vary._same_encoding(value, value, [(b"content-encoding", b"a")], True),
    "tags": lambda value: etag_listed(value, b'"x"'),
    "ranges": lambda value: ranges.parse_ranges(b"bytes=" + value, 10_000),
    "date": lambda value: dates.parse_date(value),
    "age": fields.age_seconds,
    "forwarded": lambda value: (
        unkeyable(requested("forwarded", value), SAFE),
        keyed_claims(requested("x-forwarded-proto", value), SAFE),
    ),
    "location": lambda value: outdated_keys(
        Request("POST", "http", b"h", b"/", b"", []), ResponseHead(200, [(b"location", value)])
    ),
    "reference": lambda value: referenced_key("GET http://h/", value),
    "connection": lambda value: hops.response_headers([(b"connection", value)], 200, b"1.1", NOW),
    "trailer": lambda value: hops.announced_trailers([(b"trailer", value)]),
    "hints": hops.informational_headers,
    "request": lambda value: decide(requested("cache-control", value), [kept(head("max-age=60"))], NOW, SAFE),
    "condition": lambda value: decide(
        requested("if-none-match", value), [kept(head("max-age=60"))], NOW, STRICT
    ),
    "response": lambda value: judge(
        get(),
        ResponseHead(200, [(b"cache-control", value), (b"vary", value), (b"cdn-cache-control", value)]),
        request_time=NOW,
        response_time=NOW,
        policy=STRICT,
    ),
    "reflection": lambda value: reflected(requested("x-forwarded-for", value), kept(head("max-age=60"))),
    "lines": lambda value: index([(b"a", value[at : at + 1]) for at in range(len(value))]),
    "path": lambda value: rules.RuleBook().match("GET", value),
}


@pytest.mark.parametrize("name", PARSERS)
def test_no_parser_takes_more_steps_than_its_input_has_bytes(name: str) -> None:
    parse = PARSERS[name]
    for piece in PIECES:
        values = [piece * (size // len(piece)) for size in (800, 1600)]
        small, large = (python_steps(partial(parse, value)) for value in values)
        assert large <= 2.2 * small + 500, piece


def test_what_is_not_remembered_is_bounded_by_the_request() -> None:
    """The memories of parsers hold short values only."""
    fields._remembered.cache_clear()
    for size in (fields.MEMO_LONGEST, fields.MEMO_LONGEST + 1):
        fields.cache_control(b"a" * size)
    targeted_control(b"a" * 10_000)
    assert fields._remembered.cache_info().currsize == 1
    assert vary._remembered.cache_info().maxsize is not None


def test_a_list_of_clients_without_end_is_not_looked_for() -> None:
    stored = kept(head("max-age=60"), body=b"nothing of the kind")
    few, many = (", ".join(f"10.0.0.{n}" for n in range(count)) for count in (16, 17))
    assert not reflected(get(x_forwarded_for=few), stored)
    assert reflected(get(x_forwarded_for=many), stored)


def test_urls_without_end_are_no_keys() -> None:
    assert precheck(get("/" + "a" * 8191), SAFE) is None
    assert precheck(get("/" + "a" * 8192), STRICT) == "long-url"
    assert precheck(get("/?" + "a" * 8192), SAFE) == "long-url"
    assert precheck(get(host="a" * 301), SAFE) == "host"
