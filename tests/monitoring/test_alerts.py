from __future__ import annotations

import logging
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.contracts import Alert
from perfmw.monitoring import AlertManager, Finding, LogChannel, ProfileWatch
from tests.monitoring.test_degradation import profile


def finding(
    key: str = "k", severity: Literal["low", "medium", "high"] = "medium", target: str = "GET /x"
) -> Finding:
    return Finding(key, "degraded_latency", severity, f"{key} is slow", target, {"value": 1.0})


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
    manager.update([finding("a", target="A"), finding("b", target="B")], 1.0)
    (resolved,) = manager.update([], 2.0, target="A")
    assert resolved.key == "a"
    assert [alert.key for alert in manager.open()] == ["b"]


def test_the_same_finding_twice_in_a_round_counts_once() -> None:
    manager = AlertManager(raise_after=2)
    assert manager.update([finding(), finding()], 1.0) == []


def test_memory_is_bounded() -> None:
    manager = AlertManager(raise_after=1, resolve_after=1, max_open=10, history=20)
    for number in range(100):
        manager.update([finding(f"{number}-{i}") for i in range(15)], float(number))
    assert len(manager.open()) == 10
    assert len(manager.recent()) == 30
    assert manager.dropped > 0


def test_limits_must_make_sense() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        AlertManager(raise_after=0)


rounds = st.lists(st.sets(st.sampled_from("abc")), max_size=40)


@given(rounds, st.integers(1, 3), st.integers(1, 3))
def test_every_alert_is_raised_before_it_is_resolved(seen: list[set[str]], up: int, down: int) -> None:
    manager, standing = AlertManager(raise_after=up, resolve_after=down), set[str]()
    for now, keys in enumerate(seen):
        for alert in manager.update([finding(key) for key in sorted(keys)], float(now)):
            if alert.resolved_at is None:
                assert alert.key not in standing
                standing.add(alert.key)
            else:
                standing.remove(alert.key)
        assert {alert.key for alert in manager.open()} == standing


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
