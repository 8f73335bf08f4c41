"""What the plan's switches do in a running cache, by configuration alone; curves, advice and money."""

from __future__ import annotations

import time
from typing import Any

import pytest

from perfmw import CacheRule, PerfMiddleware, Settings, cached
from perfmw.runtime.curves import LEAST_READS, MOST_ROUTES, OTHERS, Curves
from perfmw.settings import SettingsError
from perfmw.testing.client import Client

pytestmark = pytest.mark.anyio

KIB = 1024


class Site:
    """Every page has 2,000 bytes; a page under /api is JSON."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        kind = b"application/json" if scope["path"].startswith("/api") else b"text/plain"
        headers = [(b"content-type", kind)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"1" * 2_000})


def site(**settings: Any) -> PerfMiddleware:
    rules = [CacheRule(path="/**", ttl=3_600)]
    return PerfMiddleware(Site(), settings=Settings(cache_rules=rules, plugins=[], **settings))


async def reads(app: PerfMiddleware, count: int, pages: int, path: str = "/pages") -> None:
    async with Client(app) as client:
        for number in range(count):
            await client.get(f"{path}/{number % pages}")


async def test_memory_that_gives_nothing_is_given_back_and_taken_again() -> None:
    app = site(auto_tuning=True, memory_max_bytes=1024 * KIB)
    layer = app.runtime.cache.memory
    assert layer is not None
    now = time.time()
    await reads(app, LEAST_READS + 50, pages=20)
    app.runtime.learning.tick(now + 100)
    assert layer.max_bytes == 128 * KIB  # 20 pages of 2,000 bytes and what the cache adds, in sixteenths
    assert len(layer) == 20
    [entry] = app.runtime.ledger.entries()
    assert (entry.kind, entry.opportunity.target) == ("applied", "memory")
    await reads(app, 2 * LEAST_READS, pages=200)
    app.runtime.learning.tick(now + 200)
    assert layer.max_bytes > 512 * KIB
    assert layer.max_bytes <= 1024 * KIB


async def test_memory_that_functions_use_too_is_left_alone() -> None:
    """The curves know pages only."""
    app = site(auto_tuning=True, memory_max_bytes=1024 * KIB)

    @cached(ttl=60)
    async def number() -> int:
        return 7

    await number()
    now = time.time()
    await reads(app, LEAST_READS + 50, pages=20)
    app.runtime.learning.tick(now + 100)
    assert app.runtime.ledger.entries() == []


async def test_without_auto_tuning_it_is_recommended_once() -> None:
    app = site(usage_pattern_learning=True, memory_max_bytes=1024 * KIB)
    layer = app.runtime.cache.memory
    assert layer is not None
    now = time.time()
    await reads(app, LEAST_READS + 50, pages=20)
    for minute in (2, 4, 6):
        app.runtime.learning.tick(now + 60 * minute)
    assert layer.max_bytes == 1024 * KIB
    assert [entry.kind for entry in app.runtime.ledger.entries()] == ["proposed"]


async def test_with_little_known_nothing_is_changed() -> None:
    app = site(auto_tuning=True, memory_max_bytes=1024 * KIB)
    await reads(app, 200, pages=20)
    app.runtime.learning.tick(time.time() + 100)
    assert app.runtime.ledger.entries() == []


async def test_what_twice_the_memory_gives_is_told_in_hits_time_and_money() -> None:
    app = site(usage_pattern_learning=True, memory_max_bytes=64 * KIB, price_origin_call=0.01, currency="EUR")
    await reads(app, 800, pages=30)
    curves = app.runtime.learning.told()["curves"]
    told = curves["namespaces"][""]
    assert told["reads"] == 800
    assert told["knee"] >= 20
    assert told["hit_ratio"] == 0.0  # a loop over more than fits
    assert told["double"]["hits"] > 0
    assert told["double"]["money_saved"] == pytest.approx(told["double"]["hits"] * 0.01, rel=0.1)
    assert "EUR an hour" in told["double"]["words"]
    assert curves["routes"]["/pages/*"]["reads"] == 800


async def test_where_entries_are_what_is_short_the_curve_is_over_entries() -> None:
    app = site(usage_pattern_learning=True, memory_max_entries=20)
    await reads(app, 800, pages=30)
    told = app.runtime.learning.told()["curves"]["namespaces"][""]
    assert (told["entries"], told["hit_ratio"]) == (20, 0.0)
    assert told["double"]["hits"] > 0
    assert told["double"]["memory_cost"] > 0
    assert "40 instead of 20 entries" in told["double"]["words"]


async def test_each_namespace_has_its_curve() -> None:
    app = site(usage_pattern_learning=True, namespaces={"api": {"memory_max_bytes": "1MiB"}})
    await reads(app, 30, pages=3, path="/api/items")
    await reads(app, 20, pages=2)
    spaces = app.runtime.learning.told()["curves"]["namespaces"]
    assert {name: one["reads"] for name, one in spaces.items()} == {"api": 30, "": 20}
    assert spaces["api"]["bytes"] == 1024 * KIB


def test_routes_are_bounded() -> None:
    curves = Curves(0.0)
    for number in range(200):
        curves.access("", f"key {number}", "/" + "x" * number, 10)
    assert len(curves.routes) == MOST_ROUTES + 1
    assert curves.routes[OTHERS].accesses == 200 - MOST_ROUTES


async def test_what_is_saved_and_spent_is_told_of_each_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    app = site(price_gb_hour=100.0, price_cpu_hour=0.0, price_origin_call=0.001)
    runtime = app.runtime
    await reads(app, 100, pages=10)
    later = runtime.caching.since + 3_600
    monkeypatch.setattr(time, "time", lambda: later)
    [manager] = runtime.cache_managers()
    held = manager.layers.l1_cache.bytes if manager.layers.l1_cache is not None else 0
    assert held
    assert manager.metrics.memory_efficiency == pytest.approx(90 / (held / KIB**2))
    spent = held / KIB**3 * 100.0
    assert manager.metrics.cost_efficiency == pytest.approx(90 * 0.001 / spent, rel=1e-6)


async def test_where_memory_is_free_there_is_no_efficiency_of_money() -> None:
    app = site(price_gb_hour=0.0)
    await reads(app, 20, pages=2)
    [manager] = app.runtime.cache_managers()
    assert manager.metrics.cost_efficiency is None


@pytest.mark.parametrize("price", [-1, "much", float("nan")])
def test_a_senseless_price_is_refused(price: Any) -> None:
    with pytest.raises(SettingsError, match="price_gb_hour"):
        Settings(price_gb_hour=price)


async def test_adaptive_eviction_is_a_switch() -> None:
    app = site(adaptive_eviction=True, namespaces={"api": {"eviction_policy": "fifo"}, "content": {}})
    caches = app.runtime.spaces.caches.items()
    policies = {name: cache.memory.policy for name, cache in caches if cache.memory is not None}
    assert policies == {"": "adaptive", "api": "fifo", "content": "adaptive"}


async def test_a_strategy_is_made_of_what_was_learned() -> None:
    app = site(
        usage_pattern_learning=True,
        intelligent_prefetching=True,
        dynamic_ttl=True,
        memory_max_bytes=256 * KIB,
    )
    async with Client(app) as client:
        for number in range(60):
            for path in (f"/items/{number % 20}", "/basket", f"/once/{number}"):
                await client.get(path)
            if number % 10 == 5:
                await client.post("/items")
    made = await app.runtime.learning.strategy()
    assert {one.pattern for one in made.patterns.cache_keys} >= {"/items/*", "/basket"}
    [hottest, *_] = made.patterns.warmup_strategies
    assert "/basket" in hottest.urls
    assert 0 < made.configuration.max_size <= 256 * KIB
    assert made.performance.hit_rate > 0.4
    assert made.optimization.dynamic_ttl
    assert not made.optimization.auto_tuning
    assert "were never hit" in made.evidence["waste"]
    assert any(rule.fetch.endswith("/items/1") for rule in made.patterns.prefetching_rules)


async def test_without_learning_there_is_no_strategy() -> None:
    with pytest.raises(RuntimeError, match="usage_pattern_learning"):
        await site().runtime.learning.strategy()


async def test_parts_are_advised_where_pages_wash_out_an_api() -> None:
    app = site(usage_pattern_learning=True, memory_max_bytes=200 * KIB)
    async with Client(app) as client:
        for number in range(3_000):
            await client.get(f"/pages/{number}")
            if number % 2:
                await client.get(f"/api/items/{number // 2 % 40}")
    plan = app.runtime.learning.told()["curves"]["partition"]
    assert plan["gain"] > 0.1
    assert plan["parts"]["api"] >= 40
    assert "api" in plan["words"]


async def test_a_tuner_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    runtime = site(auto_tuning=True).runtime
    assert runtime.learning.tuner is not None
    runtime.learning.tuner.curves = None  # type: ignore[assignment]
    runtime.learning.tick(time.time() + 100)
    assert "tuning the memory failed" in caplog.text
