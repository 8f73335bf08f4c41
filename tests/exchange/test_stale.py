"""Stale answers: for apps that fail, while another is fetched, and to one request at a time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from perfmw import CacheRule, PerfMiddleware, Settings, tag
from perfmw.testing import Client

pytestmark = pytest.mark.anyio

ETAG = (b"etag", b'"a"')


class Script:
    """An app that gives one answer after another; the last one for ever. Remembers its scopes."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.scopes: list[Any] = []
        self.gate: asyncio.Event | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(answer, Exception):
            raise answer
        status, body, *headers = answer
        tag("first" if body == b"one" else "later")
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def control(value: str) -> tuple[bytes, bytes]:
    return (b"cache-control", value.encode())


SHORT, HOUR = control("max-age=1"), control("max-age=3600")


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import time

        self.ahead = 0.0
        real = time.time
        monkeypatch.setattr("time.time", lambda: real() + self.ahead)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def wrapped(app: Script, **settings: Any) -> PerfMiddleware:
    return PerfMiddleware(app, settings=Settings(**settings))


@pytest.mark.parametrize("failure", [(500, b"no"), (502, b"no"), (503, b"no"), (504, b"no")])
@pytest.mark.parametrize("validator", [(), (ETAG,)])
async def test_a_stale_answer_stands_in_for_a_failure(clock: Clock, failure: Any, validator: Any) -> None:
    middleware = wrapped(Script((200, b"one", SHORT, *validator), failure))
    client = Client(middleware)
    await client.get("/")
    clock.ahead = 5
    answer = await client.get("/")
    assert (answer.status, answer.body, answer.header("age")) == (200, b"one", "5")
    assert answer.header("cache-status") == (
        f"perfmw; fwd=stale; fwd-status={failure[0]}; ttl=-4; detail=stale-if-error"
    )
    reasons = middleware.runtime.status_counts()
    assert reasons["stale-if-error"] == 1


