from __future__ import annotations

import random
import threading

import pytest

from perfmw.contracts.profiles import (
    AlertThreshold,
    OptimizationRecommendation,
    PerformanceBaseline,
    PerformanceProfileConfig,
    PerformanceTargets,
)
from perfmw.profiles import ProfileStore, Recorder, profile_id


class Clock:
    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def traffic(
    store: ProfileStore, clock: Clock, recorder: Recorder, seconds: int, latency: float, hits: float = 0.0
) -> None:
    """Ten requests a second, so long, with a tick each second."""
    rnd = random.Random(7)
    for _ in range(seconds):
        for number in range(10):
            if number < hits * 10:
                recorder.hit(0.0005)
            else:
                recorder.origin(latency * rnd.lognormvariate(0, 0.05), 200, "uri-miss")
        clock.now += 1
        store.tick(clock.now)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> ProfileStore:
    return ProfileStore(max_profiles=3, clock=clock)


def test_every_request_is_counted(store: ProfileStore) -> None:
    recorder = store.recorder("GET /items/{id}")
    recorder.hit(0.001)
    recorder.origin(0.1, 200, "uri-miss")
    recorder.origin(0.2, 503, "uri-miss")
    recorder.exception(0.3, "uri-miss")
    [profile] = store.snapshot()
    metrics = profile.metrics
    assert (profile.name, profile.type) == ("GET /items/{id}", "component")
    assert metrics.latency.count == metrics.throughput.count == 4
    assert metrics.throughput.hits == 1
    assert metrics.throughput.hit_rate == 0.25
    assert metrics.latency.min == 0.001
    assert metrics.latency.max == 0.3
    assert metrics.latency.mean == pytest.approx(0.601 / 4)
    assert metrics.error_rates.rate == 0.5
    assert metrics.error_rates.by_kind == {"503": 1, "exception": 1}
    assert metrics.user_experience.apdex == 0.5
    assert metrics.resource_usage.cpu_seconds is None


def test_quantiles_ascend_and_rates_are_per_second(store: ProfileStore, clock: Clock) -> None:
    recorder = store.recorder("GET /a")
    traffic(store, clock, recorder, 100, 0.1)
    metrics = store.metrics("GET /a")
    assert metrics is not None
    found = metrics.latency
    assert (
        found.min <= found.p50 <= found.p75 <= found.p90 <= found.p95 <= found.p99 <= found.p999 <= found.max
    )
    assert found.p50 == pytest.approx(0.1, rel=0.03)
    assert metrics.throughput.per_second == pytest.approx(10.0)
    assert metrics.throughput.recent_per_second == pytest.approx(10.0, rel=0.1)


def test_ids_are_stable_and_differ_by_type() -> None:
    assert profile_id("component", "GET /a") == profile_id("component", "GET /a") == "b4941ed9b8cd28b7"
    assert profile_id("query", "GET /a") != profile_id("component", "GET /a")


def test_profiles_are_found_by_id_and_name(store: ProfileStore) -> None:
    recorder = store.recorder("SELECT 1", "query")
    recorder.done(0.1)
    assert store.recorder("SELECT 1", "query") is recorder
    profile = store.get(profile_id("query", "SELECT 1"))
    assert profile is not None
    assert profile.type == "query"
    assert store.find("SELECT 1") is None
    assert store.get("nothing") is None
    assert store.metrics("nothing") is None


def test_beyond_the_bound_requests_are_counted_as_other(store: ProfileStore) -> None:
    for number in range(50):
        store.recorder(f"GET /{number}").hit(0.1)
    store.recorder("GET /0").hit(0.1)
    assert store.names() == ["GET /0", "GET /1", "GET /2", "other"]
    counts = {profile.name: profile.metrics.latency.count for profile in store.snapshot()}
    assert counts == {"GET /0": 2, "GET /1": 1, "GET /2": 1, "other": 47}
    assert store.refused == 47


