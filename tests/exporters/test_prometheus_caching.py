"""What Prometheus is told of the caches."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perfmw import Settings
from perfmw.contracts import (
    CacheLayerInfo,
    CacheStatistics,
    CacheUse,
    LatencyMetrics,
    RuntimeSnapshot,
)
from perfmw.exporters.prometheus import PrometheusExporter
from perfmw.runtime import Runtime
from tests.exporters.test_prometheus import parsed, value

LAYER = CacheLayerInfo(
    "memory",
    "memory",
    evictions=3,
    expirations=2,
    invalidations=1,
    fills=9,
    hit_bytes=4_000,
    skipped=0,
    latency=LatencyMetrics(count=10, mean=0.001, p50=0.001, p95=0.002, p99=0.003),
)
ROUTE = CacheUse(
    "route", "GET /items/{id}", hits=7, misses=2, stale=1, fills=2, hit_bytes=700, seconds_saved=1.5
)
FUNCTION = CacheUse("function", 'load "x"', hits=1)


def told(statistics: CacheStatistics | None) -> str:
    return PrometheusExporter().render(RuntimeSnapshot(1.0, 1.0, caching=lambda: statistics))


def test_causes_bytes_and_time_saved() -> None:
    whole = CacheUse("namespace", "http")
    statistics = CacheStatistics(0.0, whole, [LAYER], [whole], [ROUTE], [FUNCTION])
    samples = parsed(told(statistics))
    causes = {"capacity": 3, "expired": 2, "invalidated": 1}
    for cause, count in causes.items():
        assert (
            value(samples, "perfmw_cache_layer_left_total", layer="memory", kind="memory", cause=cause)
            == count
        )
    assert value(samples, "perfmw_cache_layer_fills_total", layer="memory", kind="memory") == 9
    assert (
        value(samples, "perfmw_cache_layer_read_seconds", layer="memory", kind="memory", quantile="0.99")
        == 0.003
    )
    assert value(
        samples, "perfmw_cache_layer_read_seconds_sum", layer="memory", kind="memory"
    ) == pytest.approx(0.01)
    name = {"kind": "route", "name": "GET /items/{id}"}
    assert value(samples, "perfmw_cache_hit_bytes_total", **name) == 700
    assert value(samples, "perfmw_cache_saved_seconds", **name) == 1.5
    assert value(samples, "perfmw_cache_stale_total", **name) == 1
    assert value(samples, "perfmw_cache_fills_total", kind="function", name='load "x"') == 0


def test_what_is_not_known_is_left_out() -> None:
    assert "perfmw_cache_saved_seconds" not in told(None)
    text = told(CacheStatistics(0.0, CacheUse("namespace", "http"), [CacheLayerInfo("disk", "disk")]))
    assert 'cause="capacity"' in text
    assert 'cause="expired"' not in text
    assert "perfmw_cache_layer_read_seconds" not in text


def test_what_caches_are_worth_is_told_where_it_is_known() -> None:
    snapshot = Runtime(Settings(usage_pattern_learning=True, price_gb_hour=0.0)).snapshot()
    (manager,) = snapshot.managers()
    manager.metrics.memory_efficiency = 12.5
    told_so = replace(snapshot, waste={"watched": 5_000, "never_hit": 700}, managers=lambda: [manager])
    text = PrometheusExporter().render(told_so)
    samples = parsed(text)
    assert value(samples, "perfmw_cache_watched_bytes") == 5_000
    assert value(samples, "perfmw_cache_never_hit_bytes_total") == 700
    assert value(samples, "perfmw_cache_hits_per_mebibyte", name="shared") == 12.5
    assert "perfmw_cache_cost_efficiency_ratio{" not in text
    assert "never_hit" not in told(None)