async def test_a_stale_answer_stands_in_for_an_app_that_raises(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(wrapped(Script((200, b"one", SHORT), RuntimeError("no database"))))
    await client.get("/")
    clock.ahead = 5
    with caplog.at_level(logging.ERROR, "perfmw.exchange"):
        assert (await client.get("/")).body == b"one"
    assert "no database" in caplog.text


async def test_an_app_that_raises_without_a_stale_answer_raises(clock: Clock) -> None:
    client = Client(wrapped(Script(RuntimeError("no database"))))
    with pytest.raises(RuntimeError, match="no database"):
        await client.get("/")


@pytest.mark.parametrize("forbidding", ["must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=1"])
async def test_where_stale_answers_are_forbidden_the_failure_shows(clock: Clock, forbidding: str) -> None:
    client = Client(wrapped(Script((200, b"one", control(f"max-age=1, {forbidding}"), ETAG), (503, b"no"))))
    await client.get("/")
    clock.ahead = 5
    assert (await client.get("/")).status == 503


async def test_the_grace_ends(clock: Clock) -> None:
    client = Client(wrapped(Script((200, b"one", SHORT, ETAG), (503, b"no")), stale_grace=10))
    await client.get("/")
    clock.ahead = 10
    assert (await client.get("/")).status == 200
    clock.ahead = 12
    assert (await client.get("/")).status == 503


async def test_stale_if_error_outlasts_the_grace(clock: Clock) -> None:
    once = (200, b"one", control("max-age=1, stale-if-error=100"))
    client = Client(wrapped(Script(once, (503, b"no")), stale_grace=0))
    await client.get("/")
    clock.ahead = 90
    assert (await client.get("/")).status == 200


async def test_a_client_that_wants_no_stale_answer_sees_the_failure(clock: Clock) -> None:
    client = Client(wrapped(Script((200, b"one", HOUR), (503, b"no"))))
    await client.get("/")
    assert (await client.get("/", {"cache-control": "no-cache"})).status == 503


async def test_a_failure_leaves_what_is_stored_alone(clock: Clock) -> None:
    app = Script((200, b"one", SHORT, ETAG), (503, b"no"), (304, b"", HOUR, ETAG))
    client = Client(wrapped(app))
    await client.get("/")
    clock.ahead = 5
    await client.get("/")
    assert (await client.get("/")).body == b"one"
    assert [dict(scope["headers"]).get(b"if-none-match") for scope in app.scopes] == [None, b'"a"', b'"a"']


async def test_thirty_who_find_it_stale_make_one_call(clock: Clock) -> None:
    app = Script((200, b"one", SHORT, ETAG), (304, b"", HOUR, ETAG))
    client = Client(wrapped(app))
    await client.get("/")
    clock.ahead = 5
    app.gate = asyncio.Event()
    waiting = [asyncio.ensure_future(client.get("/")) for _ in range(30)]
    await asyncio.sleep(0.05)
    app.gate.set()
    assert {answer.body for answer in await asyncio.gather(*waiting)} == {b"one"}
    assert len(app.scopes) == 2


async def test_thirty_who_find_the_app_failing_make_one_call(clock: Clock) -> None:
    app = Script((200, b"one", SHORT), (503, b"no"))
    client = Client(wrapped(app))
    await client.get("/")
    clock.ahead = 5
    app.gate = asyncio.Event()
    waiting = [asyncio.ensure_future(client.get("/")) for _ in range(30)]
    await asyncio.sleep(0.05)
    app.gate.set()
    assert {answer.body for answer in await asyncio.gather(*waiting)} == {b"one"}
    assert len(app.scopes) == 2


async def test_tags_of_the_first_answer_outlive_a_304(clock: Clock) -> None:
    middleware = wrapped(Script((200, b"one", SHORT, ETAG), (304, b"", HOUR, ETAG), (200, b"two", HOUR)))
    client = Client(middleware)
    await client.get("/")
    clock.ahead = 5
    assert (await client.get("/")).body == b"one"
    await middleware.runtime.invalidate(tags=["first"])
    assert (await client.get("/")).body == b"two"


# ---- while another is fetched

SWR = control("max-age=1, stale-while-revalidate=60")


async def settled(middleware: PerfMiddleware) -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_stale_answer_comes_at_once_and_a_new_one_next_time(clock: Clock) -> None:
    app = Script((200, b"one", SWR), (200, b"two", HOUR))
    middleware = wrapped(app)
    client = Client(middleware)
    await client.get("/")
    clock.ahead = 5
    app.gate = asyncio.Event()
    answer = await asyncio.wait_for(client.get("/"), 5)
    assert (answer.body, answer.header("cache-status")) == (
        b"one",
        "perfmw; hit; ttl=-4; detail=revalidating",
    )
    app.gate.set()
    await settled(middleware)
    assert (await client.get("/")).body == b"two"
    assert middleware.runtime.profiles.snapshot()[0].metrics.latency.count == 3  # the clients' requests


async def test_one_call_for_all_who_find_it_stale(clock: Clock) -> None:
    app = Script((200, b"one", SWR), (200, b"two", HOUR))
    middleware = wrapped(app)
    client = Client(middleware)
    await client.get("/")
    clock.ahead = 5
    app.gate = asyncio.Event()
    for _ in range(10):
        assert (await client.get("/")).body == b"one"
    app.gate.set()
    await settled(middleware)
    assert len(app.scopes) == 2


async def test_the_call_is_the_caches_own(clock: Clock) -> None:
    app = Script((200, b"one", SWR, ETAG), (304, b"", HOUR, ETAG))
    middleware = wrapped(app)
    client = Client(middleware)
    await client.get("/")
    clock.ahead = 5
    asked = {"if-none-match": '"mine"', "range": "bytes=0-0", "accept": "x"}
    await client.head("/", asked)
    await settled(middleware)
    seen = app.scopes[1]
    fields = dict(seen["headers"])
    assert (seen["method"], fields[b"if-none-match"], fields[b"accept"]) == ("GET", b'"a"', b"x")
    assert b"range" not in fields
    assert seen["state"] is not app.scopes[0]["state"]
    assert (await client.get("/")).header("cache-status") == "perfmw; hit; ttl=3599"


@pytest.mark.parametrize("failure", [(503, b"no"), RuntimeError("no database")])
async def test_a_call_that_fails_changes_nothing(
    clock: Clock, failure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    middleware = wrapped(Script((200, b"one", SWR), failure))
    client = Client(middleware)
    await client.get("/")
    clock.ahead = 5
    for _ in range(3):
        assert (await client.get("/")).body == b"one"
        await settled(middleware)


async def test_nothing_runs_on_after_the_end(clock: Clock) -> None:
    app = Script((200, b"one", SWR), (200, b"two", HOUR))
    middleware = wrapped(app)
    async with Client(middleware) as client:
        await client.get("/")
        clock.ahead = 5
        app.gate = asyncio.Event()
        await client.get("/")
        await settled(middleware)
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("perfmw")] == []


async def test_so_many_calls_at_once_and_no_more(clock: Clock) -> None:
    app = Script((200, b"one", SWR))
    middleware = wrapped(app)
    client = Client(middleware)
    for number in range(40):
        await client.get(f"/{number}")
    clock.ahead = 5
    app.gate = asyncio.Event()
    for number in range(40):
        assert (await client.get(f"/{number}")).body == b"one"
    await settled(middleware)
    assert len(app.scopes) == 40 + 32
    app.gate.set()
    await settled(middleware)


async def test_rules_give_grace_too(clock: Clock) -> None:
    rules = [CacheRule(path="/**", ttl=1)]
    client = Client(wrapped(Script((200, b"one"), (503, b"no")), cache_rules=rules))
    await client.get("/")
    clock.ahead = 5
    assert (await client.get("/")).body == b"one"


async def test_a_rule_lets_an_old_answer_serve_while_a_new_one_is_fetched(clock: Clock) -> None:
    rule = CacheRule(path="/**", ttl=2, stale_while_revalidate=20)
    app = Script((200, b"one"), (200, b"two"))
    middleware = wrapped(app, cache_rules=[rule])
    client = Client(middleware)
    await client.get("/a")
    clock.ahead = 5.0
    behind = await client.get("/a")
    assert behind.body == b"one"
    assert "hit; ttl=-" in str(behind.header("cache-status"))
    for _ in range(100):
        if len(app.scopes) == 2:
            break
        await asyncio.sleep(0.01)
    assert (await client.get("/a")).body == b"two"
    clock.ahead = 40.0  # too old by now to answer anybody
    assert "fwd=stale" in str((await client.get("/a")).header("cache-status"))
    assert len(app.scopes) == 3
    await middleware.runtime.stop()


async def test_what_the_app_says_of_stale_answers_holds_before_a_rule(clock: Clock) -> None:
    rule = CacheRule(path="/**", ttl=2, stale_while_revalidate=60)
    client = Client(wrapped(Script((200, b"one", SHORT), (200, b"two", SHORT)), cache_rules=[rule]))
    await client.get("/a")
    clock.ahead = 5.0
    assert (await client.get("/a")).body == b"two"
