"""What must never be shared, with a rule that would like to cache everything."""

from __future__ import annotations

from typing import Any

import pytest

from perfmw import CacheRule, PerfMiddleware, Settings
from perfmw.testing import Client

pytestmark = pytest.mark.anyio

RULE = Settings(cache_rules=[CacheRule(path="/**", ttl=60)])
MAX_AGE = (b"cache-control", b"max-age=60")


class Echo:
    """Answers with what it was asked, so that a leak shows; counts its calls."""

    def __init__(self, *headers: tuple[bytes, bytes], status: int = 200) -> None:
        self.headers = list(headers)
        self.status = status
        self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.calls += 1
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        fields = dict(scope["headers"])
        asked = [
            scope["raw_path"],
            scope["query_string"],
            fields.get(b"authorization"),
            fields.get(b"cookie"),
        ]
        await send(
            {"type": "http.response.body", "body": repr((asked, fields.get(b"x-forwarded-host"))).encode()}
        )


def words(answer: Any) -> str:
    return str(answer.header("cache-status"))


@pytest.mark.parametrize("headers", [(), (MAX_AGE,), ((b"cache-control", b"public, max-age=60"),)])
@pytest.mark.parametrize("field", ["authorization", "cookie"])
async def test_a_credentialed_request_neither_fills_nor_gets_the_shared_entry(
    field: str, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    if field == "authorization" and headers and b"public" in headers[0][1]:
        pytest.skip("public lets a shared cache reuse it: RFC 9111 section 3.5")
    client = Client(PerfMiddleware(Echo(*headers), settings=RULE))
    first = await client.get("/me", {field: "ann"})
    second = await client.get("/me", {field: "bob"})
    anonymous = await client.get("/me")
    third = await client.get("/me", {field: "ann"})
    assert ["ann" in first.text, "bob" in second.text, "ann" in third.text] == [True, True, True]
    assert "ann" not in anonymous.text
    assert "bob" not in anonymous.text


async def test_a_rule_may_say_shared_or_vary_on_the_cookie() -> None:
    shared = Settings(cache_rules=[CacheRule(path="/**", ttl=60, shared=True)])
    client = Client(PerfMiddleware(Echo(), settings=shared))
    await client.get("/static/a.css", {"cookie": "ann"})
    assert words(await client.get("/static/a.css", {"cookie": "bob"})).startswith("perfmw; hit")
    varied = Settings(cache_rules=[CacheRule(path="/**", ttl=60, vary=["Cookie"])])
    client = Client(PerfMiddleware(Echo(), settings=varied))
    pages = [await client.get("/me", {"cookie": who}) for who in ("ann", "bob", "ann", "bob")]
    assert ["hit" in words(page) for page in pages] == [False, False, True, True]
    assert ["ann" in page.text for page in pages] == [True, False, True, False]


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ([(b"set-cookie", b"sid=1")], 200, "set-cookie"),
        ([(b"cache-control", b"private")], 200, "private"),
        ([(b"cache-control", b"PriVate, max-age=60")], 200, "private"),
        ([(b"cache-control", b"NO-STORE")], 200, "no-store"),
        ([(b"cache-control", b"max-age=60"), (b"cache-control", b"no-store")], 200, "no-store"),
        ([(b"vary", b"*")], 200, "vary-star"),
        ([(b"vary", b"accept"), (b"vary", b"x, *")], 200, "vary-star"),
        ([], 500, "status"),
        ([MAX_AGE], 503, "status"),
        ([], 404, "status"),
        ([(b"content-type", b"text/event-stream")], 200, "event-stream"),
        ([(b"x-reflected", b"a\x01b")], 200, "control-character"),
    ],
)
async def test_responses_that_are_never_stored_under_a_rule(
    headers: list[tuple[bytes, bytes]], status: int, reason: str
) -> None:
    app = Echo(*headers, status=status)
    client = Client(PerfMiddleware(app, settings=RULE))
    for _ in range(3):
        assert words(await client.get("/page")) == f"perfmw; fwd=uri-miss; detail={reason}"
    assert app.calls == 3


async def test_a_get_with_a_body_keeps_away_from_the_cache() -> None:
    client = Client(PerfMiddleware(Echo(MAX_AGE), settings=RULE))
    answer = await client.request("GET", "/search", {"content-length": "3"}, b"q=1")
    assert words(answer) == "perfmw; fwd=bypass; detail=body"


async def test_two_hosts_and_two_host_fields() -> None:
    client = Client(PerfMiddleware(Echo(MAX_AGE), settings=RULE))
    await client.get("/", {"host": "a.example"})
    assert "hit" not in words(await client.get("/", {"host": "b.example"}))
    twice = await client.get("/", [("host", "a.example"), ("host", "b.example")])
    assert words(twice) == "perfmw; fwd=bypass; detail=host"


async def test_a_claimed_host_never_poisons_the_entry() -> None:
    client = Client(PerfMiddleware(Echo(MAX_AGE), settings=RULE))
    evil = await client.get("/", {"x-forwarded-host": "evil.example"})
    assert "evil.example" in evil.text
    assert "evil.example" not in (await client.get("/")).text


@pytest.mark.parametrize(
    ("one", "other"),
    [("/a%2Fb", "/a/b"), ("/x?a=1&b=2", "/x?b=2&a=1"), ("/%ff", "/%fe"), ("/x;v=1", "/x"), ("/x?", "/x?a")],
)
async def test_urls_that_differ_in_bytes_are_different(one: str, other: str) -> None:
    client = Client(PerfMiddleware(Echo(MAX_AGE), settings=RULE))
    await client.get(one)
    assert "hit" not in words(await client.get(other))
    assert "hit" in words(await client.get(one))


async def test_an_unsafe_method_makes_the_page_invalid_and_a_failed_one_does_not() -> None:
    app = Echo(MAX_AGE)
    client = Client(PerfMiddleware(app, settings=RULE))
    await client.get("/item")
    app.status = 500
    assert words(await client.post("/item", body=b"x")) == "perfmw; fwd=method"
    assert "hit" in words(await client.get("/item"))
    app.status = 200
    await client.post("/item", body=b"x")
    assert words(await client.get("/item")) == "perfmw; fwd=uri-miss; stored"


async def test_a_client_that_has_the_page_gets_304() -> None:
    client = Client(PerfMiddleware(Echo(MAX_AGE, (b"etag", b'"v1"')), settings=RULE))
    await client.get("/page")
    answer = await client.get("/page", {"if-none-match": 'W/"v1"'})
    assert (answer.status, answer.body, answer.header("etag")) == (304, b"", '"v1"')
    assert words(answer).startswith("perfmw; hit")
    assert (await client.get("/page", {"if-none-match": '"v2"'})).status == 200


async def test_head_is_answered_from_a_stored_get() -> None:
    app = Echo(MAX_AGE)
    client = Client(PerfMiddleware(app, settings=RULE))
    page = await client.get("/page")
    head = await client.head("/page")
    assert (head.status, head.body, app.calls) == (200, b"", 1)
    assert head.header("content-length") in (None, str(len(page.body)))
