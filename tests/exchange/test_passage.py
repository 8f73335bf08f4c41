"""The short way through for what can not be stored, and the way out of it when it can."""

from __future__ import annotations

from typing import Any

import pytest

from perfmw import CacheRule, PerfMiddleware, Settings, tag
from perfmw.exchange import fast, passing
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


def scope_of(*headers: tuple[bytes, bytes], query: bytes = b"", scheme: str = "https") -> dict[str, object]:
    known = [(b"host", b"shop.example"), *headers]
    return {"method": "GET", "scheme": scheme, "headers": known, "raw_path": b"/seen", "query_string": query}


def test_the_same_fields_come_to_the_same_and_others_do_not() -> None:
    agent = (b"user-agent", b"one")
    for _ in range(3):
        assert fast.plain_key(scope_of(agent)) == ("GET https://shop.example/seen", None, None)
    assert fast.plain_key(scope_of(agent, query=b"a=1")) == ("GET https://shop.example/seen?a=1", None, None)
    assert fast.plain_key(scope_of(agent, scheme="http")) == ("GET http://shop.example/seen", None, None)
    assert fast.plain_key(scope_of(agent, (b"authorization", b"x"))) is None
    assert fast.plain_key({**scope_of(agent), "method": "POST"}) is None
    for number in range(2 * fast._PATIENCE):
        trace = b"00-%032x-%016x-01" % (number + 1, number + 1)
        assert fast.plain_key(scope_of(agent, (b"traceparent", trace))) == (
            "GET https://shop.example/seen",
            None,
            trace,
        )


def test_fields_that_the_app_changes_afterwards_are_not_what_was_seen() -> None:
    scope = scope_of((b"accept", b"*/*"))
    assert fast.plain_key(scope) is not None
    scope["headers"].append((b"authorization", b"x"))  # type: ignore[attr-defined]
    assert fast.plain_key(scope) is None
    assert fast.plain_key(scope_of((b"accept", b"*/*"), (b"authorization", b"x"))) is None


def test_what_was_seen_is_bounded_and_follows_the_clients() -> None:
    for number in range(fast._MOST_SEEN + 10):
        fast.plain_key({**scope_of(), "raw_path": b"/%d" % number})
    assert len(fast._seen) <= fast._MOST_SEEN
    fast.plain_key(scope_of((b"user-agent", b"x" * 10_000), query=b"large"))
    assert all(len(seen.headers) < 2 or len(seen.headers[1][1]) < 10_000 for seen in fast._seen.values())
    fast.plain_key(scope_of((b"user-agent", b"old")))
    for _ in range(fast._PATIENCE):
        fast.plain_key(scope_of((b"user-agent", b"new")))
    assert fast._seen[b"/seen"].headers[1] == (b"user-agent", b"new")


def test_of_too_many_urls_those_marked_longest_ago_are_forgotten() -> None:
    held = passing.Passing(60.0)
    for number in range(passing._MOST):
        held.mark(f"{number}", 0.0, None)
    held.mark("0", 1.0, None)
    held.mark("one more", 1.0, None)
    left = passing._MOST * 9 // 10
    assert [*held.held] == [
        *(f"{n}" for n in range(passing._MOST - left + 1, passing._MOST)),
        "0",
        "one more",
    ]
