"""Advice on workers: up at once, down only when less has been enough for a while."""

from __future__ import annotations

from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.resources.scaling import Capacity, Scaler
from perfmw.resources.watermarks import Watermark


def test_more_are_wanted_at_once_and_fewer_after_a_while() -> None:
    scaler = Scaler(patience=1800.0)
    assert scaler.advise(0.0, 1, 10.0, 10.0, 100.0).wanted == 1
    assert scaler.advise(60.0, 1, 150.0, 420.0, 100.0).wanted == 5
    assert [
        scaler.advise(60.0 + minute * 60.0, 5, 100.0, 100.0, 100.0).wanted for minute in range(1, 33)
    ] == ([5] * 30 + [1] * 2)


def test_who_has_just_begun_sends_nobody_home() -> None:
    """After a deployment the first minute is quiet, and says nothing of what the workers are there for."""
    scaler = Scaler(patience=1800.0)
    wanted = [scaler.advise(minute * 60.0, 4, 1.0, nan, 100.0).wanted for minute in range(33)]
    assert wanted == [4] * 31 + [1] * 2


def test_the_reason_has_the_figures() -> None:
    scaler = Scaler()
    advice = scaler.advise(0.0, 2, 150.0, 420.0, 100.0)
    assert (advice.at, advice.current, advice.wanted) == (3600.0, 2, 5)
    for part in ("150.0 requests a second", "up to 420.0", "60 minutes", "100.0 comfortably"):
        assert part in advice.reason
    later = scaler.advise(60.0, 5, 10.0, nan, 100.0)
    assert "1 would do, but that has to hold for 30 minutes" in later.reason
    assert "not known yet" in later.reason


@given(st.lists(st.tuples(st.floats(0.0, 1e4), st.floats(0.0, 1e4)), min_size=1, max_size=200))
def test_never_fewer_than_what_is_needed_now(loads: list[tuple[float, float]]) -> None:
    scaler = Scaler()
    for minute, (rate, expected) in enumerate(loads):
        wanted = scaler.advise(minute * 60.0, 1, rate, expected, 50.0).wanted
        assert wanted * 50.0 >= max(rate, expected) * (1 - 1e-6)
        assert wanted >= 1


def test_a_workers_capacity_is_learned_from_what_requests_cost() -> None:
    capacity = Capacity()
    assert capacity.value is None
    capacity.update(0.0, 0.5)
    capacity.update(10.0, 0.001)
    assert capacity.value is None
    for _ in range(20):
        capacity.update(100.0, 0.5)
    capacity.update(1.0, 1.0)
    assert capacity.value == pytest.approx(140.0)


def test_memory_is_given_back_by_halves_and_regained_slowly() -> None:
    mark = Watermark(0.9)
    assert not mark.update(0.5, 0.0)
    assert mark.update(0.95, 1.0)
    assert mark.share == 0.5
    assert not mark.update(0.95, 5.0)
    assert mark.update(0.95, 11.0)
    assert mark.share == 0.25
    assert not mark.update(0.85, 30.0)
    assert mark.update(0.5, 40.0)
    assert mark.share == pytest.approx(0.275)
    now = 40.0
    while mark.share < 1.0:
        now += 10.0
        assert mark.update(0.5, now)
    assert not mark.update(0.5, now + 10.0)


@given(st.lists(st.floats(0.0, 1.0), max_size=300))
def test_the_share_stays_within_its_bounds(uses: list[float]) -> None:
    mark = Watermark(0.8)
    for number, used in enumerate(uses):
        mark.update(used, number * 10.0)
        assert 0.05 <= mark.share <= 1.0


def test_a_watermark_is_a_share() -> None:
    with pytest.raises(ValueError, match="at most 1"):
        Watermark(0.0)
