"""The circuit breaker: skips what keeps failing, and finds out when it is back."""

from __future__ import annotations

from perfmw.cache.breaker import Breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(failures=3, pause=10)
    for _ in range(5):
        breaker.failed(0)
        breaker.failed(0)
        breaker.succeeded()
    assert not breaker.open
    for _ in range(3):
        breaker.failed(0)
    assert breaker.open
    assert not breaker.allows(9.9)


def test_one_probe_at_a_time_closes_it_again() -> None:
    breaker = Breaker(failures=1, pause=10)
    breaker.failed(0)
    assert breaker.allows(10)
    assert not breaker.allows(10)
    breaker.succeeded()
    assert breaker.allows(10)
    assert not breaker.open


def test_failed_probes_lengthen_the_pause_up_to_the_longest() -> None:
    breaker = Breaker(failures=1, pause=1, longest=5)
    now = 0.0
    breaker.failed(now)
    pauses = []
    for _ in range(5):
        waited = 0.0
        while not breaker.allows(now + waited):
            waited += 0.5
        pauses.append(waited)
        now += waited
        breaker.failed(now)
    assert pauses == [1, 2, 4, 5, 5]


def test_a_probe_that_never_reports_does_not_keep_it_open_for_ever() -> None:
    breaker = Breaker(failures=1, pause=10)
    breaker.failed(0)
    assert breaker.allows(10)
    assert not breaker.allows(19.9)
    assert breaker.allows(20)


def test_calls_that_were_under_way_when_it_opened_do_not_lengthen_the_pause() -> None:
    breaker = Breaker(failures=3, pause=1)
    for _ in range(100):
        breaker.failed(0.0)
    assert not breaker.allows(0.9)
    assert breaker.allows(1.0)
