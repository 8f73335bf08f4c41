from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.contracts.profiles import PerformanceBaseline, PerformanceTargets, ScorePart
from perfmw.profiles import ProfileStore, profile_id
from perfmw.profiles.baseline import TargetFactors, baseline_of, ready, targets_of
from perfmw.profiles.breakdown import Breakdown
from perfmw.profiles.recorder import Recorder
from perfmw.profiles.score import (
    Observed,
    duration,
    error_score,
    latency_score,
    score_parts,
    total,
)

BASELINE = PerformanceBaseline(latency=0.2, throughput=10.0, resource_utilization=0.5, timestamp=0.0)
TARGETS = PerformanceTargets(latency=0.14, throughput=13.0, resource_utilization=0.4)


def score(latency: float, error_rate: float = 0.0, apdex: float | None = 1.0, **more: float) -> float:
    parts = score_parts(Observed(100, latency, error_rate, apdex=apdex, **more), BASELINE, TARGETS)
    found = total(parts)
    assert found is not None
    return found


def test_control_points_of_the_latency_curve() -> None:
    assert latency_score(0.14, 0.14, 0.2) == pytest.approx(90.0)
    assert latency_score(0.2, 0.14, 0.2) == pytest.approx(50.0)
    assert latency_score(0.02, 0.14, 0.2) == pytest.approx(100.0, abs=0.01)
    assert latency_score(0.0, 0.14, 0.2) == 100.0


def test_the_score_says_what_people_expect() -> None:
    assert 55 <= score(0.2) <= 70, "at the baseline"
    assert 90 <= score(0.14) <= 97, "at the target"
    assert score(0.01) > 99, "far below the target"
    assert score(0.28) < score(0.14) - 40, "twice the target"
    assert score(0.01, error_rate=1.0, apdex=0.0) == 0.0, "nothing but errors, however fast"
    assert score(0.01, error_rate=0.2, apdex=0.8) < 80


