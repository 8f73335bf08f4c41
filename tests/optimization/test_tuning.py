"""Lifetimes of rules, the memory layer, and advice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from perfmw.contracts import (
    CacheLayerInfo,
    CacheStatistics,
    CacheUse,
    ErrorRateMetrics,
    PerformanceProfile,
    PoolSample,
    ProcessHealth,
    RuntimeSnapshot,
)
from perfmw.optimization import AdviceOptimizer, MemoryLayerOptimizer, RuleTtlOptimizer
from tests.optimization.world import ROUTE, RuleControls, make_opportunity, make_profile, make_route

RULE = {"name": "cache_route:/items/*", "path": "/items/*", "ttl": 10.0}
PRESSED = CacheLayerInfo(
    "memory", "memory", policy="lru", max_bytes=64 * 2**20, fills=1_000, evictions=500, hits=800, misses=1_200
)


def snapshot(**parts: Any) -> RuntimeSnapshot:
    usual: dict[str, Any] = {"profiles": (make_profile(),), "routes": (make_route(),), "cache_rules": (RULE,)}
    return RuntimeSnapshot(1_000.0, 100.0, **(usual | parts))


def query(name: str = "SELECT 1", **facts: Any) -> PerformanceProfile:
    return replace(make_profile(name, **facts), type="query")


def test_a_lifetime_grows_with_the_evidence_but_not_in_one_leap() -> None:
    [found] = RuleTtlOptimizer().propose(snapshot(routes=(make_route(exposure=100_000.0, watched=10_000.0),)))
    assert found.parameters == {
        "rule_id": RULE["name"],
        "path": "/items/*",
        "ttl": 15.0,
        "stale_while_revalidate": 15.0,
        "before": 10.0,
        "stale_before": 0.0,
    }
    assert found.title == "Cache /items/* for 30 s instead of 10 s"
    assert not found.toggles
    assert found.saved_seconds_per_day > 0
    assert found.target == ROUTE


def test_a_lifetime_is_cut_at_once_where_bodies_change() -> None:
    changing = make_route(equal_repeats=358, exposure=720.0)
    [found] = RuleTtlOptimizer().propose(snapshot(routes=(changing,), cache_rules=({**RULE, "ttl": 60.0},)))
    assert found.parameters["ttl"] < 60 / 3
    assert found.level == "basic"


@pytest.mark.parametrize(
    "rules", [(), ({**RULE, "name": "mine"},), ({**RULE, "ttl": 24.0},), ({**RULE, "path": "/other/*"},)]
)
def test_rules_of_others_and_fitting_ones_are_left_alone(rules: tuple[Any, ...]) -> None:
    assert RuleTtlOptimizer().propose(snapshot(cache_rules=rules)) == []


def test_a_lifetime_is_put_in_and_back() -> None:
    optimizer, controls = RuleTtlOptimizer(), RuleControls()
    [found] = optimizer.propose(snapshot())
    for _ in range(2):
        optimizer.apply(found, controls)
        assert controls.rules == {RULE["name"]: found.parameters["ttl"]}
    for _ in range(2):
        optimizer.revert(found, controls)
        assert controls.rules == {RULE["name"]: 10.0}
    with pytest.raises(ValueError, match="not the parameters"):
        optimizer.apply(make_opportunity(parameters={"rule_id": "x"}), controls)


def test_a_layer_that_throws_out_what_is_wanted_is_changed() -> None:
    optimizer, controls = MemoryLayerOptimizer(), RuleControls()
    found = {one.type: one for one in optimizer.propose(snapshot(layers=(PRESSED,)))}
    policy, room = found["eviction_policy"], found["memory_max_bytes"]
    assert policy.toggles
    assert room.toggles, "there is nothing beside it to be measured before and after with"
    assert room.level == "advanced"
    assert room.parameters["value"] == 128 * 2**20
    optimizer.apply(policy, controls)
    assert controls.options == {"eviction_policy": "s3fifo"}
    optimizer.revert(policy, controls)
    assert controls.options == {"eviction_policy": "lru"}
    with pytest.raises(ValueError, match="not the parameters"):
        optimizer.apply(make_opportunity(), controls)


@pytest.mark.parametrize("facts", [{"fills": 50}, {"evictions": 3}, {"namespace": "mine"}, {"kind": "disk"}])
def test_a_layer_with_room_is_left_alone(facts: dict[str, Any]) -> None:
    seen = snapshot(layers=(replace(PRESSED, **facts),))
    assert MemoryLayerOptimizer().propose(seen) == []
    if facts.keys() & {"fills", "evictions"}:
        assert len(MemoryLayerOptimizer().explain(seen)) == 1


def test_room_has_an_end() -> None:
    seen = snapshot(layers=(replace(PRESSED, policy="s3fifo"),))
    assert MemoryLayerOptimizer(most_bytes=100 * 2**20).propose(seen) == []
    small = replace(PRESSED, policy="s3fifo", max_bytes=600 * 2**10)
    [one] = MemoryLayerOptimizer().propose(snapshot(layers=(small,)))
    assert one.title == "Give the memory layer 1.17 MiB instead of 0.59 MiB"


def advised(**parts: Any) -> dict[str, Any]:
    usual = {"cache_rules": (), "routes": ()}
    return {one.type: one for one in AdviceOptimizer().recommend(snapshot(**(usual | parts)))}


def test_nothing_is_said_where_nothing_is_wrong() -> None:
    assert advised() == {}
    assert AdviceOptimizer().propose(snapshot()) == ()


def test_queries() -> None:
    route = make_profile(count=100)
    found = advised(profiles=(route, query("SELECT * FROM a WHERE id = ?", count=2_000, mean=0.002)))
    assert found["n_plus_one"].title.startswith("Ask once instead of 20 times a request")
    assert found["n_plus_one"].saved_seconds_per_day == pytest.approx(4.0 / 100 * 86_400 * 0.95)
    assert "EXPLAIN" in advised(profiles=(route, query(count=60, mean=0.3)))["slow_query"].snippet
    busy = make_profile(count=10_000)
    assert "@cached" in advised(profiles=(busy, query(count=9_000, mean=0.003)))["query_cache"].snippet
    assert advised(profiles=(route, query(count=3, mean=9.0))) == {}


def test_what_is_not_found_again_and_again() -> None:
    route = make_profile()
    route.metrics.error_rates = ErrorRateMetrics(client_errors=400)
    found = advised(profiles=(route,))["negative_caching"]
    assert "400 of 1,000" in found.detail
    assert found.target == ROUTE
    route.name = "GET (refused)"  # the app never saw these
    assert advised(profiles=(route,)) == {}


SERVED = CacheUse("route", "all", hits=1_000, misses=1_100, hit_bytes=10_000_000)


def test_headers_etags_and_warmth() -> None:
    assert "stale-while-revalidate=10" in advised(cache_rules=(RULE,))["cache_header"].snippet
    assert "add_etag" in advised(cache_status={"hit": 1_000, "stale": 200})["etag"].snippet
    found = advised(cache_status={"hit": 1_000, "uri-miss": 900})["warm_up"]
    assert "900 requests found nothing kept" in found.detail
    assert found.saved_seconds_per_day == 0.0


def test_what_advice_would_save_and_on_what_that_rests() -> None:
    """The window is 100 s: what was counted comes 864 times a day."""
    status = {"hit": 1_000, "stale": 200, "uri-miss": 900}
    kept = CacheLayerInfo("memory", "memory", entries=300)
    found = advised(
        cache_status=status,
        caching=lambda: CacheStatistics(0.0, SERVED),
        layers=(kept,),
        profiles=(make_profile(count=2_100, mean=0.05),),
    )
    way = 10_000 / 2.5e6
    assert found["etag"].saved_seconds_per_day == pytest.approx(200 * 864 * way)
    assert "At 20 Mbit/s that spares the way of 9.8 KiB each" in found["etag"].detail
    assert found["compression"].saved_seconds_per_day == pytest.approx(1_000 * 864 * 0.7 * way)
    assert "70% less, which at 20 Mbit/s are 2.8 ms each" in found["compression"].detail
    assert found["warm_up"].saved_seconds_per_day == pytest.approx(300 * 0.05)
    assert (
        "each of 300 answers that are kept now somebody waited, 50 ms on average" in found["warm_up"].detail
    )
    assert list(found) == ["compression", "etag", "warm_up"], "the most time saved first"


def test_a_rate_is_that_of_the_time_in_which_was_counted_however_new_the_process() -> None:
    """After a restart profiles go on counting where they were."""
    status, used = {"hit": 1_000, "stale": 200}, CacheStatistics(0.0, SERVED)
    older, query_of = make_profile(count=1_000), query("SELECT 1", count=600, mean=0.3)

    def told(seconds: float) -> dict[str, float]:
        seen = RuntimeSnapshot(
            1_000.0, seconds, profiles=(older, query_of), cache_status=status, caching=lambda: used
        )
        return {one.type: one.saved_seconds_per_day for one in AdviceOptimizer().recommend(seen)}

    assert told(1.0) == told(100.0)
    assert set(told(1.0)) == {"etag", "compression", "slow_query"}


def test_nothing_is_said_of_what_settings_follow() -> None:
    seen = snapshot(
        cache_rules=(),
        routes=(),
        cache_status={"hit": 1_000, "stale": 200, "uri-miss": 900},
        caching=lambda: CacheStatistics(0.0, SERVED),
    )
    assert [one.type for one in AdviceOptimizer(followed={"etag", "warm_up"}).recommend(seen)] == [
        "compression"
    ]


def test_compression_pools_and_overload() -> None:
    use = CacheUse("route", "all", hits=100, hit_bytes=1_000_000)
    assert "shared" in advised(caching=lambda: CacheStatistics(0.0, use))["compression"].snippet
    pool = PoolSample("db", "connections", 20.0, 19.0, 0.95, wait_seconds=0.02)
    found = advised(pools=(pool,))["pool_size"]
    assert "pool_size=30" in found.snippet
    assert "wait 20 ms" in found.detail
    late = ProcessHealth(7, loop_lag_p50=0.1, loop_lag_p99=0.3)
    limit = advised(processes=(late,), profiles=(make_profile(count=1_000),))["concurrency"]
    assert "observe" in limit.snippet
    assert limit.saved_seconds_per_day == pytest.approx(0.052 * 10 * 86_400), "ten requests a second"


def test_advice_is_ranked_and_can_be_asked_for_one_target() -> None:
    seen = snapshot(profiles=(make_profile(count=100), query(count=60, mean=0.3)), cache_rules=(RULE,))
    found = AdviceOptimizer().recommend(seen)
    assert [one.type for one in found] == ["slow_query", "cache_header"]
    assert [one.type for one in AdviceOptimizer().recommend(seen, "SELECT 1")] == ["slow_query"]
    with pytest.raises(ValueError, match="people"):
        AdviceOptimizer().apply(make_opportunity(), RuleControls())
