"""Keys keep apart whatever an origin may keep apart (section 2)."""

from __future__ import annotations

from itertools import combinations

import pytest

from perfmw.http.keys import custom_key, referenced_key, request_key


def test_keys_read_like_the_request() -> None:
    assert request_key("https", b"Example.ORG:443", b"/a/b", b"x=1") == "GET https://example.org/a/b?x=1"
    assert request_key("http", b"example.org:80", b"/", b"") == "GET http://example.org/"
    assert request_key("http", b"example.org:443", b"/", b"") == "GET http://example.org:443/"


def test_no_two_of_these_share_a_key() -> None:
    paths = [
        b"/a/b",
        b"/a%2Fb",
        b"/a%2fb",
        b"/a/./b",
        b"/a//b",
        b"/a/b/",
        b"/A/b",
        b"/a/\xff",
        b"/a/\xc3\xbf",
        b"/a;b",
    ]
    queries = [b"", b"a=1&b=2", b"b=2&a=1", b"a=1&a=1", b"a=1;b=2", b"a=%31"]
    keys = {request_key("http", b"h", path, query) for path in paths for query in queries}
    assert len(keys) == len(paths) * len(queries)


def test_a_custom_key_stays_on_its_host_and_apart_from_urls() -> None:
    keys = [custom_key("http", b"a", "x"), custom_key("http", b"b", "x"), custom_key("https", b"a", "x")]
    keys += [request_key("http", b"a", b"x", b""), request_key("http", b"a", b"/x", b"")]
    assert all(one != other for one, other in combinations(keys, 2))


@pytest.mark.parametrize(
    ("reference", "key"),
    [
        (b"/new?x=1", "GET http://h/new?x=1"),
        (b"other", "GET http://h/a/other"),
        (b"../up", "GET http://h/up"),
        (b"?page=2", "GET http://h/a/b?page=2"),
        (b"", "GET http://h/a/b"),
        (b"http://H:80/x#frag", "GET http://h/x"),
        (b"//h/x", "GET http://h/x"),
        (b"http://h.evil/x", None),
        (b"http://h:8080/x", None),
        (b"https://h/x", None),
        (b"//elsewhere/x", None),
        (b"http://[bad/x", None),
        (b"mailto:x@h", None),
    ],
)
def test_references_resolve_on_the_same_origin_only(reference: bytes, key: str | None) -> None:
    assert referenced_key("GET http://h/a/b", reference) == key
