"""What the plan's switches do in a running cache, by configuration alone; curves, advice and money."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from perfmw import CacheRule, PerfMiddleware, Settings, cached
from perfmw.cache.eviction import POLICIES
from perfmw.contracts import OptimizationRequest
from perfmw.runtime.curves import LEAST_READS, MOST_ROUTES, OTHERS, Curves
from perfmw.runtime.functionreads import MOST_READS
from perfmw.runtime.policies import better_policy
from perfmw.runtime.proposals import Proposals
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
    assert (entry.kind, entry.opportunity.spares) == ("applied", "0.88 MiB of memory")
    await reads(app, 2 * LEAST_READS, pages=200)
    app.runtime.learning.tick(now + 200)
    assert layer.max_bytes > 512 * KIB
    assert layer.max_bytes <= 1024 * KIB


async def test_functions_have_their_share_in_the_size_of_the_memory() -> None:
    app = site(auto_tuning=True, memory_max_bytes=1024 * KIB)
    layer = app.runtime.cache.memory
    assert layer is not None

    @cached(ttl=60)
    async def report(number: int) -> bytes:
        return bytes(2_000)

    now = time.time()
    app.runtime.enter()
    for step in range(6 * 900):
        await report(step % 300)
        if step % 900 == 899:
            app.runtime.learning.tick(now)
    await reads(app, LEAST_READS + 50, pages=20)
    app.runtime.learning.tick(now + 100)
    assert layer.max_bytes is not None
    assert layer.max_bytes >= 300 * 2_000  # 20 pages alone would be an eighth of it


async def test_memory_of_functions_that_read_more_than_is_learned_from_is_left_alone() -> None:
    app = site(auto_tuning=True, memory_max_bytes=1024 * KIB)

    @cached(ttl=60)
    async def number() -> int:
        return 7

    app.runtime.enter()
    for _ in range(MOST_READS + 10):
        await number()
    now = time.time()
    await reads(app, LEAST_READS + 50, pages=20)
    app.runtime.learning.tick(now + 100)
    assert app.runtime.ledger.entries() == []


def waiting(app: PerfMiddleware, option: str = "memory_max_bytes") -> list[Any]:
    known = app.runtime.ledger.waiting()
    return [one for one in known if one.opportunity.parameters["option"] == option]


async def oversized() -> PerfMiddleware:
    """The ledger then asks for a smaller memory."""
    app = site(usage_pattern_learning=True, memory_max_bytes=1024 * KIB)
    await reads(app, LEAST_READS + 50, pages=20)
    for minute in (2, 4, 6):
        app.runtime.learning.tick(time.time() + 60 * minute)
    return app


async def test_without_auto_tuning_a_size_waits_for_approval() -> None:
    app = await oversized()
    layer, runtime = app.runtime.cache.memory, app.runtime
    assert layer is not None
    assert layer.max_bytes == 1024 * KIB
    [entry] = runtime.ledger.entries()
    assert entry.kind == "waiting"
    assert entry.opportunity.title == "Hold 0.12 MiB in memory instead of 1 MiB"
    assert "hits and spare" in entry.why
    optimizer, change = runtime.engine.optimizers[entry.opportunity.optimizer], entry.opportunity
    assert change in optimizer.propose(runtime.snapshot())
    optimizer.apply(change, runtime.controls)
    assert layer.max_bytes == 128 * KIB
    assert runtime.engine.rollback(entry.id).kind == "reverted"
    assert layer.max_bytes == 1024 * KIB
    runtime.learning.tick(time.time() + 600)
    assert waiting(app) == [], "what was undone is not asked for again"


async def test_a_size_that_is_approved_is_tried_and_kept_or_undone() -> None:
    app = await oversized()
    runtime, going = app.runtime, True
    layer, [entry] = runtime.cache.memory, waiting(app)
    assert layer is not None
    sizes = set()

    async def read() -> None:
        async with Client(app) as client:
            while going:
                await client.get("/pages/1")
                sizes.add(layer.max_bytes)
                await anyio.sleep(0.001)

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        request = OptimizationRequest(blocks=6, block_seconds=0.2)
        result = await runtime.engine.approve(entry.id, request)
        going = False
    assert sizes == {128 * KIB, 1024 * KIB}
    kept = result.steps[0].verdict == "kept"  # which it is, the load of this machine decides
    assert layer.max_bytes == (128 if kept else 1024) * KIB
    layer.resize(max_bytes=1024 * KIB)
    for minute in (10, 12):
        runtime.learning.tick(time.time() + 60 * minute)
    assert waiting(app) == [], "what was just tried is not asked for again"
    kinds = [one.kind for one in runtime.ledger.entries()]
    after = "kept" if kept else "rolled_back"
    assert kinds == ["waiting", "approved", "proposed", "applied", "measured", after]


async def test_one_size_waits_at_a_time() -> None:
    app = await oversized()
    await reads(app, 2 * LEAST_READS, pages=60)
    app.runtime.learning.tick(time.time() + 600)
    [entry] = waiting(app)
    assert entry.opportunity.parameters["value"] > 128 * KIB
    assert [one.kind for one in app.runtime.ledger.entries()] == ["waiting", "withdrawn", "waiting"]
    await reads(app, 8 * LEAST_READS, pages=280)
    app.runtime.learning.tick(time.time() + 900)
    assert waiting(app) == [], "by now all of it is used"


async def test_what_was_refused_is_not_asked_for_again() -> None:
    app = await oversized()
    [entry] = waiting(app)
    app.runtime.engine.reject(entry.id)
    app.runtime.learning.tuner.proposals = Proposals(app.runtime)  # as after a restart
    app.runtime.learning.tick(time.time() + 600)
    assert waiting(app) == []


async def test_of_several_workers_one_asks() -> None:
    app = site(usage_pattern_learning=True, memory_max_bytes=1024 * KIB)
    await reads(app, LEAST_READS + 50, pages=20)
    app.runtime.sharing = SimpleNamespace(leads=False)
    app.runtime.learning.tick(time.time() + 120)
    assert waiting(app) == []
    app.runtime.sharing = None
    app.runtime.learning.tick(time.time() + 240)
    assert len(waiting(app)) == 1


async def test_a_smaller_memory_is_taken_back_once_more_is_read() -> None:
    app = await oversized()
    runtime = app.runtime
    layer, [entry] = runtime.cache.memory, waiting(app)
    assert layer is not None
    runtime.engine.optimizers["allotment"].apply(entry.opportunity, runtime.controls)
    runtime.ledger.append("kept", entry.opportunity, who="test", why="")
    assert runtime.engine.withdraw() == []
    await reads(app, 4 * LEAST_READS, pages=300)
    runtime.learning.tick(time.time() + 600)
    [undone] = runtime.engine.withdraw()
    assert "more is read by now" in undone.why
    assert layer.max_bytes == 1024 * KIB


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


def of_parts(app: PerfMiddleware) -> list[Any]:
    return [one for one in app.runtime.ledger.entries() if one.opportunity.type == "memory_parts"]


async def test_parts_are_made_where_they_pay_and_given_up_when_they_do_not() -> None:
    app = site(auto_tuning=True, memory_max_entries=120, memory_parts={"api": {"cap": 0.5}})
    layer = app.runtime.cache.memory
    assert layer is not None
    alone = layer.policy
    now = time.time()
    async with Client(app) as client:
        for number in range(4_000):
            await client.get(f"/pages/{number}")
            if number % 2:
                await client.get(f"/api/items/{number // 2 % 50}")
    app.runtime.learning.tick(now + 100)
    assert layer.policy == f"{alone} in parts"
    [entry] = of_parts(app)
    assert entry.kind == "applied"
    assert 0.35 < app.runtime.learning.told()["curves"]["partition"]["made"]["api"] <= 0.5
    hits = layer.hits
    async with Client(app) as client:
        for number in range(1_000):
            await client.get(f"/pages/new/{number}")
            await client.get(f"/api/items/{number % 50}")
    assert layer.hits - hits > 900
    app.runtime.learning.tick(now + 200)
    assert len(of_parts(app)) == 1  # nothing new
    tuner = app.runtime.learning.tuner
    assert tuner is not None
    tuner.parts.make(layer, {})
    assert layer.policy == alone


async def test_parts_are_only_proposed_where_tuning_is_not_allowed() -> None:
    app = site(usage_pattern_learning=True, memory_max_entries=120)
    layer = app.runtime.cache.memory
    assert layer is not None
    now, before = time.time(), layer.policy
    async with Client(app) as client:
        for number in range(4_000):
            await client.get(f"/pages/{number}")
            if number % 2:
                await client.get(f"/api/items/{number // 2 % 50}")
    for minute in (2, 4):
        app.runtime.learning.tick(now + 60 * minute)
    assert layer.policy == before
    [entry] = of_parts(app)
    assert entry.kind == "waiting"
    assert "Parts of their own" in entry.opportunity.title
    assert app.runtime.engine.pending(entry.id) == entry.opportunity


async def test_where_somebody_chose_another_policy_parts_are_forgotten() -> None:
    app = site(auto_tuning=True, memory_max_entries=120)
    layer, tuner = app.runtime.cache.memory, app.runtime.learning.tuner
    assert layer is not None
    assert tuner is not None
    tuner.parts.make(layer, {"api": 0.4, "content": 0.6})
    layer.set_policy("lru")
    assert tuner.parts.is_news({"api": 0.4, "content": 0.6}, layer)
    assert tuner.parts.made == {}


@pytest.mark.parametrize(
    "parts",
    [
        {"pages": {}},
        {"api": {"floor": 2}},
        {"api": {"floor": 0.6}, "content": {"floor": 0.6}},
        {"api": {"floor": 0.6, "cap": 0.5}},
        {"api": {"least": 0.6}},
    ],
)
def test_senseless_parts_are_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="memory_parts"):
        Settings(memory_parts=parts)


async def test_functions_have_curves_of_their_own() -> None:
    app = site(usage_pattern_learning=True, price_origin_call=0.01, currency="EUR")

    @cached(ttl=60, namespace="reports")
    async def report(number: int) -> bytes:
        return bytes(1_000)

    @cached(ttl=60)
    def small(number: int) -> int:
        return number

    app.runtime.enter()
    for step in range(900):
        await report(step % 100)
        if step % 2:
            small(step % 10)
        if step % 300 == 299:
            app.runtime.learning.tick(time.time())
    told = app.runtime.learning.told()["curves"]
    of_report = told["functions"]["reports"]
    assert (of_report["reads"], of_report["footprint"]) == (900, 100)
    assert of_report["entry_bytes"] > 1_000
    assert of_report["entries"] == 100  # all of them hit
    assert of_report["double"]["hits"] == 0.0
    assert "EUR an hour" in of_report["double"]["words"]
    [other] = [one for name, one in told["functions"].items() if name != "reports"]
    assert (other["reads"], other["footprint"]) == (450, 5)  # a call that misses is one read
    assert told["namespaces"][""]["reads"] == 900 + 450


async def test_what_leaves_memory_unread_is_told() -> None:
    app = site(usage_pattern_learning=True, memory_max_entries=20)
    await reads(app, 100, pages=10, path="/hot")
    await reads(app, 100, pages=100, path="/once")
    app.runtime.learning.tick(time.time() + 100)
    waste = app.runtime.learning.told()["curves"]["waste"]
    assert waste["never_hit"] == pytest.approx(waste["stored"] * 80 / 110, rel=0.1)
    assert "before anybody read them" in waste["words"]


async def test_of_many_keys_read_often_a_sample_is_followed() -> None:
    app = site(usage_pattern_learning=True)

    @cached(ttl=60, namespace="lines")
    def line(number: int) -> int:
        return number

    app.runtime.enter()
    for _ in range(12):
        for number in range(2_000):
            line(number)
        app.runtime.learning.tick(time.time())
    told = app.runtime.learning.told()["curves"]["functions"]["lines"]
    assert told["reads"] > MOST_READS
    assert told["footprint"] == pytest.approx(2_000, rel=0.2)


async def test_a_tuner_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    runtime = site(auto_tuning=True).runtime
    assert runtime.learning.tuner is not None
    runtime.learning.tuner.curves = None  # type: ignore[assignment]
    runtime.learning.tick(time.time() + 100)
    assert "tuning the memory failed" in caplog.text


async def looped(app: PerfMiddleware, rounds: int = 20) -> list[Any]:
    """A loop larger than the memory, which LRU loses; what the ledger then says of policies."""
    async with Client(app) as client:
        for number in range(rounds * 150):
            await client.get(f"/pages/{number % 150}")
        app.runtime.learning.tick(time.time() + 120)
        for _ in range(500):
            found = [one for one in app.runtime.ledger.entries() if one.opportunity.type == "eviction_policy"]
            if found:
                return found
            await anyio.sleep(0.02)
    return []


async def test_a_better_policy_waits_in_the_ledger_for_approval() -> None:
    app = site(usage_pattern_learning=True, eviction_policy="lru", memory_max_bytes=220 * KIB)
    [entry] = await looped(app)
    assert entry.kind == "waiting"
    assert "Evict by adaptive instead of lru" in entry.opportunity.title
    assert len(app.runtime.ledger.entries()) == 1, "what LRU does not use, the other policy does"
    assert app.runtime.engine.pending(entry.id) == entry.opportunity
    layer = app.runtime.cache.memory
    assert layer is not None
    assert layer.policy == "lru"
    app.runtime.controls.set_option("eviction_policy", entry.opportunity.parameters["value"])
    assert layer.policy == "adaptive"


async def test_with_auto_tuning_a_better_policy_is_taken() -> None:
    app = site(usage_pattern_learning=True, auto_tuning=True, eviction_policy="lru", memory_max_entries=100)
    [entry] = await looped(app)
    assert entry.kind == "applied"
    layer = app.runtime.cache.memory
    assert layer is not None
    assert layer.policy == "adaptive"


async def test_memory_that_lru_would_not_use_but_another_policy_does_is_kept() -> None:
    app = site(auto_tuning=True, memory_max_bytes=200 * KIB, eviction_policy="lirs")
    layer = app.runtime.cache.memory
    assert layer is not None
    await reads(app, 3_000, pages=120)  # a loop that is a little larger: nothing of it is hit by LRU
    app.runtime.learning.tick(time.time() + 120)
    assert layer.hits > 900
    assert layer.max_bytes == 200 * KIB


def test_where_no_policy_is_better_none_is_proposed() -> None:
    reads = [(f"key {number % 50}", 1) for number in range(3_000)]
    assert better_policy(reads, 100, "lru", POLICIES) is None
    assert better_policy(reads[:100], 10, "lru", POLICIES) is None
    assert better_policy(reads, 10, "adaptive", POLICIES) is None
    assert better_policy(reads, 10, "lru", POLICIES) is not None


async def test_what_is_found_past_its_freshness_is_no_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfmw.runtime.caching.function_infos", list)  # other tests have some too
    settings = Settings(cache_rules=[CacheRule(path="/**", ttl=10)], plugins=[], usage_pattern_learning=True)
    app, now = PerfMiddleware(Site(), settings=settings), time.time()
    for later in range(0, 2_200, 20):
        monkeypatch.setattr(time, "time", lambda later=later: now + later)
        await reads(app, 20, pages=10)
    layer = app.runtime.cache.memory
    assert layer is not None
    assert layer.hits > 1_100
    told = app.runtime.learning.told()["curves"]["economy"][""]
    assert told["hits"] == pytest.approx(1_100)
    [manager] = app.runtime.cache_managers()
    assert manager.metrics.overall_hit_rate == pytest.approx(0.5)
    app.runtime.learning.tick(now + 2_300)
    assert len(waiting(app)) == 1, "LRU's curve is not beaten by finding the same again and again"
