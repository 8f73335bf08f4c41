from __future__ import annotations

from pathlib import Path

import pytest

from perfmw.contracts import PerformanceBaseline, PerformanceProfileConfig, PerformanceTargets
from perfmw.profiles import ProfileStore, profile_id
from perfmw.profiles.management import ProfileManager


class Clock:
    now = 5000.0

    def __call__(self) -> float:
        return self.now


def managed(max_profiles: int = 10) -> tuple[ProfileStore, ProfileManager]:
    clock = Clock()
    store = ProfileStore(max_profiles=max_profiles, clock=clock)
    return store, ProfileManager(store, clock=clock)


def serve(store: ProfileStore, name: str, seconds: float, count: int = 60, status: int = 200) -> None:
    for number in range(count):
        store.recorder(name).origin(seconds * (1 + number % 10 / 20), status, "uri-miss")


def test_a_profile_can_be_made_before_its_first_request() -> None:
    store, manager = managed()
    config = PerformanceProfileConfig(targets=PerformanceTargets(0.2, 5.0), monitoring_frequency=10.0)
    profile = manager.create("checkout", "workflow", config)
    assert [one.id for one in manager.list("workflow")] == [profile.id]
    assert manager.list("query") == []
    assert manager.get(profile.id).performance.targets == PerformanceTargets(0.2, 5.0)
    store.recorder("checkout", "workflow").done(0.1)
    assert manager.get(profile.id).metrics.latency.count == 1


def test_there_may_be_no_room() -> None:
    _, manager = managed(max_profiles=1)
    manager.create("GET /a")
    with pytest.raises(ValueError, match="max_profiles"):
        manager.create("GET /b")


def test_fields_are_changed_one_by_one() -> None:
    _, manager = managed()
    profile = manager.create("GET /a")
    manager.update(profile.id, reporting_schedule="weekly")
    changed = manager.update(profile.id, targets={"latency": 0.1, "throughput": 3.0})
    assert changed.monitoring.reporting_schedule == "weekly"
    assert changed.performance.targets == PerformanceTargets(0.1, 3.0)
    with pytest.raises(ValueError, match="colour"):
        manager.update(profile.id, colour="red")
    with pytest.raises(ValueError, match="optimization_level"):
        manager.update(profile.id, optimization_level="reckless")


def test_each_profile_may_have_an_apdex_t_of_its_own() -> None:
    store, manager = managed()
    serve(store, "GET /a", 0.2)
    serve(store, "GET /b", 0.2)
    (first, second) = manager.list("component")
    assert first.metrics.user_experience.apdex == second.metrics.user_experience.apdex == 1.0
    users = manager.update(first.id, apdex_t=0.1).metrics.user_experience
    assert (users.apdex_t, users.apdex) == (0.1, 0.5)
    assert manager.get(second.id).metrics.user_experience.apdex_t == 0.5
    elsewhere = managed()[1]
    elsewhere.import_(manager.export([first.id]))
    assert elsewhere.get(first.id).metrics.user_experience.apdex == 0.5
    with pytest.raises(ValueError, match="apdex_t"):
        manager.update(first.id, apdex_t=0)
    with pytest.raises(ValueError, match="apdex_t"):
        manager.create("GET /c", config=PerformanceProfileConfig(apdex_t=-1.0))
    assert manager.update(first.id, apdex_t=None).metrics.user_experience.apdex_t == 0.5


def test_what_is_not_there_is_named() -> None:
    _, manager = managed()
    for act in (manager.get, manager.update, manager.delete, lambda id: manager.compare(id, id)):
        with pytest.raises(KeyError, match="nothing"):
            act("nothing")


def test_a_deleted_profile_is_gone() -> None:
    _, manager = managed()
    profile = manager.create("GET /a")
    manager.delete(profile.id)
    assert manager.list() == []


def test_two_profiles_side_by_side() -> None:
    store, manager = managed()
    serve(store, "GET /slow", 0.2)
    serve(store, "GET /fast", 0.1)
    serve(store, "GET /fast", 0.1, 3, status=500)
    slow, fast = (profile.id for profile in manager.list())
    found = manager.compare(slow, fast)
    figures = {one.figure: one for one in found.differences}
    assert found.faster == "second"
    assert found.confidence > 0.99
    assert figures["mean"].change == pytest.approx(-0.5, abs=0.05)
    assert figures["error_rate"].better == "first"
    assert figures["hit_rate"].better == "neither"
    assert manager.compare(slow, slow).confidence < 0.1


def test_profiles_travel(tmp_path: Path) -> None:
    store, manager = managed()
    serve(store, "GET /a", 0.1)
    profile = manager.list()[0]
    manager.pin_baseline(profile.id, PerformanceBaseline(0.3, 2.0, None, 1.0, "pinned"))
    data = manager.export()
    other_store, other = managed()
    serve(other_store, "GET /a", 0.1, 5)
    assert other.import_(data) == [profile.id]
    assert other.get(profile.id).metrics.latency.count == 65
    assert other.get(profile.id).performance.baseline == PerformanceBaseline(0.3, 2.0, None, 1.0, "pinned")
    assert other.import_(manager.export([]), counts=False) == []

    _, third = managed()
    (tmp_path / "before.json").write_bytes(data)
    assert third.baselines_from(tmp_path / "before.json") == [profile.id]
    state = third.get(profile.id).performance
    assert state.baseline == PerformanceBaseline(0.3, 2.0, None, 1.0, "file")
    assert third.get(profile.id).metrics.latency.count == 0


@pytest.mark.parametrize("data", [b"", b"[]", b'{"perfmw_profiles": 7, "exported_at": 1, "profiles": []}'])
def test_what_is_no_export_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        managed()[1].import_(data)


def test_two_periods_of_a_profile_are_compared() -> None:
    now = [1000.0]
    store = ProfileStore(clock=lambda: now[0])
    manager = ProfileManager(store, clock=lambda: now[0])
    for second in range(120):
        for _ in range(5):
            store.recorder("GET /a").origin(0.1 if second < 60 else 0.05, 200, "uri-miss")
        now[0] += 1.0
        store.tick(now[0])
    found = manager.compare_periods(profile_id("component", "GET /a"), 60.0)
    mean = found.differences[0]
    assert mean.first == pytest.approx(0.1, rel=0.1)
    assert mean.second == pytest.approx(0.05, rel=0.1)
    assert (found.faster, found.confidence > 0.99) == ("second", True)
    assert found.first_requests + found.second_requests == 600
    assert abs(found.first_requests - 300) <= 30


def test_a_period_without_requests_is_not_known() -> None:
    store = ProfileStore(clock=lambda: 1000.0)
    manager = ProfileManager(store, clock=lambda: 1000.0)
    store.recorder("GET /a").hit(0.1)
    found = manager.compare_periods(profile_id("component", "GET /a"), 60.0)
    assert [one.first for one in found.differences] == [None] * 7
    assert (found.first_requests, found.second_requests, found.confidence) == (0, 1, 0.0)
