"""What is hidden by its name or its look, and what is not."""

from __future__ import annotations

import pytest

from perfmw.runtime.redaction import HIDDEN, hidden, is_secret, shown_field


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("GET https://a/x?token=abc&page=2", f"GET https://a/x?token={HIDDEN}&page=2"),
        ("GET https://a/x?page=2&accessToken=abc", f"GET https://a/x?page=2&accessToken={HIDDEN}"),
        ("GET https://a/reset?code=1;key=2", f"GET https://a/reset?code={HIDDEN};key={HIDDEN}"),
        (
            "GET https://a/x {x-session=abc; accept=json}",
            f"GET https://a/x {{x-session={HIDDEN}; accept=json}}",
        ),
        ("fn:load(token='abc', page=2)", f"fn:load(token={HIDDEN}, page=2)"),
        ("GET https://a/of/joe.doe+x@shop.example/orders", f"GET https://a/of/{HIDDEN}/orders"),
        ("GET https://a/of?mail=joe%40shop.co.uk&x=1", f"GET https://a/of?mail={HIDDEN}&x=1"),
        ("user:joe@shop.example", f"user:{HIDDEN}"),
    ],
)
def test_secrets_and_addresses_are_hidden(text: str, wanted: str) -> None:
    assert hidden(text) == wanted
    assert hidden(wanted) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "GET https://a/img/logo@2x.png",
        "GET https://a/npm/react@18.2.0/index.js",
        "GET https://a/x?keyword=red&author=joe&monkey=1",
        "user:7",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert hidden(text) == text


def test_headers_are_secret_by_name_and_hide_what_is_within() -> None:
    for name in (b"Set-Cookie", b"authorization", b"X-CSRF-Token", b"x-session-id", b"Api-Key"):
        assert is_secret(name)
        assert shown_field(name, b"abc", reveal=False) == HIDDEN
    for name in (b"etag", b"cache-control", b"x-author", b"location"):
        assert not is_secret(name)
    assert shown_field(b"location", b"/login?token=abc", reveal=False) == f"/login?token={HIDDEN}"
    assert shown_field(b"set-cookie", b"sid=abc", reveal=True) == "sid=abc"
