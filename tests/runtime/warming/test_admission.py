"""Which URLs a warm-up asks for."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.runtime.warming.admission import LONGEST, QUERIES_OF_A_PATH, Admission, OriginError, origin_of

ORIGIN = "https://shop.example"


@pytest.mark.parametrize(
    ("candidate", "url"),
    [
        ("/", "/"),
        ("/items/7?b=2&a=1#part", "/items/7?b=2&a=1"),
        ("https://shop.example", "/"),
        ("https://SHOP.example:443/a%2Fb", "/a%2Fb"),
        ("http://shop.example/a", "/a"),
        ("//shop.example/a", "/a"),
        (" /a b/ü ", "/a%20b/%C3%BC"),
    ],
)
def test_what_is_of_the_site_is_asked_for_by_its_origin(candidate: str, url: str) -> None:
    assert Admission(ORIGIN).admit(candidate) == (ORIGIN + url, "")


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        ("https://evil.example/a", "off-host"),
        ("https://shop.example.evil.example/", "off-host"),
        ("https://shop.example:8443/", "off-host"),
        ("//evil.example/a", "off-host"),
        ("https://user:secret@shop.example/", "credentials"),
        ("ftp://shop.example/a", "invalid"),
        ("javascript:alert(1)", "invalid"),
        ("http:///a", "invalid"),
        ("http://[/", "invalid"),
        ("", "invalid"),
        ("items/7", "invalid"),
        ("/a\nHost: evil.example", "invalid"),
        ("/" + "a" * LONGEST, "too-long"),
        ("/logout", "unsafe"),
        ("/account/Sign%2DOut/", "unsafe"),
        ("/cart?action=delete&id=1", "unsafe"),
        ("/list?" + "&".join(f"p{n}={n}" for n in range(9)), "query"),
        ("/_perfmw/api/v1/cache", "closed"),
    ],
)
def test_what_is_not_asked_for_and_why(candidate: str, reason: str) -> None:
    assert Admission(ORIGIN, closed=("/_perfmw",)).admit(candidate) == ("", reason)


def test_a_url_is_asked_for_once() -> None:
    admission = Admission(ORIGIN)
    assert admission.admit("/a")[1] == ""
    assert admission.admit("https://shop.example/a#b") == ("", "duplicate")


def test_queries_of_one_path_come_to_an_end() -> None:
    admission = Admission(ORIGIN)
    reasons = [admission.admit(f"/calendar?day={day}")[1] for day in range(QUERIES_OF_A_PATH + 2)]
    assert reasons == [""] * QUERIES_OF_A_PATH + ["query"] * 2
    assert admission.admit("/calendar")[1] == ""


def test_a_site_may_have_several_origins() -> None:
    admission = Admission("https://shop.example", "http://shop.local:8000")
    assert admission.admit("http://shop.local:8000/a")[0] == "http://shop.local:8000/a"
    assert admission.admit("/a")[0] == "https://shop.example/a"


@pytest.mark.parametrize(
    "text", ["", "shop.example", "ftp://a", "http://", "http://a@b", "http://a:x", "http://["]
)
def test_an_origin_is_said_to_be_none(text: str) -> None:
    with pytest.raises(OriginError, match=r"looks like https://shop\.example"):
        origin_of(text)


@given(st.text(max_size=60), st.sampled_from(["", "/", "https://shop.example/", "https://", "//"]))
def test_whatever_comes_nothing_leaves_the_site(text: str, before: str) -> None:
    url, reason = Admission(ORIGIN).admit(before + text)
    assert bool(url) != bool(reason)
    if url:
        assert urlsplit(url).netloc == "shop.example"
        assert url.isascii()
        assert url.isprintable()
        assert " " not in url
