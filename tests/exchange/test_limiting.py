"""Turned away before the app: overload, priorities, quotas, and what is never refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from perfmw import CacheRule, PerfMiddleware, Settings, hookimpl
from perfmw.runtime.principals import digest_of
from perfmw.settings import Concurrency, Quota
from perfmw.testing import Client, Response

pytestmark = pytest.mark.anyio

TIGHT = Concurrency(least=2, initial=2, most=2)


class Site:
    """An app that answers when it is let go."""

    def __init__(self) -> None:
        self.going = asyncio.Event()
        self.begun = 0
        self.head: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.begun += 1
        await self.going.wait()
        await send({**self.head, "headers": [*self.head["headers"]]})
        await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def site(**settings: Any) -> AsyncIterator[tuple[Site, Client, PerfMiddleware]]:
    settings.setdefault("concurrency_limit", "on")
    settings.setdefault("concurrency", TIGHT)
    plugins = settings.pop("given", ())
    app = Site()
    wrapped = PerfMiddleware(app, Settings(**settings), plugins=plugins)
    try:
        yield app, Client(wrapped), wrapped
    finally:
        await wrapped.runtime.stop()


async def crowd(app: Site, client: Client, *asked: tuple[str, str]) -> list[Response]:
    """All at once; those let in are answered when nobody else comes."""
    tasks = [asyncio.create_task(client.request(method, path)) for method, path in asked]
    for _ in range(20):
        await asyncio.sleep(0)
    app.going.set()
    return await asyncio.gather(*tasks)


def status(answers: list[Response]) -> list[int]:
    return [answer.status for answer in answers]


async def test_more_than_the_limit_are_turned_away_with_all_that_a_client_needs() -> None:
    async with site() as (app, client, wrapped):
        answers = await crowd(app, client, *[("POST", f"/{number}") for number in range(5)])
        assert status(answers) == [200, 200, 503, 503, 503]
        refusal = answers[-1]
        assert refusal.header("content-type") == "application/problem+json"
        assert refusal.header("cache-status") == "perfmw; detail=overload"
        assert refusal.header("cache-control") == "no-store"
        assert refusal.json()["status"] == 503
        assert {answer.header("retry-after") for answer in answers[2:]} == {"1", "2", "3"}
        assert app.begun == 2
        assert wrapped.runtime.status_counts()["overload"] == 3
        assert wrapped.runtime.limits is not None
        (row,) = wrapped.runtime.limits.state()["groups"]
        assert row["refused"] == {"low": 0, "normal": 3, "high": 0}
        assert row["admitted"]["normal"] == 2
        assert row["in_flight"] == 0


async def test_the_short_way_through_is_limited_too() -> None:
    async with site(hit_for_miss_seconds=3600) as (app, client, wrapped):
        app.going.set()
        for _ in range(2):
            assert (await client.get("/")).status == 200
        app.going.clear()
        answers = await crowd(app, client, *[("GET", "/")] * 6)
        assert sorted(status(answers)) == [200] * 4 + [503] * 2  # two more than the limit: a burst
        assert answers[-1].header("cache-status") == "perfmw; detail=overload"
        again = await client.get("/")
        assert again.header("cache-status") == "perfmw; fwd=uri-miss; detail=no-freshness"
        profile = next(one for one in wrapped.runtime.profiles.snapshot() if one.name == "GET /")
        assert profile.metrics.latency.count == 9


async def test_a_head_request_is_turned_away_without_a_body() -> None:
    async with site() as (app, client, _):
        answers = await crowd(app, client, *[("HEAD", f"/{number}") for number in range(3)])
        assert status(answers) == [200, 200, 503]
        assert answers[-1].body == b""
        assert int(answers[-1].header("content-length") or 0) > 0


async def test_observing_refuses_nobody_and_counts_whom_it_would() -> None:
    async with site(concurrency_limit="observe") as (app, client, wrapped):
        answers = await crowd(app, client, *[("POST", f"/{number}") for number in range(5)])
        assert status(answers) == [200] * 5
        assert wrapped.runtime.limits is not None
        (row,) = wrapped.runtime.limits.state()["groups"]
        assert row["refused"]["normal"] == 3


async def test_off_leaves_the_app_alone() -> None:
    async with site(concurrency_limit="off") as (app, client, wrapped):
        assert status(await crowd(app, client, *[("POST", f"/{number}") for number in range(5)])) == [200] * 5
        assert wrapped.runtime.limits is None


async def test_health_checks_and_cache_hits_are_never_refused() -> None:
    rules = [CacheRule(path="/page", ttl=60)]
    async with site(cache_rules=rules) as (app, client, _):
        app.going.set()
        await client.get("/page")
        app.going.clear()
        posts = [("POST", f"/{number}") for number in range(4)]
        answers = await crowd(app, client, *posts, ("GET", "/healthz"), ("GET", "/page"))
        assert status(answers) == [200, 200, 200, 503, 200, 200]
        assert (answers[-1].header("cache-status") or "").startswith("perfmw; hit")


async def test_what_is_stored_stands_in_for_an_app_that_has_no_room() -> None:
    rules = [CacheRule(path="/page", ttl=0)]
    async with site(cache_rules=rules) as (app, client, _):
        app.head["headers"] = [(b"cache-control", b"max-age=0"), (b"etag", b'"1"')]
        app.going.set()
        await client.get("/page")
        app.going.clear()
        posts = [("POST", f"/{number}") for number in range(3)]
        answers = await crowd(app, client, *posts, ("GET", "/page"))
        assert status(answers) == [200] * 4
        assert "stale-if-error" in (answers[-1].header("cache-status") or "")


async def test_a_refusal_leaves_the_url_as_cacheable_as_it_was() -> None:
    rules = [CacheRule(path="/page", ttl=60)]
    async with site(cache_rules=rules) as (app, client, _):
        assert status(await crowd(app, client, ("POST", "/a"), ("POST", "/b"), ("GET", "/page")))[-1] == 503
        assert (await client.get("/page")).header("cache-status") == "perfmw; fwd=uri-miss; stored"


async def test_groups_of_routes_have_limits_of_their_own() -> None:
    groups = Concurrency(least=1, initial=1, most=1, groups={"/reports/**": "reports"})
    async with site(concurrency=groups) as (app, client, _):
        asked = [("POST", "/reports/1"), ("POST", "/reports/2"), ("POST", "/other")]
        assert status(await crowd(app, client, *asked)) == [200, 503, 200]


async def test_a_spelling_of_the_path_does_not_get_around_its_group() -> None:
    groups = Concurrency(least=1, initial=1, most=1, groups={"/reports": "reports"})
    async with site(concurrency=groups) as (app, client, _):
        asked = [("POST", "/reports"), ("POST", "/rep%6Frts"), ("POST", "/other")]
        assert status(await crowd(app, client, *asked)) == [200, 503, 200]


class Vip:
    @hookimpl
    def perfmw_request_priority(self, request: Any) -> str | None:
        return "high" if request.fields.get(b"x-vip") else None


async def test_the_high_come_in_where_the_normal_do_not() -> None:
    async with site(request_priorities={"/pay": "high", "/feed": "low"}) as (app, client, _):
        asked = [("POST", "/a"), ("POST", "/feed"), ("POST", "/b"), ("POST", "/pay"), ("POST", "/c")]
        assert status(await crowd(app, client, *asked)) == [200, 200, 503, 200, 503]


async def test_a_plugin_says_who_goes_first() -> None:
    async with site(given=[Vip()]) as (app, client, _):
        first = [asyncio.create_task(client.post(f"/{number}")) for number in range(3)]
        vip = asyncio.create_task(client.post("/vip", headers=[("x-vip", "1")]))
        for _ in range(20):
            await asyncio.sleep(0)
        app.going.set()
        assert [answer.status for answer in await asyncio.gather(*first, vip)] == [200, 200, 503, 200]


async def test_who_waits_in_the_queue_comes_in_when_there_is_room_the_high_first() -> None:
    waiting = Concurrency(least=1, initial=1, most=1, queue=5.0)
    priorities = {"/pay": "high", "/feed": "low"}
    async with site(concurrency=waiting, request_priorities=priorities) as (app, client, _):
        order: list[str] = []

        async def ask(path: str) -> int:
            answer = await client.post(path)
            order.append(path)
            return answer.status

        tasks = [asyncio.create_task(ask(path)) for path in ("/a", "/b", "/feed", "/pay", "/c")]
        for _ in range(20):
            await asyncio.sleep(0)
        app.going.set()
        assert await asyncio.gather(*tasks) == [200] * 5
        assert order.index("/b") < order.index("/feed")
        assert order[-1] == "/feed"


async def test_nobody_waits_longer_than_the_queue_allows() -> None:
    waiting = Concurrency(least=1, initial=1, most=1, queue=0.01, queue_length=1)
    async with site(concurrency=waiting) as (app, client, _):
        holding = asyncio.create_task(client.post("/a"))
        for _ in range(5):
            await asyncio.sleep(0)
        refused = await asyncio.gather(client.post("/b"), client.post("/c"))
        assert status([*refused]) == [503, 503]
        app.going.set()
        assert (await holding).status == 200


async def test_an_event_stream_holds_no_place() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        fields = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b""})

    wrapped = PerfMiddleware(app, Settings(concurrency_limit="on", concurrency=TIGHT))
    client, answers = Client(wrapped), list[int]()
    tasks = []
    for _ in range(6):
        tasks.append(asyncio.create_task(client.post("/events")))
        await asyncio.sleep(0.001)
    answers = [answer.status for answer in await asyncio.gather(*tasks)]
    await wrapped.runtime.stop()
    assert answers == [200] * 6


async def test_an_app_that_raises_gives_its_place_back() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    wrapped = PerfMiddleware(app, Settings(concurrency_limit="on", concurrency=TIGHT))
    for _ in range(10):
        with pytest.raises(RuntimeError, match="broken"):
            await Client(wrapped).post("/")
        await asyncio.sleep(0)
    assert wrapped.runtime.limits is not None
    await asyncio.sleep(0)
    assert wrapped.runtime.limits.state()["groups"][0]["in_flight"] == 0
    await wrapped.runtime.stop()


async def quick(**settings: Any) -> tuple[Client, Callable[[], Any]]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    wrapped = PerfMiddleware(app, Settings(**settings))
    return Client(wrapped), wrapped.runtime.stop


async def test_a_used_up_quota_is_told_in_the_fields_of_the_draft() -> None:
    client, stop = await quick(quotas=[Quota(name="api", limit=30, window=60, burst=2, path="/api/**")])
    answers = [await client.get("/api/items") for _ in range(3)]
    other = await client.get("/other")
    await stop()
    assert status([*answers, other]) == [200, 200, 429, 200]
    refusal = answers[-1]
    assert refusal.header("ratelimit-policy") == '"api";q=30;w=60'
    assert refusal.header("ratelimit") == '"api";r=0;t=2'
    assert refusal.header("retry-after") == "2"
    assert refusal.header("cache-status") == "perfmw; detail=quota"
    assert refusal.json()["violated-policies"] == ["api"]


async def test_who_is_let_in_is_told_what_is_left_and_nobody_else_is() -> None:
    quotas = [
        Quota(name="each", limit=3, window=60, scope="user"),
        Quota(name="all", limit=100, window=10, burst=5),
        Quota(name="mute", limit=100, fields=False),
        Quota(name="at-once", at_once=9),
    ]
    client, stop = await quick(quotas=quotas, cache_rules=[CacheRule(path="/page", ttl=60)])
    for path, last in (("/a", "2"), ("/a", "1"), ("/page", "0")):
        answer = await client.get(path, headers=[("x-api-key", "one")])
        assert answer.status == 200
        assert answer.header("ratelimit-policy") == '"each";q=3;w=60, "all";q=100;w=10'
        assert (answer.header("ratelimit") or "").startswith(f'"each";r={last};t=60, "all";r=')
    hit = await client.get("/page", headers=[("x-api-key", "one")])
    assert (hit.header("cache-status") or "").startswith("perfmw; hit")
    assert hit.header("ratelimit") is None
    assert hit.header("ratelimit-policy") is None
    await stop()


async def test_a_stored_answer_to_who_was_counted_tells_what_is_left_too() -> None:
    """The app confirms or fails, and what is stored answers: its fields are of today all the same."""
    status = iter([200, 304, 500])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        fields = [(b"etag", b'"1"'), (b"cache-control", b"max-age=0, stale-if-error=60")]
        await send({"type": "http.response.start", "status": next(status), "headers": fields})
        await send({"type": "http.response.body", "body": b"ok"})

    wrapped = PerfMiddleware(app, Settings(quotas=[Quota(name="all", limit=9)]))
    answers = [await Client(wrapped).get("/") for _ in range(3)]
    await wrapped.runtime.stop()
    assert [(one.status, one.body) for one in answers] == [(200, b"ok")] * 3
    assert [one.header("ratelimit") for one in answers] == [f'"all";r={left};t=60' for left in (8, 7, 6)]
    assert {one.header("ratelimit-policy") for one in answers} == {'"all";q=9;w=60'}


async def test_each_user_has_a_quota_of_their_own_and_no_key_is_kept() -> None:
    client, stop = await quick(quotas=[Quota(name="each", limit=60, burst=1, scope="user")])
    keys = ["first", "second", "first"]
    answers = [await client.get("/", headers=[("x-api-key", key)]) for key in keys]
    nobody = [await client.get("/") for _ in range(2)]
    await stop()
    assert status([*answers, *nobody]) == [200, 200, 429, 200, 429]


async def test_who_is_refused_most_is_told_by_a_digest() -> None:
    trial = Quota(name="trial", limit=60, burst=1, scope="user")
    async with site(concurrency_limit="off", quotas=[trial]) as (app, client, wrapped):
        app.going.set()
        for key, times in ((b"often", 4), (b"once", 2), (b"never", 1)):
            for _ in range(times):
                await client.get("/", headers=[("x-api-key", key.decode())])
        await client.get("/")
        await client.get("/")
        assert wrapped.runtime.limits is not None
        [row] = wrapped.runtime.limits.state()["quotas"]
        heaviest = [(one["key"], one["refused"]) for one in row["heaviest"]]
        assert heaviest[0] == (digest_of(b"x-api-key", b"often"), 3)
        assert {key for key, _ in heaviest[1:]} == {
            digest_of(b"x-api-key", b"once"),
            digest_of(b"", b"127.0.0.1"),
        }


async def test_a_route_has_a_quota_of_its_own_whatever_its_numbers() -> None:
    client, stop = await quick(quotas=[Quota(name="route", limit=60, burst=1, scope="component")])
    answers = [await client.get(path) for path in ("/items/1", "/items/2", "/users/1")]
    await stop()
    assert status(answers) == [200, 429, 200]


async def test_so_many_at_once_and_then_again() -> None:
    quotas = [Quota(name="two", at_once=2, scope="user")]
    async with site(concurrency_limit="off", quotas=quotas) as (app, client, _):
        assert sorted(status(await crowd(app, client, *[("POST", f"/{n}") for n in range(4)]))) == [
            200,
            200,
            429,
            429,
        ]
        assert (await client.post("/")).status == 200


async def test_what_another_quota_refuses_counts_for_none() -> None:
    quotas = [Quota(name="wide", limit=60, burst=2), Quota(name="narrow", limit=60, burst=1, path="/a")]
    client, stop = await quick(quotas=quotas)
    answers = [await client.get(path) for path in ("/a", "/a", "/b", "/b")]
    await stop()
    assert status(answers) == [200, 429, 200, 429]
