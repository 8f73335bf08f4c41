"""What perfmw itself takes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from perfmw import Runtime, Settings
from perfmw.profiles.breakdown import Breakdown
from perfmw.profiles.reading import Reading
from perfmw.profiles.tracked import profile_id
from perfmw.runtime.owncost import OwnCost, cost_of


def busy(seconds: float) -> Iterator[None]:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
    yield


def test_what_is_done_between_steps_is_not_counted() -> None:
    cost = OwnCost()
    for _ in cost.timed(busy(0.01)):
        next(busy(0.05))
    assert 0.01 <= cost.seconds < 0.05
    assert cost.share <= cost.seconds


def test_a_round_that_fails_is_counted_and_heard_of() -> None:
    def fails() -> Iterator[None]:
        next(busy(0.01))
        raise ValueError("no")
        yield

    cost = OwnCost()
    with pytest.raises(ValueError, match="no"):
        list(cost.timed(fails()))
    assert cost.seconds >= 0.01


def test_sampled_requests_tell_how_long_they_were_in_perfmw() -> None:
    runtime = Runtime(Settings(plugins=[]))
    runtime.profiles.recorder("GET /a")
    tracked = runtime.profiles.tracked(profile_id("component", "GET /a"))
    assert tracked is not None
    for _ in range(4):
        tracked.account(Breakdown(total=0.010, cache=0.001, app=0.009, cpu=0.002))
    reading = Reading()
    reading.hit_sketch.record(0.0002)
    found = cost_of(runtime, reading)
    assert found.sampled == pytest.approx(0.001)
    assert found.whole == pytest.approx(0.010)
    assert (found.samples, found.hits) == (4, 1)
    assert found.hit == pytest.approx(0.0002, rel=0.02)


def test_nothing_is_made_up_where_nothing_was_counted() -> None:
    found = cost_of(Runtime(Settings(plugins=[])), Reading())
    assert (found.hit, found.sampled, found.whole, found.samples) == (None, None, None, 0)