def test_the_baseline_is_learned_and_gives_targets(store: ProfileStore, clock: Clock) -> None:
    recorder = store.recorder("GET /a")
    assert store.snapshot()[0].performance.baseline is None
    assert store.snapshot()[0].performance.current_score is None
    traffic(store, clock, recorder, 10, 0.1)
    state = store.snapshot()[0].performance
    assert state.baseline is not None
    assert state.targets is not None
    assert state.baseline.latency == pytest.approx(0.1, rel=0.05)
    assert state.baseline.source == "learned"
    assert state.targets.latency == pytest.approx(0.7 * state.baseline.latency)
    assert state.targets.throughput == pytest.approx(1.3 * state.baseline.throughput)
    assert state.current_score == pytest.approx(65, abs=8)


def test_caching_a_slow_route_raises_the_score(store: ProfileStore, clock: Clock) -> None:
    recorder = store.recorder("GET /slow")
    traffic(store, clock, recorder, 60, 0.1)
    before, whole_before = store.snapshot()[0].performance, store.score()
    traffic(store, clock, recorder, 120, 0.1, hits=0.9)
    after, whole_after = store.snapshot()[0].performance, store.score()
    assert before.current_score is not None
    assert after.current_score is not None
    assert before.current_score < 72
    assert after.current_score > 95
    assert whole_before is not None
    assert whole_after is not None
    assert whole_after > whole_before + 20
    assert after.trend_direction == "improving"
    assert after.trend_confidence > 0.95
    assert after.baseline == before.baseline


def test_a_route_that_becomes_slow_degrades(store: ProfileStore, clock: Clock) -> None:
    recorder = store.recorder("GET /a")
    traffic(store, clock, recorder, 60, 0.1)
    for step in range(60):
        traffic(store, clock, recorder, 1, 0.1 * (1 + step / 20))
    state = store.snapshot()[0].performance
    assert state.trend_direction == "degrading"
    assert state.current_score is not None
    assert state.current_score < 45


def test_a_fast_route_that_was_always_fast_is_not_marked_down(store: ProfileStore, clock: Clock) -> None:
    traffic(store, clock, store.recorder("GET /hello"), 60, 0.001)
    score = store.snapshot()[0].performance.current_score
    assert score is not None
    assert score > 99


def test_the_whole_score_weighs_by_time_at_the_baseline(store: ProfileStore, clock: Clock) -> None:
    slow, fast = store.recorder("GET /slow"), store.recorder("GET /fast")
    for _ in range(60):
        traffic(store, clock, slow, 1, 0.5)
        clock.now -= 1
        traffic(store, clock, fast, 1, 0.001)
    scores = {one.name: one.performance.current_score for one in store.snapshot()}
    whole = store.score()
    assert whole is not None
    assert whole == pytest.approx(scores["GET /slow"], abs=1.0)


def test_without_profiles_there_is_no_score(store: ProfileStore) -> None:
    assert store.score() is None


def test_the_series_has_a_point_a_tick(store: ProfileStore, clock: Clock) -> None:
    recorder = store.recorder("GET /a")
    traffic(store, clock, recorder, 5, 0.1, hits=0.5)
    recorder.origin(0.1, 500, "uri-miss")
    store.recorder("SELECT 1", "query").done(9.0)
    clock.now += 2
    store.tick(clock.now)
    points = store.series()
    assert len(points) == 6
    assert (points[0].requests, points[0].hits, points[0].errors) == (10, 5, 0)
    assert points[0].hit_rate == 0.5
    assert points[0].rate == 10.0
    assert points[0].p95 == pytest.approx(0.1, rel=0.2)
    last = points[-1]
    assert (last.requests, last.errors, last.seconds) == (1, 1, 2.0)
    assert last.mean == pytest.approx(0.1)
    assert store.series(2) == points[-2:]


def test_the_series_is_bounded(clock: Clock) -> None:
    store = ProfileStore(clock=clock, series_points=3)
    for _ in range(10):
        clock.now += 1
        store.tick(clock.now)
    assert [point.at - clock.now for point in store.series()] == [-2, -1, 0]
    assert store.series()[0].hit_rate is None


def test_windows_follow_the_ticks(store: ProfileStore, clock: Clock) -> None:
    recorder = store.recorder("GET /a")
    traffic(store, clock, recorder, 200, 0.1)
    recorder.hit(0.1)
    minute = store.window(profile_id("component", "GET /a"), 60)
    assert minute is not None
    assert 600 <= minute.count <= 700
    assert minute.hits == 1
    assert store.window("nothing", 60) is None


