from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.contracts import Alert
from perfmw.monitoring import AlertManager, Finding, LogChannel, ProfileWatch
from perfmw.monitoring.cron import MaintenanceWindow, Schedule
from perfmw.monitoring.silences import Quiet, Silence
from tests.monitoring.test_degradation import profile


def finding(
    key: str = "k",
    severity: Literal["low", "medium", "high"] = "medium",
    target: str = "GET /x",
    since: float | None = None,
) -> Finding:
    return Finding(key, "degraded_latency", severity, f"{key} is slow", target, {"value": 1.0}, since=since)


def apart(key: str, number: int) -> Finding:
    """One that has to do with no other."""
    return finding(key, target=f"GET /{key}", since=1e6 * number)


def test_one_incident_one_alert_and_its_end() -> None:
    manager = AlertManager(raise_after=2, resolve_after=2)
    assert manager.update([finding()], 1.0) == []
    (raised,) = manager.update([finding()], 2.0)
    assert (raised.key, raised.raised_at, raised.resolved_at) == ("k", 2.0, None)
    assert manager.update([finding()], 3.0) == []
    assert manager.open() == [raised]
    assert manager.update([], 4.0) == []
    (resolved,) = manager.update([], 5.0)
    assert (resolved.key, resolved.raised_at, resolved.resolved_at) == ("k", 2.0, 5.0)
    assert manager.open() == []
    assert manager.recent() == [resolved]


def test_what_is_closed_by_hand_and_still_there_is_raised_again() -> None:
    manager = AlertManager(raise_after=2)
    for now in (1.0, 2.0):
        manager.update([finding(), finding("other")], now)
    closed = manager.resolve("k", 3.0)
    assert closed is not None
    assert (closed.key, closed.resolved_at) == ("k", 3.0)
    assert manager.open() == []
    with pytest.raises(KeyError):
        manager.resolve("k", 3.0)
    assert manager.update([finding()], 4.0) == []
    (again,) = manager.update([finding()], 5.0)
    assert again.details["returned"] == 1


def test_flapping_tells_nobody() -> None:
    manager = AlertManager(raise_after=2, resolve_after=2)
    for now in range(50):
        assert manager.update([finding()] if now % 2 else [], float(now)) == []


def test_an_open_incident_survives_a_short_gap() -> None:
    manager = AlertManager(raise_after=1, resolve_after=3)
    manager.update([finding()], 0.0)
    for now in range(1, 30):
        assert manager.update([finding()] if now % 3 == 0 else [], float(now)) == []
    assert len(manager.open()) == 1


def test_a_change_of_severity_is_an_update() -> None:
    manager = AlertManager(raise_after=1)
    manager.update([finding(severity="medium")], 1.0)
    (worse,) = manager.update([finding(severity="high")], 2.0)
    assert (worse.severity, worse.raised_at) == ("high", 1.0)
    assert manager.update([finding(severity="high")], 3.0) == []


def test_a_round_about_one_target_leaves_the_others() -> None:
    manager = AlertManager(raise_after=1, resolve_after=1)
    manager.update([finding("a", target="A", since=0.0), finding("b", target="B", since=1e6)], 1.0)
    (resolved,) = manager.update([], 2.0, target="A")
    assert resolved.key == "a"
    assert [alert.key for alert in manager.open()] == ["b"]


def test_the_same_finding_twice_in_a_round_counts_once() -> None:
    manager = AlertManager(raise_after=2)
    assert manager.update([finding(), finding()], 1.0) == []


def test_memory_is_bounded() -> None:
    manager = AlertManager(raise_after=1, resolve_after=1, max_open=10, history=20)
    for number in range(100):
        manager.update([apart(f"{number}-{i}", 15 * number + i) for i in range(15)], float(number))
    assert len(manager.open()) == 10
    assert len(manager.recent()) == 30
    assert manager.dropped > 0


def test_limits_must_make_sense() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        AlertManager(raise_after=0)


rounds = st.lists(st.sets(st.sampled_from("abcdef")), max_size=40)


