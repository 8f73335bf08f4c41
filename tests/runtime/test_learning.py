"""What is learned on line: lifetimes, prefetches and patterns, over whole requests."""

from __future__ import annotations

import time
from typing import Any

import anyio
import pytest

from perfmw import CacheRule, PerfMiddleware, Settings
from perfmw.exchange.fast import fresh
from perfmw.settings import SettingsError
from perfmw.testing.client import Client

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Site:
    """Counts calls by path; ``version`` is part of what changes."""

    def __init__(self, control: bytes | None = None) -> None:
        self.calls: list[str] = []
        self.version = 0
        self.control = control

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.calls.append(scope["path"])
        headers = [(b"content-type", b"text/plain")]
        if self.control:
            headers.append((b"cache-control", self.control))
        body = b"%d" % self.version if "changing" in scope["path"] else scope["path"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


def app(site: Site, **settings: Any) -> PerfMiddleware:
    return PerfMiddleware(site, settings=Settings(**settings))


RULE = CacheRule(path="/**", ttl=3_600, max_stale=0.1)


async def reads(wrapped: PerfMiddleware, site: Site, clock: Clock, path: str, *, changing: bool) -> int:
    """Ten minutes of a read a second; returns the calls of the app in the last five."""
    client = Client(wrapped)
    for second in range(600):
        clock.now += 1.0
        site.version += changing and second % 20 == 0
        if second == 300:
            site.calls.clear()
        await client.get(path)
    return len(site.calls)


async def test_a_lifetime_is_learned_for_each_url(clock: Clock) -> None:
    site = Site()
    wrapped = app(site, cache_rules=[RULE], dynamic_ttl=True)
    changing = await reads(wrapped, site, clock, "/changing", changing=True)
    steady = await reads(wrapped, site, clock, "/steady", changing=False)
    assert 0 < 2 * steady < changing < 150
    (told,) = wrapped.runtime.learning.told()["lifetimes"].values()
    assert told["keys"] == 2
    assert told["stale_share"] <= 0.1


async def test_without_the_setting_the_ttl_of_the_rule_holds(clock: Clock) -> None:
    site = Site()
    wrapped = app(site, cache_rules=[RULE])
    assert not wrapped.runtime.learning.watches
    assert wrapped._fresh is fresh
    assert await reads(wrapped, site, clock, "/changing", changing=True) == 0
    assert wrapped.runtime.learning.told() == {}


async def test_what_the_app_says_of_freshness_is_left_alone(clock: Clock) -> None:
    site = Site(control=b"max-age=3600")
    wrapped = app(site, cache_rules=[RULE], dynamic_ttl=True)
    assert await reads(wrapped, site, clock, "/changing", changing=True) == 0


async def test_a_rule_that_does_not_allow_it_keeps_its_ttl(clock: Clock) -> None:
    site = Site()
    wrapped = app(site, cache_rules=[CacheRule(path="/**", ttl=3_600)], dynamic_ttl=True)
    assert await reads(wrapped, site, clock, "/changing", changing=True) == 0


async def test_a_learned_lifetime_never_exceeds_the_rules(clock: Clock) -> None:
    site = Site()
    wrapped = app(site, cache_rules=[CacheRule(path="/**", ttl=10, max_stale=0.5)], dynamic_ttl=True)
    assert await reads(wrapped, site, clock, "/steady", changing=False) >= 27


async def test_what_changes_at_once_is_asked_for_again_at_once(clock: Clock) -> None:
    site = Site()
    wrapped = app(site, cache_rules=[CacheRule(path="/**", ttl=36_000, max_stale=0.05)], dynamic_ttl=True)
    client, stale, reads = Client(wrapped), 0, 6_000
    for number in range(reads):
        clock.now += 1.0
        site.version += number % 1_000 == 0  # a deploy
        answer = await client.get(f"/changing/{number * number % 29}")
        stale += int(answer.body) < site.version
    assert stale <= 0.05 * reads
    assert len(site.calls) < 0.25 * reads
    (told,) = wrapped.runtime.learning.told()["lifetimes"].values()
    assert told["stale_share"] <= 0.05


async def walk(wrapped: PerfMiddleware, clock: Clock, visitors: int, **client: Any) -> None:
    for number in range(visitors):
        clock.now += 1_000.0
        someone = Client(wrapped, client=(f"198.51.100.{number}", 1_000))
        await someone.get("/page", **client)
        if wrapped.runtime.learning.prefetching is not None:
            await idle(wrapped)  # or a prefetch may come after what it is for, and count as of no use
        clock.now += 1.0
        await someone.get("/style.css", **client)


async def idle(wrapped: PerfMiddleware) -> int:
    """Waits until no prefetch is under way; how many were stored."""
    prefetching = wrapped.runtime.learning.prefetching
    assert prefetching is not None
    with anyio.fail_after(30):
        while prefetching._task is not None:  # noqa: ASYNC110
            await anyio.sleep(0.01)
    return prefetching.outcomes["stored"]


async def test_what_follows_is_fetched_before_it_is_asked_for(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perfmw.runtime.prefetching._BUSY", 60.0)  # whatever else this machine does
    site = Site(control=b"max-age=100")
    wrapped = app(site, predictive_prefetching=True)
    async with Client(wrapped) as client:
        await walk(wrapped, clock, 6)
        before = await idle(wrapped)
        site.calls.clear()
        clock.now += 1_000.0
        await client.get("/page")
        assert await idle(wrapped) == before + 1
        answer = await client.get("/style.css")
    assert (answer.header("cache-status") or "").startswith("perfmw; hit")
    assert site.calls == ["/page", "/style.css"]


async def test_requests_with_credentials_teach_nothing(clock: Clock) -> None:
    site = Site(control=b"max-age=100")
    wrapped = app(site, predictive_prefetching=True, usage_pattern_learning=True)
    await walk(wrapped, clock, 8, headers={"cookie": "session=1"})
    prefetching = wrapped.runtime.learning.prefetching
    assert prefetching is not None
    assert prefetching.prefetcher.size == 0
    assert wrapped.runtime.learning.patterns is not None
    assert wrapped.runtime.learning.patterns.reads == 0


async def test_patterns_are_told_in_words(clock: Clock) -> None:
    site = Site(control=b"max-age=100")
    wrapped = app(site, usage_pattern_learning=True)
    await walk(wrapped, clock, 20)
    words = wrapped.runtime.learning.told()["patterns"]
    assert words[0].startswith("40 reads of about 2 keys")
    manager = wrapped.runtime.cache_managers()[0]
    assert manager.intelligence.usage_pattern_learning
    assert not manager.intelligence.adaptive_ttl


async def test_writes_and_the_changes_they_cause_are_seen(clock: Clock) -> None:
    site = Site()
    wrapped = app(site, cache_rules=[RULE], dynamic_ttl=True, usage_pattern_learning=True)
    client = Client(wrapped)
    for _ in range(8):
        clock.now += 500.0
        await client.get("/changing")
        site.version += 1
        await client.post("/changing")
        clock.now += 1.0
        await client.get("/changing")
    assert wrapped.runtime.learning.patterns is not None
    rules = wrapped.runtime.learning.patterns.summary().invalidation_rules
    assert [(rule.trigger, rule.invalidates) for rule in rules] == [("/changing", "/changing")]


@pytest.mark.parametrize("share", [0, 0.6, "many"])
def test_a_senseless_share_is_refused(share: Any) -> None:
    with pytest.raises(SettingsError, match="max_stale"):
        CacheRule(path="/", ttl=1, max_stale=share)
