"""Values such as the runtime hands to plugins, with every part filled."""

from __future__ import annotations

from perfmw.contracts import (
    Alert,
    CacheLayerInfo,
    ErrorRateMetrics,
    LatencyMetrics,
    PerformanceProfile,
    PerformanceState,
    PoolSample,
    ProfileMetadata,
    ProfileMetrics,
    ProfileMonitoring,
    ProfileOptimizations,
    ResourceUsageMetrics,
    RouteObservation,
    RuntimeSnapshot,
    ThroughputMetrics,
    UserExperienceMetrics,
)

SAMPLE_TIME = 1_700_000_000.0


def sample_profile(
    name: str = "GET /items/{id}", *, mean: float = 0.08, count: int = 1_000
) -> PerformanceProfile:
    """A profile of ``count`` requests in a minute that took ``mean`` seconds each on average."""
    latency = LatencyMetrics(
        count, mean / 4, mean, mean * 0.8, mean, mean * 1.5, mean * 2, mean * 4, mean * 6, mean * 8, mean / 2
    )
    return PerformanceProfile(
        id=f"component-{name}",
        name=name,
        type="component",
        metrics=ProfileMetrics(
            latency=latency,
            throughput=ThroughputMetrics(count, count / 60, count / 60, 0, 0.0),
            resource_usage=ResourceUsageMetrics(cpu_utilization=0.4),
            error_rates=ErrorRateMetrics(rate=0.01, server_errors=count // 100),
            user_experience=UserExperienceMetrics(apdex=0.95, satisfied=count),
        ),
        performance=PerformanceState(current_score=80.0),
        optimizations=ProfileOptimizations(),
        monitoring=ProfileMonitoring(),
        metadata=ProfileMetadata(created_at=SAMPLE_TIME - 60, last_analyzed=SAMPLE_TIME),
    )


def sample_observation(route: str = "GET /items/{id}", *, requests: int = 1_000) -> RouteObservation:
    """A route whose answers repeat, carry no cookies, belong to nobody and state no freshness."""
    return RouteObservation(
        route=route,
        requests=requests,
        samples=requests // 5,
        distinct_urls=20,
        repeats=requests // 5 - 20,
        equal_repeats=requests // 5 - 20,
        interval=2.0,
        exposure=1_000.0,
        watched=60.0,
        example_paths=("/items/1", "/items/2"),
        reasons={"no-freshness": requests},
    )


def sample_snapshot() -> RuntimeSnapshot:
    """A minute of a busy process: one slow route that repeats, one memory layer, one pool."""
    layer = CacheLayerInfo(
        "memory", "memory", entries=10, bytes=40_960, max_bytes=2**20, hits=900, misses=100, policy="lru"
    )
    return RuntimeSnapshot(
        taken_at=SAMPLE_TIME,
        window_seconds=60.0,
        profiles=[sample_profile()],
        routes=[sample_observation()],
        layers=[layer],
        pools=[PoolSample("cpu", "cores", 2.0, 0.5, 0.25, sampled_at=SAMPLE_TIME)],
        cache_rules=[{"path": "/static/**", "ttl": 60.0}],
        cache_status={"hit": 900, "no-freshness": 100},
    )


def sample_alert(*, resolved: bool = False) -> Alert:
    """A degraded route; ``resolved`` closes it five minutes later."""
    return Alert(
        key="latency:GET /items/{id}",
        type="latency",
        severity="medium",
        message="GET /items/{id} takes 160 ms instead of 80 ms",
        target="GET /items/{id}",
        raised_at=SAMPLE_TIME,
        resolved_at=SAMPLE_TIME + 300 if resolved else None,
        details={"baseline": 0.08, "now": 0.16},
    )