@given(rounds, st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_every_incident_is_raised_updated_and_resolved_in_this_order(
    seen: list[set[str]], up: int, down: int, related: bool
) -> None:
    manager = AlertManager(raise_after=up, resolve_after=down, update_seconds=2.0)
    standing: dict[str, int] = {}
    for now, keys in enumerate(seen):
        found = [finding(key) if related else apart(key, ord(key)) for key in sorted(keys)]
        for alert in manager.update(found, float(now)):
            update = alert.details["update"]
            if alert.resolved_at is not None:
                del standing[alert.key]
            else:
                assert update == standing.get(alert.key, -1) + 1
                standing[alert.key] = update
        assert {alert.key for alert in manager.open()} == set(standing)
        assert len(standing) <= (1 if related else 6)


def test_fifty_profiles_that_worsen_together_are_one_incident() -> None:
    asked = []

    def context(since: float, targets: Collection[str]) -> dict[str, Any]:
        asked.append(len(targets))
        return {"cause": "20 s after deploy v2"}

    manager = AlertManager(raise_after=1, resolve_after=2, context=context)
    found = [finding(f"k{n}", target=f"GET /{n}", since=1_000.0 + n) for n in range(50)]
    told = []
    for now in range(60):  # each is found a little later than the one before
        told += manager.update(found[: now + 1], 1_200.0 + 5 * now)
    assert [alert.details["update"] for alert in told] == [0]
    told += manager.update(found, 1_600.0)
    last = told[-1]
    assert len(told) == 2
    assert (last.target, last.type, last.details["since"]) == ("50 profiles", "several", 1_000.0)
    assert last.message == (
        "50 profiles became worse together: GET /0, GET /1, GET /2 and 47 more; k0 is slow; "
        "20 s after deploy v2"
    )
    assert asked[0] == 1
    assert asked[-1] == 50
    manager.update([], 1_700.0)
    (over,) = manager.update([], 1_705.0)
    assert over.resolved_at == 1_705.0
    assert manager.open() == []


def test_what_began_at_another_time_is_another_incident() -> None:
    manager = AlertManager(raise_after=1)
    found = [finding("a", target="A", since=0.0), finding("b", target="B", since=1_000.0)]
    assert [alert.key for alert in manager.update(found, 1_100.0)] == ["a", "b"]


def test_a_rise_is_told_at_once_and_a_fall_in_time() -> None:
    manager = AlertManager(raise_after=1, update_seconds=300.0)
    steps: list[tuple[Literal["low", "medium", "high"], float]] = [
        ("low", 0.0), ("high", 5.0), ("low", 10.0), ("low", 300.0), ("low", 306.0), ("low", 700.0),
    ]  # fmt: skip
    told = [
        (alert.severity, now) for level, now in steps for alert in manager.update([finding("k", level)], now)
    ]
    assert told == [("low", 0.0), ("high", 5.0), ("low", 306.0)]


def test_what_comes_back_is_held_open_longer() -> None:
    manager = AlertManager(raise_after=1, resolve_after=1)
    now, told = 0.0, 0
    for _ in range(30):
        for there in (True, False, False):
            now += 5.0
            told += len(manager.update([finding()] if there else [], now))
    assert told <= 6, "of ninety rounds"
    (alert,) = manager.open()
    assert alert.details["returned"] >= 1


def test_silenced_is_kept_track_of_and_told_afterwards() -> None:
    manager = AlertManager(raise_after=1, resolve_after=1)
    quiet = Quiet([Silence("1", "GET /x*", until=100.0)])
    assert manager.update([finding(target="GET /x/{id}")], 10.0, quiet=quiet) == []
    (alert,) = manager.open()
    assert alert.details["silenced"] is True
    (told,) = manager.update([finding(target="GET /x/{id}")], 100.0, quiet=quiet)
    assert (told.details["silenced"], told.raised_at) == (False, 10.0)


def test_a_silenced_incident_that_ends_in_silence_is_never_told() -> None:
    manager = AlertManager(raise_after=1, resolve_after=1)
    quiet = Quiet([Silence("1", "*", until=100.0)])
    assert manager.update([finding()], 10.0, quiet=quiet) == []
    assert manager.update([], 20.0, quiet=quiet) == []
    assert [alert.resolved_at for alert in manager.recent()] == [20.0]


def test_a_maintenance_window_is_quiet() -> None:
    window = MaintenanceWindow(Schedule.parse("0 2 * * *"), 3600.0, "nightly")
    quiet = Quiet((), [window])
    manager = AlertManager(raise_after=1)
    assert manager.update([finding()], 2 * 3600.0 + 60.0, quiet=quiet) == []
    assert len(manager.update([finding()], 3 * 3600.0 + 1.0, quiet=quiet)) == 1


def test_nobody_is_told_twice_over_a_restart() -> None:
    old = AlertManager(raise_after=1, resolve_after=2)
    (alert,) = old.update([finding(since=5.0)], 10.0)
    new = AlertManager(raise_after=1, resolve_after=2)
    new.restore(msgspec.json.decode(msgspec.json.encode(old.state())))
    assert new.update([finding(since=5.0)], 20.0) == []
    assert [one.key for one in new.open()] == [alert.key]
    assert new.update([], 30.0) == []
    (over,) = new.update([], 40.0)
    assert (over.raised_at, over.resolved_at) == (10.0, 40.0)


def test_a_watch_tells_what_is_newly_wrong() -> None:
    watch = ProfileWatch()
    assert watch(profile(), 1.0) == []
    assert [alert.key for alert in watch(profile(mean=0.15), 2.0)] == ["p1:latency"]
    assert watch(profile(mean=0.25), 3.0) == [], "the same incident, only worse"
    assert [watch(profile(), now) for now in (4.0, 5.0)] == [[], []]
    assert len(watch(profile(mean=0.15), 6.0)) == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("severity", "level"), [("low", logging.INFO), ("medium", logging.WARNING), ("high", logging.ERROR)]
)
async def test_the_log_channel(
    caplog: pytest.LogCaptureFixture, severity: Literal["low", "medium", "high"], level: int
) -> None:
    caplog.set_level(logging.INFO, "perfmw.alerts")
    await LogChannel().send(Alert("k", "t", severity, "GET /x is slow", "GET /x", 10.0))
    await LogChannel().send(Alert("k", "t", severity, "GET /x is slow", "GET /x", 10.0, 70.0))
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (level, f"{severity}: GET /x is slow"),
        (logging.INFO, "resolved after 60 s: GET /x is slow"),
    ]
