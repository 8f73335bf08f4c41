"""Many targets: who is kept, what it costs to read, and that nothing is lost when one goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.contracts import PerformanceProfileConfig
from perfmw.profiles import ProfileStore, Recorder, profile_id
from perfmw.profiles.reading import Reading
from perfmw.profiles.store import FEW, REVIEW_SECONDS
from perfmw.profiles.topk import Candidates


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def rounds(store: ProfileStore, clock: Clock, each: dict[str, int], times: int = 1) -> None:
    for _ in range(times):
        for name, count in each.items():
            for _ in range(count):
                store.recorder(name).origin(0.01, 200, "uri-miss")
        clock.now += REVIEW_SECONDS
        store.tick(clock.now)


def counted(store: ProfileStore) -> dict[str, int]:
    return {name: reading.count for name, reading in store.readings().items()}


@pytest.mark.parametrize("compact", [False, True])
def test_draining_takes_each_request_once_and_keeps_the_total(compact: bool) -> None:
    recorder = Recorder("GET /a", compact=compact)
    assert recorder.drain() is None
    seen = Reading()
    for number in range(5):
        recorder.hit(0.001)
        recorder.origin(0.1 + number, 200, "uri-miss")
        recorder.exception(0.2, "stale")
        delta = recorder.drain()
        assert delta is not None
        assert delta.count == 3
        seen.add(delta)
    assert recorder.drain() is None
    recorder.hit(0.5)
    assert recorder.reading().count == recorder.count() == 16
    seen.hit_sketch.record(0.5)
    assert recorder.reading() == seen
    counts = recorder.counts()
    assert (counts.requests, counts.hits, counts.reasons) == (16, 6, {"uri-miss": 5, "stale": 5})


def test_details_by_status_survive_draining() -> None:
    recorder = Recorder("GET /a")
    recorder.detailed = {}
    for status in (200, 200, 404, 503):
        recorder.origin(0.1, status, "uri-miss")
        recorder.drain()
    recorder.hit(0.01)
    recorder.origin(0.1, 404, "stale")
    found = {(one.hit, one.status): one.sketch.count for one in recorder.statuses()}
    assert found == {(False, 200): 2, (False, 404): 2, (False, 503): 1, (True, -1): 1}


def test_a_busy_newcomer_takes_the_place_of_an_idle_one(clock: Clock) -> None:
    store = ProfileStore(max_profiles=3, clock=clock)
    rounds(store, clock, {"GET /a": 50, "GET /b": 50, "GET /idle": 5})
    rounds(store, clock, {"GET /a": 50, "GET /b": 50, "GET /new": 200, "GET /rare": 1}, times=2)
    assert {"GET /a", "GET /b", "GET /new", "other"} == set(store.names())
    assert store.replaced == 1
    assert sum(counted(store).values()) == 105 + 2 * 301
    assert counted(store)["GET /new"] == 200


def test_what_a_request_under_way_counts_late_is_not_lost(clock: Clock) -> None:
    store = ProfileStore(max_profiles=1, clock=clock)
    held = store.recorder("GET /idle")
    held.origin(0.1, 200, "uri-miss")
    rounds(store, clock, {"GET /new": 100})
    assert "GET /idle" not in store.names()
    held.origin(0.1, 200, "uri-miss")
    rounds(store, clock, {})
    assert sum(counted(store).values()) == 102


def test_chosen_profiles_stay(clock: Clock) -> None:
    store = ProfileStore(max_profiles=1, clock=clock)
    rounds(store, clock, {"GET /idle": 1})
    store.configure(profile_id("component", "GET /idle"), PerformanceProfileConfig())
    rounds(store, clock, {"GET /new": 500}, times=3)
    assert set(store.names()) == {"GET /idle", "other"}


def test_few_requests_for_many_names_move_nobody(clock: Clock) -> None:
    store = ProfileStore(max_profiles=2, clock=clock)
    rounds(store, clock, {"GET /a": 20, "GET /b": 20})
    for number in range(5):
        rounds(store, clock, {f"GET /scan/{number}/{one}": 1 for one in range(400)})
    assert set(store.names()) == {"GET /a", "GET /b", "other"}


def test_a_deleted_profile_begins_anew(clock: Clock) -> None:
    store = ProfileStore(clock=clock)
    store.recorder("GET /a").hit(0.1)
    assert store.delete(profile_id("component", "GET /a"))
    assert not store.delete(profile_id("component", "GET /a"))
    assert store.names() == []
    store.recorder("GET /a").hit(0.1)
    assert counted(store) == {"GET /a": 1}


@given(st.lists(st.sampled_from("abcdefgh"), max_size=200), st.integers(1, 8))
def test_a_name_more_frequent_than_its_share_is_held(names: list[str], most: int) -> None:
    candidates: Candidates[str] = Candidates(most)
    for name in names:
        candidates.add(name)
    held = dict(candidates.take())
    assert len(held) <= most
    for name in set(names):
        if names.count(name) > len(names) / (most + 1):
            assert 0 < held[name] <= names.count(name)
    assert candidates.take() == []


def test_a_snapshot_without_patience_gives_what_was_known_and_catches_up(clock: Clock) -> None:
    store, many = ProfileStore(clock=clock), FEW + 10
    for number in range(many):
        store.recorder(f"GET /{number}").hit(0.1)
    assert [profile.metrics.latency.count for profile in store.snapshot(patience=60.0)] == [1] * many
    for number in range(many):
        store.recorder(f"GET /{number}").hit(0.1)
    hurried = store.snapshot(patience=-1.0)
    assert [profile.name for profile in hurried] == store.names()
    assert [profile.metrics.latency.count for profile in hurried] == [2] * FEW + [1] * 10
    assert [profile.metrics.latency.count for profile in store.snapshot(patience=-1.0)] == [2] * many


def test_a_snapshot_of_few_is_up_to_date_however_long_the_process_was_kept_waiting(clock: Clock) -> None:
    """A stall of some milliseconds used it up, and a profile told of one request instead of nine."""
    store = ProfileStore(clock=clock)
    for requests in (1, 9):
        while store.recorder("GET /").count() < requests:
            store.recorder("GET /").hit(0.1)
        [profile] = store.snapshot(patience=-1.0)
        assert profile.metrics.latency.count == requests


def test_an_idle_profile_is_described_once_a_second(clock: Clock) -> None:
    store = ProfileStore(clock=clock)
    store.recorder("GET /a").hit(0.1)
    first = store.snapshot()[0]
    assert store.snapshot()[0] is first
    clock.now += 2.0
    assert store.snapshot()[0] is not first
    assert store.snapshot()[0].metrics.throughput.per_second == pytest.approx(0.5)


def test_what_other_processes_counted_is_part_of_every_figure(clock: Clock) -> None:
    store, elsewhere = ProfileStore(clock=clock), Recorder("GET /a")
    store.recorder("GET /a").origin(0.1, 200, "uri-miss")
    for _ in range(99):
        elsewhere.origin(0.1, 200, "no-store")
    tracked = store.tracked(profile_id("component", "GET /a"))
    assert tracked is not None
    tracked.adopt(elsewhere.reading(), elsewhere.reading())
    clock.now += 2.0
    store.tick(clock.now)
    profile = store.snapshot()[0]
    assert profile.metrics.latency.count == 100
    assert store.status_counts() == {"uri-miss": 1, "no-store": 99, "hit": 0}
    assert store.counts()["GET /a"].requests == 1
    own, merged = store.reading(tracked.id), store.window(tracked.id, 60.0)
    assert own is not None
    assert merged is not None
    assert (own.count, merged.count) == (1, 100)
    assert profile.performance.baseline is not None
    assert profile.performance.baseline.throughput == pytest.approx(50.0)


def test_steps_do_what_a_tick_does(clock: Clock) -> None:
    store = ProfileStore(clock=clock)
    for number in range(200):
        store.recorder(f"GET /{number}").hit(0.1)
    assert len(list(store.steps(1001.0))) == 3
    assert store.series()[-1].requests == 200


def test_new_profiles_are_described_in_steps_and_once() -> None:
    store = ProfileStore()
    for number in range(20):
        store.recorder(f"GET /{number}").origin(0.1, 200, "uri-miss")
    assert [sum(one.last is not None for one in store.everything()) for _ in store.describing()] == [
        4,
        8,
        12,
        16,
        20,
    ]
    assert all(one.last is not None for one in store.everything())
    assert list(store.describing()) == []