@given(st.floats(1e-4, 100.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_parts_weights_and_total_add_up(latency: float, errors: float, apdex: float) -> None:
    parts = score_parts(Observed(10, latency, errors, 5.0, apdex, 0.45), BASELINE, TARGETS)
    assert sum(part.weight for part in parts) == pytest.approx(1.0)
    assert all(0.0 <= part.score <= 100.0 and part.reason for part in parts)
    assert total(parts) == pytest.approx(sum(part.score * part.weight for part in parts))


@given(st.floats(1e-4, 10.0), st.floats(1.01, 3.0))
def test_slower_is_never_better(latency: float, factor: float) -> None:
    assert score(latency * factor) <= score(latency)


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_errors_are_never_better(one: float, two: float) -> None:
    low, high = sorted((one, two))
    assert 0.0 <= error_score(high) <= error_score(low) <= 100.0


def test_error_budget_control_points() -> None:
    assert [error_score(rate) for rate in (0.0, 0.001, 0.01, 0.03)] == pytest.approx([100, 90, 50, 0])


def test_parts_that_cannot_be_judged_are_left_out() -> None:
    parts = score_parts(Observed(10, 0.2, 0.0), BASELINE, TARGETS)
    assert [part.name for part in parts] == ["latency", "errors"]
    assert score_parts(Observed(0, 0.0, 0.0), BASELINE, TARGETS) == []
    assert total([]) is None


def test_throughput_counts_only_where_it_is_not_demand() -> None:
    def names(latency: float, rate: float) -> dict[str, float]:
        parts = score_parts(Observed(10, latency, 0.0, throughput=rate), BASELINE, TARGETS)
        return {part.name: part.score for part in parts}

    assert names(0.1, 20.0)["throughput"] == 100.0
    assert "throughput" not in names(0.1, 1.0), "few requests, answered fast: nobody asked for more"
    assert names(0.4, 5.0)["throughput"] == pytest.approx(100 * 5 / 13, abs=0.01)


def test_what_a_request_costs_is_scored_at_the_baselines_load() -> None:
    clock = [1_000_000.0]
    store = ProfileStore(clock=lambda: clock[0])
    recorder = store.recorder("GET /report")
    tracked = store.tracked(profile_id("component", "GET /report"))
    assert tracked is not None

    def minute(requests: int, cpu: float) -> None:
        for number in range(requests):
            recorder.origin(0.1, 200, "uri-miss")
            if number % 10 == 0:
                tracked.account(Breakdown(0.1, cpu=cpu))
        clock[0] += 60.0
        store.tick(clock[0])

    def told() -> tuple[float, float]:
        profile = store.find("GET /report")
        assert profile is not None
        part = next(one for one in profile.performance.score_parts if one.name == "resources")
        assert profile.metrics.resource_usage.cpu_utilization is not None
        return part.score, profile.metrics.resource_usage.cpu_utilization

    minute(300, 0.1)
    profile = store.find("GET /report")
    assert profile is not None
    before = profile.performance.baseline
    assert before is not None
    assert before.resource_utilization == pytest.approx(0.5)  # 5 a second, of 100 ms
    assert profile.performance.targets is not None
    assert profile.performance.targets.resource_utilization == pytest.approx(0.4)
    assert told() == (50.0, pytest.approx(0.5))
    minute(600, 0.1)  # twice the load keeps twice as much busy, and is no worse
    assert told() == (50.0, pytest.approx(1.0))
    minute(2000, 0.0)  # a request costs a third: 0.18 of a core at the baseline's load
    assert told()[0] == 100.0


def test_a_block_of_an_experiment_is_not_judged_by_resources() -> None:
    store = ProfileStore()
    recorder = store.recorder("GET /report")
    tracked = store.tracked(profile_id("component", "GET /report"))
    assert tracked is not None
    for _ in range(60):
        recorder.origin(0.1, 200, "uri-miss")
        tracked.account(Breakdown(0.1, cpu=0.1))
    tracked.learn(tracked.created_at + 10.0)
    names = {part.name for part in tracked.parts(recorder.reading(), 10.0)}
    assert "latency" in names
    assert "resources" not in names


def test_resources_at_target_and_baseline() -> None:
    def resources(used: float) -> float:
        parts = score_parts(Observed(10, 0.1, 0.0, resource_utilization=used), BASELINE, TARGETS)
        return next(part.score for part in parts if part.name == "resources")

    assert [resources(0.3), resources(0.4), resources(0.5)] == pytest.approx([100.0, 100.0, 50.0])


def test_a_route_too_fast_to_notice_is_not_marked_down() -> None:
    fast = PerformanceBaseline(0.001, 10.0, None, 0.0)
    targets = targets_of(fast, TargetFactors())
    parts = score_parts(Observed(10, 0.001, 0.0), fast, targets, floor=0.005)
    latency = parts[0]
    assert latency.score > 99
    assert "nobody notices" in latency.reason
    strict = score_parts(Observed(10, 0.001, 0.0), fast, targets, floor=0.0)
    assert strict[0].score == pytest.approx(50.0)


@given(st.floats(1e-5, 5.0), st.floats(1e-5, 5.0), st.floats(0.0, 0.02))
def test_targets_of_any_kind_give_a_score(baseline: float, target: float, floor: float) -> None:
    parts = score_parts(
        Observed(10, 0.1, 0.0),
        PerformanceBaseline(baseline, 1.0, None, 0.0),
        PerformanceTargets(target, 1.0),
        floor,
    )
    assert 0.0 <= parts[0].score <= 100.0


def test_targets_are_multiples_of_the_baseline() -> None:
    targets = targets_of(BASELINE, TargetFactors())
    assert targets.latency == pytest.approx(0.14)
    assert targets.throughput == pytest.approx(13.0)
    assert targets.resource_utilization == pytest.approx(0.4)
    assert targets_of(PerformanceBaseline(1, 1, None, 0), TargetFactors(0.5)).latency == 0.5


def test_a_baseline_needs_enough_requests_that_succeeded() -> None:
    recorder = Recorder("GET /a")
    for _ in range(49):
        recorder.origin(0.1, 200, "uri-miss")
    recorder.origin(0.0001, 500, "uri-miss")
    assert not ready(recorder.reading(), 10.0)
    recorder.hit(0.1)
    reading = recorder.reading()
    assert ready(reading, 10.0)
    baseline = baseline_of(reading, 10.0, now=123.0)
    assert baseline.latency == pytest.approx(0.1)
    assert baseline.throughput == pytest.approx(5.1)
    assert (baseline.timestamp, baseline.source) == (123.0, "learned")


def test_a_quiet_route_gets_its_baseline_after_a_minute() -> None:
    recorder = Recorder("GET /a")
    for _ in range(20):
        recorder.origin(0.1, 200, "uri-miss")
    assert not ready(recorder.reading(), 59.0)
    assert ready(recorder.reading(), 60.0)


def test_failures_alone_make_no_baseline() -> None:
    recorder = Recorder("GET /a")
    for _ in range(100):
        recorder.exception(0.1, "uri-miss")
    assert not ready(recorder.reading(), 100.0)
    with pytest.raises(ValueError, match="succeeded"):
        baseline_of(recorder.reading(), 10.0, 0.0)


def test_total_is_the_weighted_mean() -> None:
    assert total([ScorePart("a", 100.0, 0.75), ScorePart("b", 0.0, 0.25)]) == 75.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0000005, "0.5 µs"), (0.0421, "42.1 ms"), (2.5, "2.5 s"), (0.0, "0 µs")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text
