"""The short way through for what can not be stored, and the way out of it when it can."""

from __future__ import annotations

from typing import Any

import pytest

from perfmw import CacheRule, PerfMiddleware, Settings, tag
from perfmw.exchange import fast
from perfmw.testing import Client

pytestmark = pytest.mark.anyio
LENGTH = (b"content-length", b"1")
FRESH = (b"cache-control", b"max-age=60")


def site(answers: list[list[tuple[bytes, bytes]]], status: int = 200) -> Any:
    """Answers with these fields in turn, the last ones from then on."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tag("page")
        fields = answers.pop(0) if len(answers) > 1 else answers[0]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": b"x"})

    return app


async def told(client: Client, times: int) -> list[str | None]:
    return [(await client.get("/")).header("cache-status") for _ in range(times)]


MISS, STORED = "perfmw; fwd=uri-miss; detail=no-freshness", "perfmw; fwd=uri-miss; stored"


async def test_every_passage_is_counted_under_its_route_and_reason() -> None:
    middleware = PerfMiddleware(site([[LENGTH]]), settings=Settings())
    assert await told(Client(middleware), 5) == [MISS] * 5
    (profile,) = middleware.runtime.profiles.snapshot()
    assert (profile.name, profile.metrics.latency.count) == ("GET /", 5)
    assert middleware.runtime.status_counts() == {"no-freshness": 5, "hit": 0}


async def test_a_response_that_may_be_stored_after_all_is_stored_with_its_tags() -> None:
    middleware = PerfMiddleware(site([[LENGTH]] * 4 + [[LENGTH, FRESH]]), settings=Settings())
    client = Client(middleware)
    assert await told(client, 6) == [MISS] * 4 + [STORED, "perfmw; hit; ttl=59"]
    await middleware.runtime.invalidate(tags=["page"])
    assert await told(client, 1) == [STORED]


async def test_other_fields_are_judged_anew() -> None:
    secret = [LENGTH, (b"cache-control", b"no-store")]
    answers = [[LENGTH], [LENGTH], [LENGTH], secret, [LENGTH], secret, secret, [LENGTH]]
    middleware = PerfMiddleware(site(answers), settings=Settings())
    found = await told(Client(middleware), 9)
    forbidden = "perfmw; fwd=uri-miss; detail=no-store"
    assert found == [MISS, MISS, MISS, forbidden, MISS, forbidden, forbidden, MISS, MISS]
    assert middleware.runtime.status_counts() == {"no-freshness": 6, "no-store": 3, "hit": 0}


async def test_an_incomplete_response_is_passed_on_and_not_stored() -> None:
    calls = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal calls
        calls += 1
        fields = [(b"content-length", b"2")] + ([FRESH] if calls > 2 else [])
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"x"})

    client = Client(PerfMiddleware(app, settings=Settings()))
    for _ in range(5):
        assert (await client.get("/")).body == b"x"
    assert calls == 5


@pytest.mark.parametrize("begun", [False, True])
async def test_an_exception_on_the_way_is_counted_once(begun: bool) -> None:
    failing = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if begun or not failing:
            await send({"type": "http.response.start", "status": 200, "headers": [LENGTH]})
            await send({"type": "http.response.body", "body": b"x"})
        if failing:
            raise LookupError("gone")

    middleware = PerfMiddleware(app, settings=Settings())
    client = Client(middleware)
    await told(client, 3)
    failing = True
    with pytest.raises(LookupError):
        await client.get("/")
    (profile,) = middleware.runtime.profiles.snapshot()
    assert profile.metrics.latency.count == 4
    assert profile.metrics.error_rates.exceptions == (0 if begun else 1)


async def test_a_rule_that_comes_ends_the_hold() -> None:
    middleware = PerfMiddleware(site([[LENGTH]]), settings=Settings())
    client = Client(middleware)
    assert await told(client, 3) == [MISS] * 3
    middleware.runtime.rules.put(CacheRule(path="/**", ttl=60))
    assert await told(client, 2) == [STORED, "perfmw; hit; ttl=59"]


def test_keys_that_are_remembered_are_bounded_and_distinct() -> None:
    headers = [(b"host", b"shop.example")]
    scope = {"method": "GET", "scheme": "https", "headers": headers, "raw_path": b"/", "query_string": b""}
    for number in range(fast._MOST_KEYS + 10):
        assert fast.plain_key({**scope, "query_string": b"%d" % number}) == (
            f"GET https://shop.example/?{number}",
            None,
            None,
        )
    assert len(fast._keys) <= fast._MOST_KEYS
    fast.plain_key({**scope, "query_string": b"q" * 1_000})
    assert all(len(parts[3]) < 1_000 for parts in fast._keys)