def test_a_block_is_the_difference_of_two_readings(store: ProfileStore) -> None:
    recorder = store.recorder("GET /a")
    recorder.origin(0.1, 200, "uri-miss")
    start = store.reading(profile_id("component", "GET /a"))
    recorder.hit(0.1)
    end = store.reading(profile_id("component", "GET /a"))
    assert start is not None
    assert end is not None
    assert ((end - start).count, (end - start).hits) == (1, 1)
    assert store.reading("nothing") is None


def test_any_reading_can_be_scored(store: ProfileStore, clock: Clock) -> None:
    recorder = store.recorder("GET /a")
    traffic(store, clock, recorder, 10, 0.1)
    block = Recorder("GET /a")
    for _ in range(50):
        block.hit(0.001)
    parts = store.parts(profile_id("component", "GET /a"), block.reading(), 5.0)
    assert {part.name for part in parts} >= {"latency", "errors", "experience"}
    assert parts[0].score > 99
    assert store.parts("nothing", block.reading(), 5.0) == []


def test_a_baseline_can_be_pinned(store: ProfileStore, clock: Clock) -> None:
    recorder = store.recorder("GET /a")
    key = profile_id("component", "GET /a")
    with pytest.raises(ValueError, match="succeeded"):
        store.pin_baseline(key)
    traffic(store, clock, recorder, 10, 0.1)
    traffic(store, clock, recorder, 120, 0.3)
    store.pin_baseline(key)
    pinned = store.snapshot()[0].performance.baseline
    assert pinned is not None
    assert pinned.latency == pytest.approx(0.3, rel=0.1)
    assert pinned.source == "pinned"
    store.pin_baseline(key, PerformanceBaseline(1.0, 5.0, 0.5, 0.0, "file"))
    state = store.snapshot()[0].performance
    assert state.targets == PerformanceTargets(0.7, 6.5, 0.4)
    with pytest.raises(KeyError):
        store.pin_baseline("nothing")


def test_targets_can_be_chosen_and_given_up(store: ProfileStore, clock: Clock) -> None:
    recorder = store.recorder("GET /a")
    key = profile_id("component", "GET /a")
    traffic(store, clock, recorder, 10, 0.1)
    store.set_targets(key, PerformanceTargets(0.01, 100.0))
    assert store.snapshot()[0].performance.targets == PerformanceTargets(0.01, 100.0)
    store.set_targets(key, None)
    targets = store.snapshot()[0].performance.targets
    assert targets is not None
    assert targets.latency == pytest.approx(0.07, rel=0.1)


def test_a_profile_says_what_the_user_chose(store: ProfileStore) -> None:
    store.recorder("GET /a").hit(0.1)
    key = profile_id("component", "GET /a")
    threshold = AlertThreshold("latency.p95", 0.5)
    store.configure(
        key,
        PerformanceProfileConfig(
            monitoring_frequency=5.0,
            alert_thresholds=[threshold],
            optimization_level="aggressive",
            auto_optimization=True,
        ),
    )
    [profile] = store.snapshot()
    assert profile.monitoring.frequency == 5.0
    assert profile.monitoring.alert_thresholds == [threshold]
    assert profile.metadata.optimization_level == "aggressive"
    assert profile.metadata.auto_optimization is True


def test_snapshots_do_not_share_lists_with_the_store(store: ProfileStore) -> None:
    store.recorder("GET /a").hit(0.1)
    key = profile_id("component", "GET /a")
    store.optimizations(key).recommendations.append(OptimizationRecommendation("Cache it", "…"))
    [profile] = store.snapshot()
    profile.optimizations.recommendations.clear()
    assert len(store.optimizations(key).recommendations) == 1


def test_recorders_may_be_asked_for_by_many_threads(clock: Clock) -> None:
    store = ProfileStore(max_profiles=100, clock=clock)

    def ask() -> None:
        for number in range(200):
            store.recorder(f"GET /{number}").hit(0.1)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.names()) == 101
    assert len(set(store.names())) == 101
