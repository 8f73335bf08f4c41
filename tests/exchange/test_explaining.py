"""Explaining a URL asks the app once, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from perfmw import CacheRule, PerfMiddleware, Runtime, Settings
from perfmw.testing import Client

pytestmark = pytest.mark.anyio

calls: list[bytes] = []


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    calls.append(scope["raw_path"])
    fields = {b"/private": b"private", b"/fresh": b"max-age=60"}
    control = fields.get(scope["raw_path"])
    headers = [(b"Cache-Control", control)] if control else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"page"})


@pytest.fixture
def middleware() -> PerfMiddleware:
    calls.clear()
    rules = [CacheRule(path="/ruled", ttl=30, name="thirty")]
    return PerfMiddleware(app, settings=Settings(cache_rules=rules, dashboard="loopback"))


@pytest.mark.parametrize(
    ("path", "cacheable", "reason", "rule"),
    [
        ("/fresh", True, "max-age", ""),
        ("/ruled", True, "rule", "thirty"),
        ("/private", False, "private", ""),
        ("/silent", False, "no-freshness", ""),
    ],
)
async def test_the_reason_is_told_and_nothing_is_stored(
    middleware: PerfMiddleware, path: str, cacheable: bool, reason: str, rule: str
) -> None:
    found = await middleware.runtime.explain(f"http://testserver{path}")
    assert (found["cacheable"], found["reason"], found["rule"]) == (cacheable, reason, rule)
    assert (found["status"], found["stored"], calls) == (200, [], [path.encode()])
    assert found["key"] == f"GET http://testserver{path}"


async def test_what_is_stored_is_told_with_its_age_and_variants(middleware: PerfMiddleware) -> None:
    await Client(middleware).get("/fresh")
    (stored,) = (await middleware.runtime.explain("http://testserver/fresh"))["stored"]
    assert (stored["status"], stored["bytes"], stored["vary"]) == (200, 4, [])
    assert 59 < stored["ttl"] <= 60
    await middleware.runtime.stop()


@pytest.mark.parametrize(("url", "method"), [("/fresh", "GET"), ("http://testserver/fresh", "DELETE")])
async def test_what_cannot_be_asked(middleware: PerfMiddleware, url: str, method: str) -> None:
    with pytest.raises(ValueError, match=r"absolute|GET and HEAD"):
        await middleware.runtime.explain(url, method=method)
    assert not calls


async def test_a_runtime_without_an_app_says_so() -> None:
    with pytest.raises(RuntimeError, match="no app"):
        await Runtime(Settings()).explain("http://testserver/")


async def test_the_api_tells_the_same(middleware: PerfMiddleware) -> None:
    client = Client(middleware, base_url="http://127.0.0.1:8000")
    fields = {
        "content-type": "application/json",
        "origin": "http://127.0.0.1:8000",
        "sec-fetch-site": "same-origin",
    }
    answer = await client.post("/_perfmw/api/v1/explain", fields, b'{"url": "/private"}')
    assert answer.status == 200
    assert (answer.json()["reason"], answer.json()["cacheable"]) == ("private", False)
    wrong = await client.post("/_perfmw/api/v1/explain", fields, b'{"address": "/private"}')
    assert wrong.status == 422
    await middleware.runtime.stop()
